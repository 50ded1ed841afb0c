"""What a drop would cost, before anything is decided: nothing here writes.

Members whose pass is active are forecast with the real calldata, measured by the node. Members
who still wait for a pass are forecast with figures measured on full batches.
"""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from chain.client import ChainClient
from chain.models import NonceLane
from chain.settings import chain_settings
from core.types import Gas, UserId, Wei
from minting.airdrops import PassBits, group_batches
from minting.models import DigitalAsset, MembershipPass, PassState
from minting.passes import MAX_BATCH, batch_sizes

_PASS_GAS = 6_480
_DROP_GAS = 2_060
_TRANSACTION_GAS = 60_000


@dataclass(frozen=True)
class Forecast:
    """Gas and money of a drop; prices are wei per gas at the time of the forecast.

    Args:
        measured: True when the node measured every part of the drop.
    """

    passes_to_issue: int
    pass_transactions: int
    pass_gas: Gas
    drop_transactions: int
    drop_gas: Gas
    measured: bool
    gas_price: Wei
    balance: Wei

    @property
    def gas(self) -> Gas:
        """All gas of passes and drop."""
        return Gas(self.pass_gas + self.drop_gas)

    @property
    def cost(self) -> Wei:
        """What it would cost at today's price."""
        return Wei(self.gas * self.gas_price)

    @property
    def shortfall(self) -> Wei:
        """What the relayer lacks if the price trebles; 0 when it has enough."""
        return Wei(max(0, 3 * self.cost - self.balance))


def forecast_drop(
    session: Session,
    client: ChainClient,
    lane: NonceLane,
    asset: DigitalAsset,
    audience: Select[UserId],
) -> Forecast:
    """The forecast of one round of `asset` for these members.

    Raises:
        RpcError: the contract would refuse the drop.
        ChainUnavailableError: the node does not answer.
    """
    groups = group_batches(_active_bits(session, audience))
    missing = _missing_passes(session, audience)
    measured = sum(_measure(client, lane, asset, group) for group in groups)
    guessed_transactions = -(-missing // MAX_BATCH)
    guessed = missing * _DROP_GAS + guessed_transactions * _TRANSACTION_GAS
    base_fee = client.head().base_fee_per_gas
    return Forecast(
        passes_to_issue=missing,
        pass_transactions=guessed_transactions,
        pass_gas=Gas(missing * _PASS_GAS + guessed_transactions * _TRANSACTION_GAS),
        drop_transactions=len(groups) + guessed_transactions,
        drop_gas=Gas(measured + guessed),
        measured=missing == 0,
        gas_price=Wei(base_fee + chain_settings().priority_fee_per_gas_wei),
        balance=client.balance(lane.address),
    )


def _active_bits(session: Session, audience: Select[UserId]) -> list[PassBits]:
    rows = session.execute(
        select(MembershipPass.batch_number, MembershipPass.index)
        .where(
            MembershipPass.state == PassState.ACTIVE,
            MembershipPass.user_id.in_(audience.order_by(None)),
        )
        .order_by(MembershipPass.batch_number, MembershipPass.index)
    )
    places: dict[int, list[int]] = defaultdict(list)
    for number, index in rows:
        assert number is not None and index is not None  # active passes are numbered
        places[number].append(index)
    sizes = batch_sizes(session, list(places))
    return [PassBits(number, sizes[number], tuple(found)) for number, found in places.items()]


def _missing_passes(session: Session, audience: Select[UserId]) -> int:
    query = (
        select(func.count())
        .select_from(MembershipPass)
        .where(
            MembershipPass.state.in_((PassState.QUEUED, PassState.MINTING)),
            MembershipPass.user_id.in_(audience.order_by(None)),
        )
    )
    return session.scalar(query) or 0


def _measure(
    client: ChainClient, lane: NonceLane, asset: DigitalAsset, group: list[PassBits]
) -> int:
    """Gas of one transaction, measured with the bytes it would have."""
    calldata = binding.encode_drop(
        round=asset.next_round,
        batches=[part.number for part in group],
        bits=[binding.bitmap(part.places) for part in group],
        nonce=asset.next_data_nonce,
    )
    return client.estimate_gas(lane.address, asset.address, calldata)
