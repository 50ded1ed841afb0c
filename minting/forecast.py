"""What an airdrop would cost, before anything is decided: nothing here writes.

The very calls that publishing would freeze are planned and counted by `minting.costs`. Members who
still wait for a pass are counted as if their batches were full of recipients evenly spread; people
who become members by the drop, as if they waited already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from chain.bindings import digital_asset, membership_pass
from chain.client import ChainClient
from chain.models import NonceLane
from chain.settings import chain_settings
from core.types import AssetId, Gas, UserId, Wei
from minting import costs, planner
from minting.airdrops import ground_of
from minting.costs import Ground, PassPlaces
from minting.models import DigitalAsset, MembershipPass, PassState
from minting.passes import MAX_BATCH, find_contract, is_cheaper_alone, pass_places
from minting.planner import GAS_CEILING


@dataclass(frozen=True)
class Forecast:
    """Gas and money of an airdrop; prices are wei per gas at the time of the forecast.

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
        """All gas of passes and drops."""
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
class Audience:
    """Who receives something.

    Args:
        members: their ids.
        newcomers: how many people become members by it.
        addresses: how many recipients are no members.
    """

    members: Select[UserId]
    newcomers: int = 0
    addresses: int = 0


@dataclass(frozen=True)
class Share:
    """So many of an asset for each of an audience."""

    asset: DigitalAsset
    audience: Audience
    copies: int = 1


def forecast_drops(
    session: Session,
    client: ChainClient,
    lane: NonceLane,
    everybody: Audience,
    shares: Sequence[Share],
    *,
    ceiling: Gas = GAS_CEILING,
) -> Forecast:
    """The forecast of everything an airdrop sends.

    Args:
        everybody: whoever receives any of the shares; whose pass is missing gets one first.
        ceiling: gas of one transaction.

    Raises:
        ChainUnavailableError: the node does not answer.
    """
    issues, _ = _issues(session, everybody, joining=everybody.newcomers)
    calls = _Calls(session, everybody.newcomers, ceiling)
    gas = [each for share in shares for each in calls.of(share)]
    base_fee = client.head().base_fee_per_gas
    return Forecast(
        passes_to_issue=_missing_passes(session, everybody.members) + everybody.newcomers,
        pass_transactions=sum(transactions for _, (transactions, _) in issues),
        pass_gas=Gas(sum(gas for _, (_, gas) in issues)),
        drop_transactions=len(gas),
        drop_gas=Gas(sum(gas)),
        is_exact=not issues,
        gas_price=Wei(base_fee + chain_settings().priority_fee_per_gas_wei),
        balance=client.balance(lane.address),
    )


class _Calls:
    """The gas of each call of each share, in the order of sending.

    Args:
        joining: how many people become members by the airdrop.
    """

    def __init__(self, session: Session, joining: int, ceiling: Gas) -> None:
        self._session, self._joining, self._ceiling = session, joining, ceiling
        self._dropped: set[AssetId] = set()

    def of(self, share: Share) -> list[Gas]:
        """The calls of a share; a round for each copy."""
        issues, waiting = _issues(self._session, share.audience, joining=self._joining)
        places, alone = pass_places(self._session, share.audience.members)
        alone += share.audience.addresses
        alone += sum(count for count, _ in issues if is_cheaper_alone(count))
        mints = [_mint_gas(count) for count in _chunks(alone)]
        found: list[Gas] = []
        ground, again = self._ground(share.asset), Ground()
        for at in (ground, again) if share.copies > 1 else (ground,):
            calls = planner.plan_calls([*places, *waiting], at, ceiling=self._ceiling)
            times = 1 if at is ground else share.copies - 1
            found += [*(call.gas for call in calls), *mints] * times
        return found

    def _ground(self, asset: DigitalAsset) -> Ground:
        if asset.id in self._dropped:
            return Ground()
        self._dropped.add(asset.id)
        return ground_of(self._session, asset)


_Issues = list[tuple[int, tuple[int, int]]]
"""For each batch that will be issued: its size, and transactions and gas."""


def _issues(
    session: Session, audience: Audience, *, joining: int
) -> tuple[_Issues, list[PassPlaces]]:
    """The queue of passes as it will be frozen, and the recipients in it.

    Args:
        joining: how many people become members by the airdrop, of this audience or not.
    """
    queued = MembershipPass.state == PassState.QUEUED
    of_audience = MembershipPass.user_id.in_(audience.members.order_by(None))
    everybody, wanted = session.execute(
        select(func.count(), func.count().filter(of_audience)).where(queued)
    ).one()
    everybody, wanted = everybody + joining, wanted + audience.newcomers
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
