"""Perks in members' hands, with codes, without a campaign's run."""

import io
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.perks import code_files, code_loading, codes, handing
from app.perks.code_models import CodeFile, PerkCode
from app.perks.models import Holding, Perk, Place
from app.perks.terms import Options, RedemptionType
from app.rewards.lines import Choice, set_lines
from app.rewards.models import Grant, GrantSource, GrantState
from core.ids import new_id
from core.types import GrantId, PlaceId, UserId
from tests.conftest import NOW
from tests.factories.brand import make_campaign, make_members, make_perk


def perk_of(session: Session, kind: RedemptionType, **changes: Any) -> Perk:
    """A live perk that is redeemed this way; `terms` are its parameters."""
    terms: Options = changes.pop("terms", Options())
    values = {"redemption": kind, "options": terms.dump(), **changes}
    return make_perk(session, **values)


def grants_of(session: Session, perk: Perk, users: Sequence[UserId]) -> list[GrantId]:
    """Delivered grants of the perk, one for each of these, without holdings."""
    campaign = make_campaign(session, title=f"C{new_id().hex[-8:]}")
    [line] = set_lines(session, campaign.id, [Choice(perk_id=perk.id)])
    rows = [
        Grant(
            id=GrantId(new_id()),
            source_type=GrantSource.AIRDROP,
            source_id=line.id,
            reward_line_id=line.id,
            recipient_key=f"{user}/{number}",
            ordinal=number,
            user_id=user,
            state=GrantState.DELIVERED,
            created_at=NOW,
        )
        for number, user in enumerate(users)
    ]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def hand_over(session: Session, perk: Perk, grants: Sequence[GrantId], at: Any = NOW) -> int:
    """How many of these grants have a holding now."""
    rows = select(Grant.id, Grant.user_id).where(Grant.id.in_(grants))
    held = handing.hand_over(perk, rows, at=at)
    return len(session.execute(select(held.c.id, held.c.user_id, held.c.grant_id)).all())


def hold(session: Session, perk: Perk, email: str = "ada@example.com", at: Any = NOW) -> Holding:
    """A holding of the perk in the hands of a member, who may be new."""
    from app.users.service import find_by_email

    found = find_by_email(session, email)
    user = make_members(session, email)[0] if found is None else found.id
    grants = grants_of(session, perk, [user])
    perk.granted_count += 1
    session.flush()
    assert hand_over(session, perk, grants, at) == 1
    return session.scalars(select(Holding).where(Holding.grant_id == grants[0])).one()


def load(session: Session, perk: Perk, content: str | bytes, name: str = "codes.csv") -> CodeFile:
    """The file, read to its end."""
    raw = content.encode() if isinstance(content, str) else content
    row = code_files.upload(session, perk, name, io.BytesIO(raw), at=NOW)
    return go_on(session, row)


def go_on(session: Session, row: CodeFile) -> CodeFile:
    """The file, read to its end."""
    while code_loading.run_part(session, row.id, at=NOW):
        pass
    return row


def code_of(session: Session, holding: Holding) -> str:
    """What the holding's code is."""
    row = codes.of_holding(session, holding)
    assert row is not None
    return codes.opened(row)


def codes_of(session: Session, perk: Perk) -> dict[str, PerkCode]:
    """Every code of the pool."""
    rows = session.scalars(select(PerkCode).where(PerkCode.perk_id == perk.id))
    return {codes.opened(row): row for row in rows}


def make_place(session: Session, name: str = "Counter") -> Place:
    """Somewhere perks are used."""
    place = Place(id=PlaceId(new_id()), name=name, address="", created_at=NOW)
    session.add(place)
    session.flush()
    return place
