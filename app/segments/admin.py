"""Screens of segments: list, builder with a live count, members, and why somebody is in."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.segments import builder, queries, rules, service, words
from app.segments.builder import Draft
from app.segments.errors import RuleInvalidError
from app.segments.explain import explain
from app.segments.ground import GoneError
from app.segments.models import Segment, SegmentMember, SegmentState
from app.users import service as users
from app.users.fields import catalogue
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import is_htmx, render, render_part
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import SegmentId, UserId

router = APIRouter(prefix="/admin/segments")
_EDIT = "segments/segment_edit.html"
_MOVING = (SegmentState.BUILDING, SegmentState.REBUILDING)


@router.get("")
def list_segments(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    archived: bool = False,
    cursor: str | None = None,
) -> Response:
    """The segments, newest first."""
    query = queries.segments(is_archived=archived)
    page = list_page(session, query, keys=[Segment.id], is_descending=True, cursor=cursor)
    return render(
        request, "segments/segments.html", page=page, archived=archived, encode_id=encode_id
    )


@router.get("/new")
def new_segment(request: Request, session: SessionDep, _who: Editor) -> Response:
    """The form of a new segment."""
    return _edit_page(request, session, None, Draft([[builder.Line()]]), {"is_quiet": "1"})


@router.post("/new")
def create_segment(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, form: FormDep
) -> Response:
    """There is a segment, or the form comes back, changed as its button said."""
    draft = builder.read(form)
    if action := str(form.get("action", "")):
        draft.act(action)
        return _edit_page(request, session, None, draft, form)
    try:
        segment = service.create(
            session,
            service.parse(draft.rule()),
            **_called(form),
            is_quiet="is_quiet" in form,
            at=at,
        )
    except InvalidError as error:
        return _edit_page(request, session, None, draft, form, error)
    return RedirectResponse(queries.address(segment), status_code=303)


@router.post("/count")
def count_members(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, form: FormDep
) -> Response:
    """How many members the rule in the form takes in now, and some of them."""
    context: dict[str, Any] = {"preview": None, "problem": None, "encode_id": encode_id}
    try:
        rule = service.parse(builder.read(form).rule())
        service.check(session, rule)
        context["preview"] = service.preview(session, rule, at=at)
    except (InvalidError, GoneError) as error:
        fields = getattr(error, "fields", {})
        context["problem"] = next(iter(fields.values()), str(error))
    return render(request, "segments/segment_count.html", block="count", **context)


@router.get("/{segment_id}")
def show_segment(
    request: Request, session: SessionDep, _who: Analyst, segment_id: str, cursor: str | None = None
) -> Response:
    """The segment with its members, its rule in words and how many there were."""
    segment = _segment(session, segment_id)
    page = list_page(
        session, queries.members(segment.id), keys=[SegmentMember.user_id], cursor=cursor
    )
    return render_part(
        request,
        "segments/segment.html",
        block="state",
        is_moving=segment.state in _MOVING,
        segment=segment,
        address=queries.address(segment),
        page=page,
        people=queries.users_of(session, [it.user_id for it in page.items]),
        counts=queries.counts(session, segment.id),
        versions=queries.versions(session, segment.id),
        used_by=service.used_by(session, segment.id),
        sentences=words.sentences(rules.load(segment.rule), _names(session)),
        encode_id=encode_id,
    )


@router.get("/{segment_id}/edit")
def edit_segment(
    request: Request, session: SessionDep, _who: Editor, segment_id: str, number: int | None = None
) -> Response:
    """The builder with the rule as it is, or as it was in an earlier version."""
    segment = _segment(session, segment_id)
    rule = segment.rule
    for version in queries.versions(session, segment.id):
        rule = version.rule if version.number == number else rule
    known = {"name": segment.name, "reference_id": segment.reference_id or ""}
    return _edit_page(request, session, segment, builder.write(rules.load(rule)), known)


@router.post("/{segment_id}/edit")
def save_segment(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, segment_id: str, form: FormDep
) -> Response:
    """The segment asks this from now on, or the form comes back, changed as its button said."""
    segment, draft = _segment(session, segment_id), builder.read(form)
    if action := str(form.get("action", "")):
        draft.act(action)
        return _edit_page(request, session, segment, draft, form)
    try:
        rule = service.parse(draft.rule())
        service.change(session, segment, rule, **_called(form), at=at)
    except InvalidError as error:
        return _edit_page(request, session, segment, draft, form, error)
    return RedirectResponse(queries.address(segment), status_code=303)


@router.post("/{segment_id}/rebuild")
def rebuild_segment(session: SessionDep, _who: Editor, segment_id: str) -> Response:
    """It is built again from its rule."""
    segment = _segment(session, segment_id)
    service.rebuild(session, segment)
    return RedirectResponse(queries.address(segment), status_code=303)


@router.post("/{segment_id}/archive")
def archive_segment(session: SessionDep, at: AtDep, _who: Editor, segment_id: str) -> Response:
    """It is put away."""
    service.archive(session, _segment(session, segment_id), at=at)
    return RedirectResponse("/admin/segments", status_code=303)


@router.get("/{segment_id}/members/{user_id}")
def explain_member(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Analyst,
    segment_id: str,
    user_id: str,
) -> Response:
    """Why this member is in the segment or out of it."""
    segment = _segment(session, segment_id)
    user = users.get_user(session, UserId(decode_id("usr", user_id)))
    return render(
        request,
        "segments/segment_explain.html",
        segment=segment,
        address=queries.address(segment),
        user=user,
        found=explain(session, segment, user.id, at=at),
        sentence=words.sentence,
        names=_names(session),
        encode_id=encode_id,
    )


def _called(form: FormData) -> dict[str, str]:
    return {key: str(form.get(key, "")) for key in ("name", "reference_id")}


def _segment(session: Session, text: str) -> Segment:
    return service.get(session, SegmentId(decode_id("seg", text)))


def _names(session: Session) -> words.Names:
    fields = {key: it.name for key, it in catalogue(session).items()}
    things = (
        *queries.lists(session),
        *queries.other_segments(session, None),
        *queries.badges(session),
        *queries.assets(session),
        *queries.campaigns(session),
    )
    return words.Names(fields, dict(things))


def _edit_page(
    request: Request,
    session: Session,
    segment: Segment | None,
    draft: Draft,
    form: FormData | dict[str, str],
    error: InvalidError | None = None,
) -> Response:
    fields = catalogue(session)
    context: dict[str, Any] = {
        "segment": segment,
        "address": "/admin/segments/new" if segment is None else f"{queries.address(segment)}/edit",
        "draft": draft,
        "name": form.get("name", ""),
        "reference_id": form.get("reference_id", ""),
        "is_quiet": "is_quiet" in form,
        "fields": fields,
        "field_names": [(key, it.name) for key, it in fields.items()],
        "operators": words.operators(),
        "problems": words.problems(error) if isinstance(error, RuleInvalidError) else {},
        "error": error,
        "lists": queries.lists(session),
        "segments": queries.other_segments(session, None if segment is None else segment.id),
        "badges": queries.badges(session),
        "assets": queries.assets(session),
        "campaigns": queries.campaigns(session),
        "event_types": queries.event_types(session),
    }
    if is_htmx(request) and error is None:
        return render(request, _EDIT, block="rule", **context)
    return render(request, _EDIT, status_code=error.status if error else 200, **context)
