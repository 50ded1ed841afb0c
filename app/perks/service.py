"""Perks: drafted, published, archived, deleted; how many are promised, and to whom."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    exists,
    func,
    inspect,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.perks import changing, drafting, using
from app.perks.drafting import PerkDraft, draft_of
from app.perks.errors import (
    CodePoolEmptyError,
    PerkExhaustedError,
    PerkHeldError,
    PerkInUseError,
    PerkInvalidError,
    PerkNotFoundError,
    PerkTransitionError,
)
from app.perks.models import (
    Holding,
    HoldingState,
    Perk,
    PerkQuota,
    PerkState,
)
from app.users.models import User
from core.ids import new_id
from core.types import PerkId
from minting.content import ContentStore
from minting.media import Media

_SHOWN_SIDE = 480
revoke = using.revoke
"""Takes a holding back; its stock does not return, because it was given."""


def create(session: Session, draft: PerkDraft, *, at: datetime) -> Perk:
    """A draft perk exists.

    Raises:
        PerkInvalidError: `fields` names what must change.
    """
    perk = Perk(
        id=PerkId(new_id()),
        state=PerkState.DRAFT,
        granted_count=0,
        code_count=0,
        has_reserved_codes=False,
        created_at=at,
    )
    drafting.apply(session, perk, draft)
    return perk


def edit(
    session: Session, perk: Perk, draft: PerkDraft, *, is_validity_for_all: bool = False
) -> None:
    """The perk is as drafted, for whoever has it, too.

    Args:
        is_validity_for_all: whether those who have it get its validity, which otherwise counts for
            what is given later.

    Raises:
        PerkInvalidError: `fields` names what must change; of a live perk also what members would
            be shown although it could not be published.
        PerkTransitionError: it is deleted.
        Whatever is raised, nothing was changed.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    if perk.state is PerkState.DELETED:
        raise PerkTransitionError(perk.state, "changed")
    with session.begin_nested():
        drafting.apply(session, perk, draft)
        if perk.state is PerkState.LIVE:
            drafting.check_shown(perk)
    if is_validity_for_all:
        changing.carry_over_validity(session, perk)


def duplicate(session: Session, perk: Perk, internal_name: str, *, at: datetime) -> Perk:
    """A draft like this perk with its picture, without its codes and reference.

    Raises:
        PerkInvalidError: the name is taken, empty or too long.
    """
    draft = replace(draft_of(session, perk), internal_name=internal_name.strip(), reference_id=None)
    copy = create(session, draft, at=at)
    copy.visual_cid = perk.visual_cid
    session.flush()
    return copy


def picture(session: Session, store: ContentStore, perk: Perk, media: Media) -> None:
    """Members see this picture, in the size it is shown in.

    Locks: the perk.
    """
    big_enough = [it for it in media.renditions if it.width >= _SHOWN_SIDE]
    chosen = big_enough[0] if big_enough else media.renditions[-1]
    session.refresh(perk, with_for_update=True)
    perk.visual_cid = store.put(chosen.data)
    session.flush()


def get(session: Session, perk_id: PerkId) -> Perk:
    """The perk.

    Raises:
        PerkNotFoundError: this merchant has none with the id, or it is deleted.
    """
    perk = session.get(Perk, perk_id)
    if perk is None or perk.state is PerkState.DELETED:
        raise PerkNotFoundError(perk_id)
    return perk


def copy_of(perk: Perk) -> Perk:
    """As the perk is now, in no session."""
    return Perk(**{it.key: getattr(perk, it.key) for it in inspect(Perk).column_attrs})


def publish(session: Session, perk: Perk, *, at: datetime) -> None:
    """The perk can be given; an archived one can again.

    Raises:
        PerkTransitionError: it is live already.
        PerkUnpublishableError: something is missing; `problems` names it.
        PerkInvalidError: another perk has its internal name meanwhile.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    if perk.state not in (PerkState.DRAFT, PerkState.ARCHIVED):
        raise PerkTransitionError(perk.state, "published")
    taken = drafting.twins(session, perk, perk.internal_name)
    if taken:
        raise PerkInvalidError(taken)
    drafting.check_publishable(perk, at=at)
    perk.state, perk.published_at = PerkState.LIVE, perk.published_at or at
    session.flush()


def archive(session: Session, perk: Perk, *, is_in_use: bool) -> None:
    """The perk is given no more; who has it keeps it.

    Args:
        is_in_use: whether a campaign that is not over gives it.

    Raises:
        PerkTransitionError: it is no live perk.
        PerkInUseError: a campaign still gives it.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    if perk.state is not PerkState.LIVE:
        raise PerkTransitionError(perk.state, "archived")
    if is_in_use:
        raise PerkInUseError(perk.title)
    perk.state = PerkState.ARCHIVED
    session.flush()


