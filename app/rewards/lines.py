"""What a campaign gives: reward lines, each a digital asset or a perk."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.perks import service as perks
from app.perks.models import Perk, PerkState
from app.rewards.errors import LinesInvalidError, RewardNotLiveError
from app.rewards.models import MOST_LINES, MOST_PER_RECIPIENT, RewardLine
from core.ids import new_id
from core.types import AssetId, CampaignId, PerkId, RewardLineId
from minting import airdrops, assets
from minting.models import ContractState, DigitalAsset

MOST_OF_A_LINE = 100_000_000


@dataclass(frozen=True)
class Choice:
    """One line as people choose it: an asset or a perk.

    Args:
        per_recipient: for each, where a file does not say otherwise.
        quantity: the most the campaign gives of it, or None for no limit.
    """

    asset_id: AssetId | None = None
    perk_id: PerkId | None = None
    per_recipient: int = 1
    quantity: int | None = None

    @property
    def reward_id(self) -> UUID | None:
        """Of what is chosen."""
        return self.asset_id or self.perk_id


@dataclass(frozen=True)
class Reward:
    """A line and what it gives."""

    line: RewardLine
    asset: DigitalAsset | None
    perk: Perk | None

    @property
    def _given(self) -> DigitalAsset | Perk:
        found = self.asset or self.perk
        assert found is not None  # by the constraint of the line
        return found

    @property
    def title(self) -> str:
        """What members call it."""
        return self._given.title

    @property
    def reference(self) -> str | None:
        """What other systems of the brand call it."""
        return self._given.reference_id

    @property
    def names(self) -> tuple[str, str]:
        """What a file may call it beside its reference."""
        return self._given.internal_name, self._given.title

    @property
    def is_live(self) -> bool:
        """Whether it can be given."""
        return self._given.state in (ContractState.LIVE, PerkState.LIVE)

    @property
    def left(self) -> int | None:
        """How many more can be promised, by the line and by the reward; None for no limit."""
        limits = [(self.line.quantity, self.line.granted_count)]
        if self.asset is not None:
            limits.append((self.asset.max_supply, self.asset.minted_count))
        lefts = [most - given for most, given in limits if most is not None]
        if self.perk is not None and self.perk.left is not None:
            lefts.append(self.perk.left)
        return min(lefts, default=None)


def set_lines(
    session: Session, campaign_id: CampaignId, choices: Sequence[Choice]
) -> list[RewardLine]:
    """The campaign gives exactly these, in this order; nothing of it was granted yet.

    Raises:
        LinesInvalidError: none or too many, one twice, a quantity out of range, or on two chains.
        RewardNotLiveError: one of them is not published.
        AssetNotFoundError, PerkNotFoundError: this merchant has none with the id.
    """
    _check(session, choices)
    known: dict[UUID | None, RewardLine] = {
        line.reward_id: line for line in lines_of(session, campaign_id)
    }
    for line in known.values():  # the places are free before anybody takes another
        line.position += MOST_LINES
    session.flush()
    chosen = []
    for position, choice in enumerate(choices):
        found = known.get(choice.reward_id)
        line = found or RewardLine(
            id=RewardLineId(new_id()),
            campaign_id=campaign_id,
            asset_id=choice.asset_id,
            perk_id=choice.perk_id,
            granted_count=0,
        )
        line.position, line.per_recipient = position, choice.per_recipient
        line.quantity = choice.quantity
        session.add(line)
        chosen.append(line)
    for gone in set(known.values()) - set(chosen):
        session.delete(gone)
    session.flush()
    return chosen


def _check(session: Session, choices: Sequence[Choice]) -> None:
    if not 1 <= len(choices) <= MOST_LINES:
        raise LinesInvalidError(f"Choose between 1 and {MOST_LINES} rewards.")
    chosen = [choice.reward_id for choice in choices]
    if len(set(chosen)) < len(chosen):
        raise LinesInvalidError("A reward stands here twice. Give more of it instead.")
    for choice in choices:
        if not 1 <= choice.per_recipient <= MOST_PER_RECIPIENT:
            raise LinesInvalidError(f"Give each between 1 and {MOST_PER_RECIPIENT} of a reward.")
        if choice.quantity is not None and not 1 <= choice.quantity <= MOST_OF_A_LINE:
            raise LinesInvalidError(f"A limit is between 1 and {MOST_OF_A_LINE:,}, or empty.")
    if len({_chain_of(session, choice) for choice in choices} - {None}) > 1:
        raise LinesInvalidError("Digital assets of one airdrop are on one chain.")


def _chain_of(session: Session, choice: Choice) -> int | None:
    """The chain of a live asset; a live perk is on none."""
    if choice.asset_id is not None:
        asset = assets.get(session, choice.asset_id)
        if asset.state is not ContractState.LIVE:
            raise RewardNotLiveError(asset.title)
        return asset.chain_id
    assert choice.perk_id is not None  # one of both
    perk = perks.get(session, choice.perk_id)
    if perk.state is not PerkState.LIVE:
        raise RewardNotLiveError(perk.title)
    return None


def make_line(session: Session, choice: Choice, *, is_reserved: bool = False) -> RewardLine:
    """A line outside campaigns, which whatever gives by it names.

    Args:
        is_reserved: all of its quantity counts as given of the reward from now on.

    Raises:
        LinesInvalidError: a quantity is out of range.
        RewardNotLiveError: the reward is not published.
        PerkExhaustedError, SupplyExhaustedError: fewer are left than are to be reserved; roll back.
        AssetNotFoundError, PerkNotFoundError: this merchant has none with the id.

    Locks: the perk or the asset, if reserved.
    """
    _check(session, [choice])
    line = RewardLine(
        id=RewardLineId(new_id()),
        asset_id=choice.asset_id,
        perk_id=choice.perk_id,
        per_recipient=choice.per_recipient,
        quantity=choice.quantity,
        is_reserved=is_reserved,
    )
    if is_reserved:
        assert choice.quantity is not None  # whoever reserves says how many
        _reserve(session, line, choice.quantity)
    session.add(line)
    session.flush()
    return line


def give_back(session: Session, line: RewardLine) -> int:
    """The line gives nothing more; what was reserved and not given is free for others.

    Returns:
        How many of the line are left.

    Locks: the line, then the perk or the asset.
    """
    session.refresh(line, with_for_update=True)
    left = 0 if line.quantity is None else line.quantity - line.granted_count
    if line.is_reserved and left:
        _reserve(session, line, -left)
    line.quantity = line.granted_count
    session.flush()
    return left


def reserve_more(session: Session, line: RewardLine, count: int) -> None:
    """The line gives so many more than it did, and the reward counts them as given from now on.

    Raises:
        PerkExhaustedError, SupplyExhaustedError: the reward has fewer left; roll back.

    Locks: the line, then the perk or the asset.
    """
    session.refresh(line, with_for_update=True)
    assert line.quantity is not None  # whoever reserves says how many
    _reserve(session, line, count)
    line.quantity += count
    session.flush()


def _reserve(session: Session, line: RewardLine, count: int) -> None:
    if line.asset_id is not None:
        airdrops.reserve(session, line.asset_id, count)
    else:
        assert line.perk_id is not None  # one of both
        perks.take_stock(perks.lock(session, line.perk_id), count)


def lines_of(session: Session, campaign_id: CampaignId) -> Sequence[RewardLine]:
    """The campaign's reward lines in their order."""
    query = select(RewardLine).where(RewardLine.campaign_id == campaign_id)
    return session.scalars(query.order_by(RewardLine.position)).all()


