"""Limits of a batch of claim codes: at the limit it is made, one beyond is named."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.claims import service
from app.claims.models import ClaimAudience
from app.claims.service import BatchDraft
from app.rewards.lines import Choice
from app.users import lists
from core.errors import InvalidError
from core.ids import new_id
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.claims import make_batch

SECOND = timedelta(seconds=1)
LIMITS: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (["x", "x" * 120, "e\u0301" * 120, f" {'x' * 120} "], ["", "  ", "x" * 121]),
    "code_count": ([1, 10_000_000], [0, -1, 10_000_001]),
    "uses_per_code": ([1, 1_000_000], [0, 1_000_001]),
    "max_per_user": ([1, 100], [0, 101]),
    "kiosk_seconds": ([None, 15, 300], [14, 301, 0]),
    "valid_until": ([None, NOW + SECOND], [NOW, NOW - SECOND]),
    "valid_from": ([None, NOW - SECOND, NOW + timedelta(days=900)], []),
}


def cases(place: int) -> Iterator[Any]:
    for field, values in LIMITS.items():
        for value in values[place]:
            size = len(value) if isinstance(value, str) else value
            yield pytest.param(field, value, id=f"{field}-{size}")


def draft(session: Session, **changes: Any) -> BatchDraft:
    return replace(BatchDraft("Flyers", Choice(perk_id=make_perk(session).id)), **changes)


def refused(session: Session, wanted: BatchDraft) -> list[str]:
    """The fields that are named; nothing is made."""
    with pytest.raises(InvalidError) as caught:
        service.create(session, wanted, at=NOW)
    assert caught.value.status == 422
    return list(caught.value.fields)


@pytest.mark.parametrize(("field", "value"), cases(0))
def test_at_the_limit_it_is_made(session: Session, field: str, value: Any) -> None:
    batch = service.create(session, draft(session, **{field: value}), at=NOW)
    session.refresh(batch)
    expected = value.strip().replace("e\u0301", "é") if isinstance(value, str) else value
    assert getattr(batch, field) == (NOW if field == "valid_from" and value is None else expected)


@pytest.mark.parametrize(("field", "value"), cases(1))
def test_beyond_it_the_field_is_named(session: Session, field: str, value: Any) -> None:
    assert refused(session, draft(session, **{field: value})) == [field]


def test_it_ends_after_it_begins(session: Session) -> None:
    begins = NOW + timedelta(days=1)
    wanted = draft(session, valid_from=begins, valid_until=begins)
    assert refused(session, wanted) == ["valid_until"]
    service.create(session, replace(wanted, valid_until=begins + SECOND), at=NOW)


def test_on_a_screen_each_code_is_used_once(session: Session) -> None:
    wanted = draft(session, kiosk_seconds=15, uses_per_code=2)
    assert refused(session, wanted) == ["kiosk_seconds"]


@pytest.mark.parametrize("kind", [ClaimAudience.LIST, ClaimAudience.SEGMENT])
def test_its_audience_is_in_use(session: Session, kind: ClaimAudience) -> None:
    wanted = draft(session, audience_kind=kind)
    for nobody in (None, new_id()):
        assert refused(session, replace(wanted, audience_id=nobody)) == ["audience"]


def test_a_list_that_was_put_away_is_no_audience(session: Session) -> None:
    row = lists.create(session, "Guests", at=NOW)
    wanted = draft(session, audience_kind=ClaimAudience.LIST, audience_id=row.id)
    service.create(session, wanted, at=NOW)
    row.archived_at = NOW
    session.flush()
    assert refused(session, wanted) == ["audience"]


def test_it_is_topped_up_to_ten_million(session: Session) -> None:
    batch = make_batch(session)
    for count in (0, -1, 10_000_000):
        with pytest.raises(InvalidError) as caught:
            service.top_up(session, batch, count, at=NOW)
        assert list(caught.value.fields) == ["count"]
    service.top_up(session, batch, 9_999_999, at=NOW)
    assert batch.code_count == 10_000_000


def test_it_is_prolonged_to_a_moment_to_come(session: Session) -> None:
    batch = make_batch(session)
    with pytest.raises(InvalidError) as caught:
        service.extend(session, batch, NOW, at=NOW)
    assert list(caught.value.fields) == ["valid_until"]
    service.extend(session, batch, NOW + SECOND, at=NOW)
    assert batch.valid_until == NOW + SECOND