def delete(session: Session, perk: Perk, *, is_in_use: bool) -> None:
    """The perk is seen by nobody any more; grants keep what they say of it.

    Its free codes go with the next sweep (`app.perks.sweeping`).

    Args:
        is_in_use: whether a campaign that is not over gives it.

    Raises:
        PerkTransitionError: it is live, or deleted already.
        PerkInUseError: a campaign still gives it.
        PerkHeldError: a member can still use it.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    if perk.state not in (PerkState.DRAFT, PerkState.ARCHIVED):
        raise PerkTransitionError(perk.state, "deleted")
    if is_in_use:
        raise PerkInUseError(perk.title)
    is_available = (Holding.perk_id == perk.id) & (Holding.state == HoldingState.AVAILABLE)
    if session.scalar(select(exists().where(is_available))):
        raise PerkHeldError(perk.title)
    perk.state, perk.reference_id = PerkState.DELETED, None
    session.flush()


def promise(perk: Perk, promised: CTE) -> CTE:
    """A statement that notes how many more each member was promised, to be added to another.

    Args:
        promised: rows of `user_id`, one for each of the perk.
    """
    facts: dict[InstrumentedAttribute[Any], Any] = {
        PerkQuota.perk_id: literal(perk.id),
        PerkQuota.user_id: promised.c.user_id,
        PerkQuota.granted_count: func.count(),
        PerkQuota.max_per_user: literal(perk.max_per_user, type_=PerkQuota.max_per_user.type),
    }
    rows = select(*facts.values()).select_from(promised).group_by(promised.c.user_id)
    noted = insert(PerkQuota).from_select([it.key for it in facts], rows, include_defaults=False)
    return (
        noted.on_conflict_do_update(
            index_elements=[PerkQuota.perk_id, PerkQuota.user_id],
            set_={
                "granted_count": PerkQuota.granted_count + noted.excluded.granted_count,
                "max_per_user": noted.excluded.max_per_user,
            },
        )
        .returning(PerkQuota.user_id)
        .cte("noted")
    )


def take_stock(perk: Perk, count: int) -> None:
    """So many more are promised; the perk is locked.

    Raises:
        PerkExhaustedError: fewer are left; roll back.
        CodePoolEmptyError: the same, for want of codes.
    """
    if (refusal := shortage(perk, count)) is not None:
        raise refusal
    perk.granted_count += count


def shortage(perk: Perk, count: int) -> PerkExhaustedError | None:
    """Why so many more cannot be promised, if they cannot."""
    left = perk.left
    if left is None or count <= left:
        return None
    is_pools = perk.has_pool and perk.code_count == perk.stock
    kind = CodePoolEmptyError if is_pools else PerkExhaustedError
    return kind(perk.title, wanted=count, left=left)


def take_back(session: Session, perk: Perk, released: CTE) -> int:
    """What was promised and does not happen is free for others.

    Args:
        released: rows of `user_id`, one for each of the perk; it may change rows and return them.

    Returns:
        How many there are.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    # Who was merged into somebody meanwhile counts there.
    person = func.coalesce(User.merged_into_id, User.id)
    less = select(person.label("user_id"), func.count().label("count"))
    each = less.join(released, released.c.user_id == User.id).group_by(person).subquery()
    lowered = (
        update(PerkQuota)
        .where(PerkQuota.perk_id == perk.id, PerkQuota.user_id == each.c.user_id)
        .values(granted_count=PerkQuota.granted_count - each.c.count)
        .returning(each.c.count)
        .cte("lowered")
    )
    count = int(session.scalar(select(func.sum(lowered.c.count))) or 0)
    perk.granted_count -= count
    session.flush()
    return count


def lock(session: Session, perk_id: PerkId) -> Perk:
    """The perk, as it is now, and as it stays until the transaction ends."""
    return session.get_one(Perk, perk_id, with_for_update=True, populate_existing=True)


def list_live(session: Session) -> Sequence[Perk]:
    """Perks that can be given, newest first."""
    query = select(Perk).where(Perk.state == PerkState.LIVE).order_by(Perk.id.desc())
    return session.scalars(query).all()
