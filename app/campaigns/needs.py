"""What publishing now would promise of each reward, and to whom; nothing here writes."""

from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import ColumnElement, Subquery, func, select
from sqlalchemy.orm import Session

from app.campaigns import audiences
from app.campaigns.audiences import Given
from app.campaigns.models import Campaign
from app.perks.models import Perk, PerkQuota
from app.rewards.lines import Reward, rewards_of
from minting.forecast import Audience, Share
from minting.models import DigitalAsset


@dataclass(frozen=True)
class Need:
    """What a line would give.

    Args:
        needed: how many of it.
        skipped: how many of a perk nobody would get, because the recipient is no member or would
            have too many.
        shares: what is sent of a digital asset.
    """

    reward: Reward
    needed: int
    skipped: int
    shares: tuple[Share, ...] = ()

    @property
    def missing(self) -> int:
        """How many more are needed than there are."""
        left = self.reward.left
        return 0 if left is None else max(0, self.needed - left)


def needs(session: Session, campaign: Campaign) -> list[Need]:
    """What each line of the campaign would give, in their order."""
    rewards = {reward.line.id: reward for reward in rewards_of(session, campaign.id)}
    return [
        _need(session, campaign, given, rewards[given.line.id])
        for given in audiences.given_by(session, campaign)
    ]


def _need(session: Session, campaign: Campaign, given: Given, reward: Reward) -> Need:
    wanted = audiences.wanted(session, campaign, given)
    if reward.asset is not None:
        return _of_asset(session, wanted, reward, reward.asset)
    assert reward.perk is not None  # one of both
    return _of_perk(session, wanted, reward, reward.perk)


def _of_asset(session: Session, wanted: Subquery, reward: Reward, asset: DigitalAsset) -> Need:
    """The first of each is one share, of which there are so many copies as everybody receives; what
    only some receive beyond is another.
    """
    is_member = wanted.c.user_id.is_not(None)
    is_address = ~is_member & ~wanted.c.is_new
    rows = session.execute(
        select(
            wanted.c.quantity,
            func.count(),
            func.count().filter(wanted.c.is_new & ~is_member),
            func.count().filter(is_address),
        )
        .group_by(wanted.c.quantity)
        .order_by(wanted.c.quantity)
    ).all()
    shares = []
    for before, quantity in pairwise([0, *(row[0] for row in rows)]):
        beyond = [row for row in rows if row[0] >= quantity]
        members = select(wanted.c.user_id).where(is_member, wanted.c.quantity >= quantity)
        audience = Audience(members, sum(row[2] for row in beyond), sum(row[3] for row in beyond))
        shares.append(Share(asset, audience, quantity - before))
    needed = sum(quantity * count for quantity, count, _, _ in rows)
    return Need(reward, needed, 0, tuple(shares))


def _of_perk(session: Session, wanted: Subquery, reward: Reward, perk: Perk) -> Need:
    """Members get what their limit leaves; who is no member gets nothing."""
    is_member = wanted.c.user_id.is_not(None) | wanted.c.is_new
    each: ColumnElement[int] = wanted.c.quantity
    if perk.max_per_user is not None:
        left = perk.max_per_user - func.coalesce(PerkQuota.granted_count, 0)
        each = func.least(each, func.greatest(left, 0))
    is_theirs = (PerkQuota.user_id == wanted.c.user_id) & (PerkQuota.perk_id == perk.id)
    asked, needed = session.execute(
        select(func.sum(wanted.c.quantity), func.sum(each).filter(is_member))
        .select_from(wanted)
        .outerjoin(PerkQuota, is_theirs)
    ).one()
    return Need(reward, int(needed or 0), int(asked or 0) - int(needed or 0))
