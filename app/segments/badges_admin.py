"""Screens of badges: made, described in languages, drawn, given to a list or segment, published."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Analyst, Editor
from app.segments import badge_views, badges
from app.segments.badges import Draft
from app.segments.models import Badge, BadgeState, BadgeVisibility
from app.users import lists, queries
from app.users.models import User
from app.users.record_admin import get_user, head_of
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.i18n import CONTENT_LANGUAGES
from app.web.i18n import gettext as _
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import BadgeId, ListId, SegmentId
from minting.content import content_store
from minting.media import render_image

router = APIRouter(prefix="/admin/users/badges")
record = APIRouter(prefix="/admin/users/{user_id}/badges")
_BADGES = "/admin/users/badges"
MEDIA_BYTES = 5_000_000


@router.get("")
def list_badges(
    request: Request, session: SessionDep, _who: Analyst, cursor: str | None = None
) -> Response:
    """The badges, newest first."""
    page = list_page(
        session, badge_views.all_badges(), keys=[Badge.id], is_descending=True, cursor=cursor
    )
    return render(
        request,
        "segments/badges.html",
        page=page,
        counts=badge_views.count_owners(session, [row.id for row in page.items]),
        text_in=badge_views.text_in,
        encode_id=encode_id,
    )


@router.post("")
def create_badge(session: SessionDep, at: AtDep, _who: Editor, form: FormDep) -> Response:
    """There is a draft."""
    row = badges.create(session, str(form.get("internal_name", "")), at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/{badge_id}")
def show_badge(
    request: Request, session: SessionDep, who: Analyst, badge_id: str, cursor: str | None = None
) -> Response:
    """The badge, to be edited, and who owns it."""
    row = _get(session, badge_id)
    return _page(request, session, row, language=who.merchant.language, cursor=cursor)


@router.post("/{badge_id}")
def change_badge(
    request: Request, session: SessionDep, at: AtDep, who: Editor, form: FormDep, badge_id: str
) -> Response:
    """The badge is as the form says; published as well, if that was the button."""
    row = _get(session, badge_id)
    try:
        with session.begin_nested():
            _save(session, row, form, at=at)
            if form.get("act") == "publish":
                badges.publish(session, row, at=at)
    except InvalidError as error:
        session.expire(row)
        return _page(request, session, row, language=who.merchant.language, error=error, form=form)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/{badge_id}/owners.csv")
def download_owners(session: SessionDep, _who: Admin, badge_id: str) -> Response:
    """Who owns it and since when."""
    row = _get(session, badge_id)
    return StreamingResponse(
        iter(list(badge_views.owners_as_csv(session, row.id))),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="owners.csv"'},
    )


@router.post("/{badge_id}/archive")
def archive_badge(session: SessionDep, at: AtDep, _who: Editor, badge_id: str) -> Response:
    """Nobody owns it any more."""
    row = _get(session, badge_id)
    badges.archive(session, row, at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/{badge_id}/duplicate")
def duplicate_badge(session: SessionDep, at: AtDep, _who: Editor, badge_id: str) -> Response:
    """A draft like it."""
    twin = badges.duplicate(session, _get(session, badge_id), at=at)
    return RedirectResponse(_address(twin), status_code=303)


@router.post("/{badge_id}/delete")
def delete_badge(session: SessionDep, _who: Editor, badge_id: str) -> Response:
    """It is gone."""
    badges.delete_badge(session, _get(session, badge_id))
    return RedirectResponse(_BADGES, status_code=303)


@record.get("")
def show_badges_of(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """The badges of one member: a tab of the record."""
    user = get_user(session, user_id)
    return render(
        request,
        "segments/user_badges.html",
        owned=badge_views.of_member(session, user.id),
        text_in=badge_views.text_in,
        **head_of(session, user),
    )


def _get(session: Session, text: str) -> Badge:
    return badges.get(session, BadgeId(decode_id("bdg", text)))


def _address(row: Badge) -> str:
    return f"{_BADGES}/{encode_id('bdg', row.id)}"


def _save(session: Session, row: Badge, form: FormData, *, at: Any) -> None:
    if form.get("is_grey"):
        row.locked_media_cid = None
    for name in ("image", "locked_image"):
        image = form.get(name)
        if isinstance(image, UploadFile) and image.filename:
            media = render_image(image.file.read(MEDIA_BYTES + 1))
            badges.draw(session, content_store(), row, media, is_locked=name == "locked_image")
    badges.change(session, row, _draft(form), at=at)


def _draft(form: FormData) -> Draft:
    owners = str(form.get("owners", ""))
    return Draft(
        internal_name=str(form.get("internal_name", "")),
        title=_texts(form, "title"),
        description=_texts(form, "description"),
        locked=_texts(form, "locked"),
        list_id=ListId(decode_id("lst", owners)) if owners.startswith("lst_") else None,
        segment_id=SegmentId(decode_id("seg", owners)) if owners.startswith("seg_") else None,
        visibility=BadgeVisibility.OWNERS
        if form.get("visibility") == BadgeVisibility.OWNERS
        else BadgeVisibility.EVERYONE,
        is_sticky=bool(form.get("is_sticky")),
    )


def _texts(form: FormData, name: str) -> dict[str, str]:
    """What was typed in each language; the language of an added row is chosen beside it."""
    found = {}
    for language in CONTENT_LANGUAGES:
        text = str(form.get(f"{name}-{language}", "")).strip()
        if not text and form.get("language") == language:
            text = str(form.get(f"{name}-new", "")).strip()
        if text:
            found[language] = text
    return found


def _page(
    request: Request,
    session: Session,
    row: Badge,
    *,
    language: str,
    cursor: str | None = None,
    error: InvalidError | None = None,
    form: FormData | None = None,
) -> Response:
    typed = row if form is None else _draft(form)
    spoken = [it for it in CONTENT_LANGUAGES if it in typed.title or it in typed.description]
    page = list_page(session, badge_views.owners(row.id), keys=[User.id], cursor=cursor)
    own = typed.locked if isinstance(typed, Draft) else typed.locked_description
    return render(
        request,
        "segments/badge.html",
        status_code=error.status if error else 200,
        row=row,
        typed=typed,
        locked=own,
        address=_address(row),
        spoken=spoken or [language if language in CONTENT_LANGUAGES else CONTENT_LANGUAGES[0]],
        languages=CONTENT_LANGUAGES,
        cohorts=_cohorts(session),
        chosen=_chosen(typed),
        page=page,
        since=badge_views.gained_by(session, row.id, [user.id for user in page.items]),
        total=badge_views.count_owners(session, [row.id]).get(row.id, 0),
        is_open=row.state is not BadgeState.ARCHIVED,
        limit=MEDIA_BYTES,
        error=error,
        encode_id=encode_id,
    )


def _cohorts(session: Session) -> list[tuple[str, str]]:
    """Every list and segment a badge can be owned by."""
    named = [(encode_id("lst", it.id), it.name) for it in lists.list_active(session)]
    segments = [(encode_id("seg", it), name) for it, name in queries.list_segments(session)]
    return [
        *((it, _("List: %(name)s") % {"name": name}) for it, name in named),
        *((it, _("Segment: %(name)s") % {"name": name}) for it, name in segments),
    ]


def _chosen(typed: Badge | Draft) -> str:
    if typed.list_id is not None:
        return encode_id("lst", typed.list_id)
    return "" if typed.segment_id is None else encode_id("seg", typed.segment_id)
