"""Limits of units of points and of corrections: at the limit taken, one beyond named."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.points import moving, units
from app.points.errors import AdjustmentInvalidError, UnitInvalidError
from app.points.models import Expiry
from app.points.units import UnitDraft
from tests.app.points.test_ledger import make_unit
from tests.conftest import NOW
from tests.factories.brand import make_members

CODES = (
    ["ab", "a" * 20, "a_1", "__", "12"],
    ["", "a", "a" * 21, "A1", "a-b", "a b", "é1", "ab\n", "a١"],
)
NAMES = (["x", "x" * 40], ["", "x" * 41, "a\nb"])
COUNTS = ([0, 3_650], [-1, 3_651])
REASONS = (["x", "x" * 200, f"  {'x' * 200} "], ["", "   ", "x" * 201, "a\nb", "a\0b"])
AMOUNTS = ([1, -1, 10**12, -(10**12)], [0, 10**12 + 1, -(10**12) - 1])


def drafted(field: str, value: Any) -> UnitDraft:
    said = {"code": "beans", "name": {"en": "Bean"}, "plural": {"en": "Beans"}}
    kept = {"en": value} if field in ("name", "plural") else value
    return UnitDraft(**{**said, "expiry": Expiry.DAYS, field: kept})


@pytest.mark.parametrize(
    ("field", "values"),
    [("code", CODES), ("name", NAMES), ("plural", NAMES), ("expiry_count", COUNTS)],
)
def test_a_unit(session: Session, field: str, values: tuple[list[Any], list[Any]]) -> None:
    for value in values[1]:
        with pytest.raises(UnitInvalidError) as refused:
            units.create(session, drafted(field, value), at=NOW)
        assert (refused.value.status, list(refused.value.fields)) == (422, [field]), value
    for value in values[0]:
        world = session.begin_nested()
        assert units.create(session, drafted(field, value), at=NOW).id
        world.rollback()


@pytest.mark.parametrize(("field", "values"), [("reason", REASONS), ("amount", AMOUNTS)])
def test_a_correction(session: Session, field: str, values: tuple[list[Any], list[Any]]) -> None:
    [ada] = make_members(session, "ada@example.com")
    unit = make_unit(session, allows_debt=True)
    said = {"amount": 1, "reason": "because"}
    for value in values[1]:
        with pytest.raises(AdjustmentInvalidError) as refused:
            _adjust(session, unit, ada, {**said, field: value}, key="refused")
        assert (refused.value.status, list(refused.value.fields)) == (422, [field]), value
    for place, value in enumerate(values[0]):
        assert _adjust(session, unit, ada, {**said, field: value}, key=str(place)).id


def _adjust(session: Session, unit: Any, user: Any, said: dict[str, Any], *, key: str) -> Any:
    return moving.adjust(
        session, unit, user, said["amount"], key=key, reason=said["reason"], at=NOW
    )
