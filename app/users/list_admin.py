"""The list of members: searched, filtered, sorted, with columns of one's own, and acts on many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.users import fields, filters, listing, lists, queries, standing, values
from app.users.fields import Field
from app.users.filters import Filters
from app.users.imports.queries import list_imports
from app.users.listing import PASS
from app.users.models import User, UserList, UserState
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.errors import UnstorableTextError
from app.web.i18n import gettext as _
from app.web.rendering import render
from core.db import sql_ids
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import ListId, UserId

router = APIRouter(prefix="/admin/users")
_LIST = "/admin/users"
MOST_AT_ONCE = 10_000
_ACTS = ("add", "remove", "block")


def asked_filters(  # noqa: PLR0913 - one parameter of the address each
    q: str = "",
    state: str = "",
    source: str = "",
    list_id: Annotated[str, Query(alias="list")] = "",
    segment: str = "",
    field: str = "",
    op: str = "",
    value: str = "",
) -> Filters:
    """What the address asks for.

    Raises:
        UnstorableTextError: it holds what no member can have.
    """
    if "\0" in f"{q}{source}{value}":
        raise UnstorableTextError
    return Filters(q, state, source, list_id, segment, field, op, value)


FiltersDep = Annotated[Filters, Depends(asked_filters)]


@router.get("")
def list_users(
    request: Request,
    session: SessionDep,
    who: Analyst,
    asked: FiltersDep,
    sort: str = "",
    cursor: str | None = None,
) -> Response:
    """Members as asked for, the newest first unless another order is chosen."""
    known = fields.catalogue(session)
    columns = listing.columns_of(session, who.member.id, known)
    shown = [known[key] for key in columns if key != PASS]
    conditions = filters.conditions(session, asked, known)
    order = listing.order_of(sort, known)
    page = listing.list_members(session, conditions, order, shown, cursor=cursor)
    context: dict[str, Any] = {
        "page": page,
        "asked": asked,
        "sort": sort or "-created_at",
        "count": listing.count(session, conditions),
        "columns": [_column(key, known) for key in columns],
        "passes": queries.passes_of(session, [row.user.id for row in page.items]),
        "imports": list_imports(session, limit=5) if asked.is_empty else (),
        **_choices(session, known),
    }
    return render(request, "users/list.html", **context)


@dataclass(frozen=True)
class _Column:
    key: str
    name: str
    field: Field | None


def _column(key: str, known: dict[str, Field]) -> _Column:
    return _Column(key, _("Pass") if key == PASS else known[key].name, known.get(key))


def _choices(session: Session, known: dict[str, Field]) -> dict[str, Any]:
    return {
        "fields": list(known.values()),
        "states": list(UserState),
        "sources": queries.list_sources(session),
        "lists": [(encode_id("lst", it.id), it.name) for it in lists.list_active(session)],
        "segments": [(encode_id("seg", it), name) for it, name in queries.list_segments(session)],
        "show": show_value,
        "encode_id": encode_id,
    }


def show_value(field: Field, value: Any) -> str:
    """The value as a list shows it; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return values.show(value, field.kind, with_time=field.with_time)


@router.post("/columns")
def choose_columns(session: SessionDep, who: Analyst, form: FormDep) -> Response:
    """The list shows these columns from now on, to whoever chose them."""
    known = fields.catalogue(session)
    keys = [str(key) for key in form.getlist("column")]
    listing.choose_columns(session, who.member.id, keys, known)
    return RedirectResponse(_back(form), status_code=303)


@router.post("/many")
def act_on_many(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, form: FormDep
) -> Response:
    """What was chosen happens to everybody chosen, once it has been confirmed."""
    chosen = _chosen(session, form)
    act = str(form.get("act", ""))
    if act not in _ACTS or not chosen:
        raise InvalidError(_("Choose at least one member, and what shall happen."))
    if form.get("confirmed"):
        _act(session, act, chosen, form, at=at)
        return RedirectResponse(_back(form), status_code=303)
    row = _list(session, form) if act != "block" else None
    return render(
        request,
        "users/many.html",
        act=act,
        row=row,
        count=len(chosen),
        users=[str(it) for it in form.getlist("user")] if not form.get("everybody") else None,
        list=str(form.get("list", "")),
        back=_back(form),
        query=str(form.get("query", "")),
    )


def _chosen(session: Session, form: FormData) -> list[UserId]:
    """Who was ticked, or everybody the filters find."""
    if not form.get("everybody"):
        return [UserId(decode_id("usr", str(it))) for it in form.getlist("user")][:MOST_AT_ONCE]
    asked = Filters.from_query(str(form.get("query", "")))
    conditions = filters.conditions(session, asked, fields.catalogue(session))
    found = listing.ids(session, conditions, limit=MOST_AT_ONCE + 1)
    if len(found) > MOST_AT_ONCE:
        raise InvalidError(
            _("These are more than 10,000 members. Narrow the filters, or import a list.")
        )
    return found


def _list(session: Session, form: FormData) -> UserList:
    return lists.get(session, ListId(decode_id("lst", str(form.get("list", "")))))


def _act(
    session: Session, act: str, chosen: Sequence[UserId], form: FormData, *, at: datetime
) -> None:
    users = select(User.id).where(User.id.in_(select(sql_ids(chosen))))
    if act == "add":
        lists.add(session, _list(session, form), users, reason="manual", at=at)
    elif act == "remove":
        lists.remove(session, _list(session, form), users, reason="manual", at=at)
    else:
        standing.block(session, users, reason=str(form.get("reason", "")), at=at)


def _back(form: FormData) -> str:
    """The list as it was."""
    query = Filters.from_query(str(form.get("query", ""))).as_query()
    return f"{_LIST}?{query}" if query else _LIST