def rewards_of(session: Session, campaign_id: CampaignId) -> list[Reward]:
    """What the campaign gives, in the order of its lines."""
    return rewards_of_many(session, [campaign_id]).get(campaign_id, [])


def rewards_of_many(
    session: Session, campaign_ids: Sequence[CampaignId]
) -> dict[CampaignId, list[Reward]]:
    """What these campaigns give, by campaign."""
    rows = session.execute(
        select(RewardLine, DigitalAsset, Perk)
        .outerjoin(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .outerjoin(Perk, Perk.id == RewardLine.perk_id)
        .where(RewardLine.campaign_id.in_(campaign_ids))
        .order_by(RewardLine.campaign_id, RewardLine.position)
    )
    found: dict[CampaignId, list[Reward]] = {}
    for line, asset, perk in rows:
        assert line.campaign_id is not None  # as asked for
        found.setdefault(line.campaign_id, []).append(Reward(line, asset, perk))
    return found


def reward_of(session: Session, line_id: RewardLineId) -> Reward:
    """What the line gives."""
    line = session.get_one(RewardLine, line_id)
    asset = session.get(DigitalAsset, line.asset_id) if line.asset_id else None
    perk = session.get(Perk, line.perk_id) if line.perk_id else None
    return Reward(line, asset, perk)


def names_of(rewards: Sequence[Reward]) -> dict[str, RewardLineId]:
    """What a file may call these rewards; a name that two of them share means neither, unless it is
    the reference of one.
    """
    names = [(name, it.line.id) for it in rewards for name in it.names]
    references = [(it.reference, it.line.id) for it in rewards if it.reference]
    return {**_unique(names), **_unique(references)}


def _unique(named: Sequence[tuple[str, RewardLineId]]) -> dict[str, RewardLineId]:
    lines: dict[str, set[RewardLineId]] = {}
    for name, line in named:
        lines.setdefault(name, set()).add(line)
    return {name: next(iter(ids)) for name, ids in lines.items() if len(ids) == 1}
