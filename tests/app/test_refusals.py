"""Refusals by their names: for each name a program may rely on, one way to be told exactly that.

A refusal that has several ways is tried in all of them beside the code that refuses; reasons of
passes are in `verification/test_scans.py`, the answers of the API of tills in
`scanning/test_till.py`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.claims import claiming, guessing
from app.claims import service as claims
from app.claims.claiming import Attempt
from app.claims.models import ClaimAudience, ClaimBatch
from app.claims.seeds import code_of
from app.perks import code_files, using
from app.perks import service as perks
from app.perks.drafting import PerkDraft
from app.perks.errors import PerkUnpublishableError
from app.perks.models import Channel, Holding, PerkPlace, PerkState
from app.perks.terms import RedemptionType, Validity, parse_hours
from app.points import moving
from app.points.ledger import Stamp
from app.points.models import TransactionKind
from app.rewards.granting import grant
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantSource
from app.rewards.service import Source
from app.scanning import devices, looking, offline
from app.scanning.offline import Queued
from app.scanning.scanner import Scanner
from app.users import lists
from app.users.models import User
from core.errors import AppError
from minting import assets
from tests.app.points.test_ledger import earn, make_unit
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_perk
from tests.factories.claims import make_batch
from tests.factories.draws import make_draw, make_raffle
from tests.factories.perks import hold, load, make_place, perk_of
from tests.factories.scanning import code_for, make_device, make_holding

DAY = timedelta(days=1)
UNIQUE, LINK, NONE = RedemptionType.UNIQUE_CODE, RedemptionType.LINK, RedemptionType.NONE
Act = Callable[[Session], object]
"""Raises the refusal, or returns it."""


def told(session: Session, act: Act) -> tuple[int, str]:
    """Status and name of the refusal."""
    try:
        answer = act(session)
    except AppError as refused:
        answer = refused
    assert isinstance(answer, AppError), "nothing was refused"
    return answer.status, answer.code


# --- publishing a perk --------------------------------------------------------------------------

DRAFT = PerkDraft("Coffee, internally", "Coffee")
UNPUBLISHABLE: dict[str, dict[str, Any]] = {
    "title_missing": {"title": ""},
    "codes_missing": {"redemption": UNIQUE},
    "validity_in_past": {"validity": Validity.UNTIL, "valid_until": NOW},
    "cta_url_invalid": {"cta_url": "http://a.example"},
}


@pytest.mark.parametrize("name", UNPUBLISHABLE)
def test_a_perk_is_not_published(session: Session, name: str) -> None:
    perk = make_perk(session, state=PerkState.DRAFT, **UNPUBLISHABLE[name])
    with pytest.raises(PerkUnpublishableError) as refused:
        perks.publish(session, perk, at=NOW)
    assert (refused.value.status, refused.value.problems) == (422, (name,))
    assert perk.state is PerkState.DRAFT


# --- rows of a file of codes --------------------------------------------------------------------

ROWS = {
    "duplicate_in_file": "A,,\nA,,",
    "duplicate_in_pool": "OLD,,",
    "empty": " ,,",
    "too_long": f"{'x' * 129},,",
    "illegal_character": '"a\tb",,',
    "date_invalid": "A,2026-02-30,",
}


@pytest.mark.parametrize("reason", ROWS)
def test_a_row_is_no_code(session: Session, reason: str) -> None:
    perk = perk_of(session, UNIQUE)
    load(session, perk, "OLD\n", name="old.txt")
    row = load(session, perk, f"code,expiresAt,email\n{ROWS[reason]}\n")
    lines = "".join(code_files.refusals_as_csv(session, row)).splitlines()[1:]
    assert [line.partition(",")[2] for line in lines] == [reason]


# --- giving a reward ----------------------------------------------------------------------------


def _grant(session: Session, choice: Choice, email: str = "ada@example.com", by: int = 1) -> object:
    found = session.scalar(select(User).where(User.email_key == email))
    user = make_members(session, email)[0] if found is None else found.id
    line = make_line(session, choice)
    return grant(session, line, user, source=Source(GrantSource.CLAIM, UUID(int=by)), at=NOW)


def _twice(session: Session, choice: Choice, second: str = "eve@example.com") -> object:
    _grant(session, choice)
    return _grant(session, choice, second, by=2)


def _of_line(session: Session) -> object:
    line = make_line(session, Choice(perk_id=make_perk(session).id, quantity=1))
    source = Source(GrantSource.CLAIM, UUID(int=1))
    for user in make_members(session, "ada@example.com", "eve@example.com"):
        given = grant(session, line, user, source=source, at=NOW)
    return given


def _of_pool(session: Session) -> object:
    perk = perk_of(session, UNIQUE)
    load(session, perk, "A\n", name="c.txt")
    return _twice(session, Choice(perk_id=perk.id))


def _perk(session: Session, **changes: Any) -> Choice:
    return Choice(perk_id=make_perk(session, **changes).id)


GRANTS: dict[str, tuple[int, Act]] = {
    "stock_exhausted": (409, _of_line),
    "stock_exhausted, of the perk": (409, lambda s: _twice(s, _perk(s, total_quantity=1))),
    "per_user_limit": (409, lambda s: _twice(s, _perk(s, max_per_user=1), "ada@example.com")),
    "code_pool_empty": (409, _of_pool),
    "supply_exhausted": (409, lambda s: _twice(s, Choice(make_asset(s, max_supply=1).id))),
    "reward_not_live": (422, lambda s: _grant(s, _perk(s, state=PerkState.DRAFT))),
}

# --- claiming a code ----------------------------------------------------------------------------


def _claim(
    session: Session, batch: ClaimBatch, position: int = 1, email: str = "ada@example.com"
) -> object:
    found = session.scalar(select(User).where(User.email_key == email))
    user = found or session.get_one(User, make_members(session, email)[0])
    attempt = Attempt(code_of(batch, position), guessing.network_of("192.0.2.1"))
    return claiming.claim(session, user, attempt, at=NOW)


def _claimed(session: Session, batch: ClaimBatch, *again: Any) -> object:
    _claim(session, batch)
    return _claim(session, batch, *again)


def _guess(session: Session, times: int, answer: str = "") -> object:
    """Unknown codes, one after the other; the answer to the last."""
    attempt = Attempt("A" * 26, guessing.network_of("192.0.2.1"), answer)
    for _ in range(times):
        said = claiming.look(session, attempt, at=NOW)
    return said


def _blocked(session: Session) -> object:
    for _ in range(guessing.MOST):
        guessing.count(session, guessing.network_of("192.0.2.1"), at=NOW)
    return _guess(session, 1)


def _shut(session: Session, act: Callable[[ClaimBatch], object]) -> object:
    batch = make_batch(session)
    act(batch)
    return _claim(session, batch)


def _of_others(session: Session) -> object:
    row = lists.create(session, "Guests", at=NOW)
    return _claim(
        session, make_batch(session, audience_kind=ClaimAudience.LIST, audience_id=row.id)
    )


def _expired(session: Session) -> object:
    batch = make_batch(session, valid_until=NOW + DAY)
    batch.valid_until = NOW
    session.flush()
    return _claim(session, batch)


CLAIMS: dict[str, tuple[int, Act]] = {
    "code_unknown": (404, lambda s: _guess(s, 1)),
    "code_used": (409, lambda s: _claimed(s, make_batch(s), 1, "eve@example.com")),
    "already_claimed": (409, lambda s: _claimed(s, make_batch(s, codes=2), 2)),
    "stock_exhausted": (
        409,
        lambda s: _claimed(
            s, make_batch(s, choice=_perk(s, total_quantity=1), codes=2), 2, "eve@example.com"
        ),
    ),
    "code_expired": (410, _expired),
    "code_disabled": (
        410,
        lambda s: _shut(s, lambda it: claims.disable(s, it, 1, is_disabled=True, at=NOW)),
    ),
    "code_disabled, of the batch": (
        410,
        lambda s: _shut(s, lambda it: claims.close(s, it, at=NOW)),
    ),
    "not_in_audience": (403, _of_others),
    "proof_needed": (429, lambda s: _guess(s, 11)),
    "too_many_guesses": (429, _blocked),
}

# --- at the counter -----------------------------------------------------------------------------


def _use(session: Session, holding: Holding, *, at: Any = NOW, place: Any = None) -> object:
    return using.use(
        session, holding, channel=Channel.STAFF, actor="member:mem_1", place=place, at=at
    )


def _held(session: Session, **changes: Any) -> Holding:
    return hold(session, perk_of(session, NONE, **changes))


def _read(session: Session, spell: Callable[[str], str], *, at: Any = NOW) -> object:
    token = code_for(session, make_holding(session))
    return looking.read(session, make_device(session)[0], spell(token), at=at)


def _used_twice(session: Session) -> object:
    holding = _held(session)
    _use(session, holding)
    return _use(session, holding)


def _revoked(session: Session) -> object:
    holding = _held(session)
    using.revoke(session, holding, reason="refunded", at=NOW)
    return _use(session, holding)


def _elsewhere(session: Session) -> object:
    holding, there = _held(session), make_place(session, "There")
    session.add(PerkPlace(perk_id=holding.perk_id, place_id=there.id))
    return _use(session, holding, place=make_place(session, "Here").id)


def _at_night(session: Session) -> object:
    hours = parse_hours(["08:00-09:00", "", "", "", "", "", ""])  # NOW is a Monday noon
    return _use(session, _held(session, usable_hours=hours.dump()))


COUNTER: dict[str, tuple[int, Act]] = {
    "code_unknown": (404, lambda s: _read(s, lambda _: "NOTHING")),
    "already_used": (409, _used_twice),
    "expired": (
        409,
        lambda s: _use(s, _held(s, validity=Validity.UNTIL, valid_until=NOW + DAY), at=NOW + DAY),
    ),
    "revoked": (409, _revoked),
    "outside_hours": (409, _at_night),
    "wrong_place": (409, _elsewhere),
    "token_expired": (410, lambda s: _read(s, str, at=NOW + timedelta(seconds=91))),
    "token_forged": (401, lambda s: _read(s, lambda token: token[:-4] + "AAAA")),
}

# --- draws, points, states ----------------------------------------------------------------------


def _overdrawn(session: Session) -> object:
    [ada] = make_members(session, "ada@example.com")
    unit = make_unit(session)
    earn(session, unit, ada, 10, "k")
    stamp = Stamp("s", TransactionKind.SPEND, "test")
    return moving.post(session, unit, ada, -11, stamp, at=NOW)


def _too_many(session: Session) -> object:
    perk = make_perk(session, total_quantity=1)
    return make_draw(session, lines=[Choice(perk_id=perk.id, quantity=2)])


OTHERS: dict[str, tuple[int, Act]] = {
    "quantity_exceeds_stock": (409, _too_many),
    "boxes_below_quantities": (422, lambda s: make_draw(s, 2, 3, boxes=4)),
    "draw_date_before_end": (422, lambda s: make_raffle(s, draw_at=NOW)),
    "draw_invalid": (422, lambda s: make_raffle(s, draw_at=None)),
    "insufficient_points": (409, _overdrawn),
    "reward_in_use": (409, lambda s: perks.archive(s, make_perk(s), is_in_use=True)),
    "reward_in_use, of an asset": (409, lambda s: assets.archive(s, make_asset(s), is_in_use=True)),
    "invalid_transition": (409, lambda s: perks.publish(s, make_perk(s), at=NOW)),
}


@pytest.mark.parametrize(
    ("table", "name"),
    [
        pytest.param(table, name, id=f"{about}-{name}")
        for about, table in (
            ("give", GRANTS),
            ("claim", CLAIMS),
            ("counter", COUNTER),
            ("else", OTHERS),
        )
        for name in table
    ],
)
def test_is_refused_by_exactly_this_name(
    session: Session, table: dict[str, tuple[int, Act]], name: str
) -> None:
    status, act = table[name]
    assert told(session, act) == (status, name.partition(",")[0])


# --- what devices accepted without connection ---------------------------------------------------

OFFLINE = ("accepted", "conflict", "expired")


@pytest.mark.parametrize("outcome", OFFLINE)
def test_a_scan_without_connection_is_judged(session: Session, outcome: str) -> None:
    scanner: Scanner = make_device(session)[0]
    assert scanner.place_id is not None
    devices.allow_offline(session, scanner.place_id, is_allowed=True, at=NOW)
    holding = make_holding(session)
    token = code_for(session, holding)
    if outcome == "conflict":
        _use(session, holding)
    scanned_at = NOW + (timedelta(seconds=91) if outcome == "expired" else timedelta())
    [row] = offline.sync(session, scanner, [Queued(uuid4(), token, scanned_at)], at=NOW + DAY)
    assert row.outcome == outcome
