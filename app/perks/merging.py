"""What two members of one person were promised of perks is one person's from now on."""

from sqlalchemy import case, delete, func, null, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.perks.code_models import PerkCode
from app.perks.models import PerkQuota
from app.users.models import User


def move_all(session: Session, other: User, survivor: User) -> None:
    """Whoever stays was promised what both were, and codes kept for either wait for them.

    Together they may have more of a perk than anybody may: they keep it, and receive no more.
    Holdings stay where they are (`app.users.queries.identities`).

    Locks: the quotas, then the codes that are kept for the other's address.
    """
    gone = delete(PerkQuota).where(PerkQuota.user_id == other.id)
    theirs = session.execute(
        gone.returning(PerkQuota.perk_id, PerkQuota.granted_count, PerkQuota.max_per_user)
    ).all()
    for perk_id, count, most in theirs:
        row = insert(PerkQuota).values(
            perk_id=perk_id, user_id=survivor.id, granted_count=count, max_per_user=most
        )
        both = PerkQuota.granted_count + row.excluded.granted_count
        limit = func.greatest(PerkQuota.max_per_user, row.excluded.max_per_user)
        session.execute(
            row.on_conflict_do_update(
                index_elements=[PerkQuota.perk_id, PerkQuota.user_id],
                set_={
                    "granted_count": both,
                    "max_per_user": case((both <= limit, limit), else_=null()),
                },
            )
        )
    session.execute(
        update(PerkCode)
        .where(PerkCode.reserved_for == other.email_key)
        .values(reserved_for=survivor.email_key)
        .execution_options(synchronize_session=False)
    )
