"""What people choose of an export, read from its forms."""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.datastructures import FormData

from app.users.exports.errors import ExportInvalidError
from app.users.exports.models import ExportKind
from app.users.models import UserState


def options_of(kind: ExportKind, form: FormData) -> dict[str, Any]:
    """Which rows and columns.

    Raises:
        ExportInvalidError: a date is none.
    """
    if kind is ExportKind.USERS:
        state = _said(form, "state")
        return {
            "columns": [str(key) for key in form.getlist("columns")],
            "list": _said(form, "list") or None,
            "state": state if state in set(UserState) else None,
        }
    until = _day(form, "until")
    first = _day(form, "from")
    return {
        "type": _said(form, "type") or None,
        "from": first.isoformat() if first else None,
        "until": (until + timedelta(days=1)).isoformat() if until else None,
    }


def _day(form: FormData, name: str) -> datetime | None:
    text = _said(form, name)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise ExportInvalidError({name: "Enter a date such as 2026-03-31."}) from None


def _said(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()
