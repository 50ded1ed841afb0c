"""What a drop would cost, before anything is decided: nothing here writes.

The very calls that publishing would freeze are planned and counted by `minting.costs`. Members who
still wait for a pass are counted as if their batches were full of recipients evenly spread; people
who become members by the drop, as if they waited already.
"""

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from chain.bindings import digital_asset, membership_pass
from chain.client import ChainClient
from chain.models import NonceLane
from chain.settings import chain_settings
from core.types import Gas, UserId, Wei
from minting import costs, planner
from minting.airdrops import ground_of
from minting.costs import PassPlaces
from minting.models import DigitalAsset, MembershipPass, PassState
from minting.passes import MAX_BATCH, find_contract, is_cheaper_alone, pass_places
from minting.planner import GAS_CEILING


@dataclass(frozen=True)
class Forecast:
    """Gas and money of a drop; prices are wei per gas at the time of the forecast.

    Args:
        is_exact: every recipient's place is known, so these are the calls that will be sent.
    """

    passes_to_issue: int
    pass_transactions: int
    pass_gas: Gas
    drop_transactions: int
    drop_gas: Gas
    is_exact: bool
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


@dataclass(frozen=True)
class Wanted:
    """Whom a drop is for, and how.

    Args:
        members: their ids.
        newcomers: how many people become members by it.
        addresses: how many recipients are no members.
        ceiling: gas of one transaction.
    """

    members: Select[UserId]
    newcomers: int = 0
    addresses: int = 0
    ceiling: Gas = GAS_CEILING


def forecast_drop(
    session: Session,
    client: ChainClient,
    lane: NonceLane,
    asset: DigitalAsset,
    wanted: Wanted,
) -> Forecast:
    """The forecast of one round of `asset`.

    Raises:
        ChainUnavailableError: the node does not answer.
    """
    issues, waiting = _issues(session, wanted.members, wanted.newcomers)
    places, alone = pass_places(session, wanted.members)
    ground = ground_of(session, asset)
    calls = planner.plan_calls([*places, *waiting], ground, ceiling=wanted.ceiling)
    alone += wanted.addresses + sum(count for count, _ in issues if is_cheaper_alone(count))
    mints = [_mint_gas(count) for count in _chunks(alone)]
    base_fee = client.head().base_fee_per_gas
    return Forecast(
        passes_to_issue=_missing_passes(session, wanted.members) + wanted.newcomers,
        pass_transactions=sum(transactions for _, (transactions, _) in issues),
        pass_gas=Gas(sum(gas for _, (_, gas) in issues)),
        drop_transactions=len(calls) + len(mints),
        drop_gas=Gas(sum(call.gas for call in calls) + sum(mints)),
        is_exact=not issues,
        gas_price=Wei(base_fee + chain_settings().priority_fee_per_gas_wei),
        balance=client.balance(lane.address),
    )


_Issues = list[tuple[int, tuple[int, int]]]
"""For each batch that will be issued: its size, and transactions and gas."""


def _issues(
    session: Session, audience: Select[UserId], newcomers: int
) -> tuple[_Issues, list[PassPlaces]]:
    """The queue of passes as it will be frozen, and the recipients in it."""
    queued = MembershipPass.state == PassState.QUEUED
    of_audience = MembershipPass.user_id.in_(audience.order_by(None))
    everybody, wanted = session.execute(
        select(func.count(), func.count().filter(of_audience)).where(queued)
    ).one()
    everybody, wanted = everybody + newcomers, wanted + newcomers
    contract = find_contract(session)
    if not wanted or contract is None:
        return [], []
    issues, waiting = [], []
    for number, size in enumerate(_chunks(everybody), start=contract.next_batch):
        share = max(1, round(size * wanted / everybody))
        issues.append((size, _issue_cost(size, is_first=number == 0)))
        if not is_cheaper_alone(size):
            places = tuple(place * size // share for place in range(share))
            waiting.append(PassPlaces(number, size, places))
    return issues, waiting


def _issue_cost(size: int, *, is_first: bool) -> tuple[int, int]:
    if is_cheaper_alone(size):
        call = membership_pass.encode_issue_one(0, costs.ANY_ADDRESS)
        return size, size * costs.issue_one_gas(call, is_first=is_first)
    batch = membership_pass.encode_issue(0, costs.ANY_BYTES * size)
    return 1, costs.issue_gas(batch, size, is_first=is_first)


def _mint_gas(count: int) -> Gas:
    calldata = digital_asset.encode_mint(1, costs.ANY_BYTES * count)
    return costs.mint_gas(calldata, count, is_first=False)


def _chunks(count: int) -> list[int]:
    """So many members in batches: full ones, then the rest."""
    full, rest = divmod(count, MAX_BATCH)
    return [MAX_BATCH] * full + ([rest] if rest else [])


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
