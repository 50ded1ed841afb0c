"""Counters of whatever is limited: the database itself refuses to go below nothing or above all."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.claims import claiming
from app.claims.claiming import Attempt
from app.claims.guessing import network_of
from app.claims.seeds import code_of
from app.points import holds
from app.rewards.granting import grant
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantSource
from app.rewards.service import Source
from app.users.models import User
from tests.app.points.test_ledger import earn, make_unit
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_perk
from tests.factories.claims import make_batch
from tests.factories.draws import hand_out, make_draw

REFUSED = [
    ("reward_lines", "granted_count = -1"),
    ("reward_lines", "granted_count = quantity + 1"),
    ("reward_lines", "delivered_count = granted_count + 1"),
    ("perks", "granted_count = -1"),
    ("perks", "granted_count = total_quantity + 1"),
    ("perks", "code_count = -1"),
    ("perk_quotas", "granted_count = -1"),
    ("perk_quotas", "granted_count = max_per_user + 1"),
    ("holdings", "uses_left = -1"),
    ("digital_assets", "minted_count = max_supply + 1"),
    ("claim_batches", "made_count = code_count + 1"),
    ("claim_batches", "made_count = -1"),
    ("claim_codes", "uses_left = -1"),
    ("claim_quotas", "used_count = 0"),
    ("draws", "handed_out_count = boxes + 1"),
    ("draws", "opened_count = handed_out_count + 1"),
    ("draw_lines", "won_count = quantity + 1"),
    ("draw_lines", "won_count = -1"),
    ("points_accounts", "balance = -1"),
    ("points_lots", "remaining = -1"),
    ("points_lots", "remaining = amount + 1"),
]


@pytest.fixture
def world(session: Session) -> None:
    """One of everything that is counted, each with a limit, and some of it given."""
    [ada] = make_members(session, "ada@example.com")
    source = Source(GrantSource.CLAIM, UUID(int=1))
    limits = {"total_quantity": 3, "max_per_user": 2}
    for choice in (
        Choice(perk_id=make_perk(session, **limits).id, quantity=2),
        Choice(make_asset(session, max_supply=3).id, quantity=2),
    ):
        grant(session, make_line(session, choice), ada, source=source, at=NOW)
    batch = make_batch(session)
    attempt = Attempt(code_of(batch, 1), network_of("192.0.2.1"))
    claiming.claim(session, session.get_one(User, ada), attempt, at=NOW)
    hand_out(session, make_draw(session), ada)
    unit = make_unit(session)
    earn(session, unit, ada, 10, "k")
    holds.reserve(session, unit, ada, 4, key="order:1", until=None, at=NOW)


@pytest.mark.parametrize(("table", "change"), REFUSED)
def test_the_database_refuses(session: Session, world: None, table: str, change: str) -> None:
    column = change.split(" ", 1)[0]
    limit = change.split(" = ")[1].split(" ")[0]
    assert session.scalar(text(f"SELECT count({column}) FROM {table}")), "nothing to count"
    where = f" WHERE {limit} IS NOT NULL" if limit.isidentifier() else ""
    with pytest.raises(IntegrityError, match="check constraint"), session.begin_nested():
        session.execute(text(f"UPDATE {table} SET {change}{where}"))
