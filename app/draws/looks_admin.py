"""The screen of how a draw looks to members: a form, and a preview beside it."""

from typing import Annotated

from fastapi import APIRouter, Form, UploadFile
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Editor
from app.draws import looks, queries, service
from app.draws.looks import Look
from app.draws.models import Animation, Draw
from app.web.deps import SessionDep
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import DrawId
from minting.content import content_store
from minting.errors import ImageInvalidError
from minting.media import render_image

router = APIRouter(prefix="/admin/draws/{draw_id}/box")
MEDIA_BYTES = 5_000_000


class LookForm(BaseModel):
    """How a draw looks, as typed; `shown` is the animation that the preview has played."""

    animation: str = ""
    shown: str = ""
    name: str = ""
    text: str = ""
    winning: str = ""
    losing: str = ""
    waiting: str = ""
    open_label: str = ""
    prize_label: str = ""

    def as_look(self, draw: Draw) -> Look:
        """What is typed; the picture is the draw's."""
        known = self.animation in set(Animation)
        texts = {it: getattr(self, it).replace("\r\n", "\n") for it in looks.TEXTS}
        return Look(
            animation=Animation(self.animation) if known else Animation.FADE,
            visual_cid=draw.box_visual_cid,
            **texts,
        )


@router.get("")
def edit_look(request: Request, session: SessionDep, who: Editor, draw_id: str) -> Response:
    """The form with how the draw looks."""
    draw = _get(session, draw_id)
    return _page(request, session, draw, looks.look_of(draw, who.merchant.language))


@router.post("")
def save_look(
    request: Request,
    session: SessionDep,
    who: Editor,
    draw_id: str,
    form: Annotated[LookForm, Form()],
) -> Response:
    """The draw looks as typed, or the form comes back with what to change."""
    draw = _get(session, draw_id)
    look = form.as_look(draw)
    try:
        looks.change(session, draw, look, language=who.merchant.language)
    except InvalidError as error:
        return _page(request, session, draw, look, error=error)
    return _to(draw)


@router.post("/preview")
def preview_look(
    request: Request,
    session: SessionDep,
    _who: Editor,
    draw_id: str,
    form: Annotated[LookForm, Form()],
) -> Response:
    """How it would look: beside the form while somebody types, or the whole page."""
    draw = _get(session, draw_id)
    block = "preview" if "hx-request" in request.headers else None
    look = form.as_look(draw)
    moves = form.shown != look.animation
    return _page(request, session, draw, look, block=block, moves=moves)


@router.post("/visual")
def upload_visual(
    request: Request,
    session: SessionDep,
    who: Editor,
    draw_id: str,
    image: UploadFile | None = None,
) -> Response:
    """The closed box looks like this picture, or the page says why it cannot be used."""
    draw = _get(session, draw_id)
    try:
        media = render_image(b"" if image is None else image.file.read(MEDIA_BYTES + 1))
    except ImageInvalidError as error:
        look = looks.look_of(draw, who.merchant.language)
        return _page(request, session, draw, look, error=error)
    looks.picture(session, content_store(), draw, media)
    return _to(draw)


@router.post("/visual/remove")
def remove_visual(session: SessionDep, _who: Editor, draw_id: str) -> Response:
    """The closed box shows a sign again."""
    draw = _get(session, draw_id)
    looks.remove_picture(session, draw)
    return _to(draw)


def _get(session: Session, text: str) -> Draw:
    return service.get(session, DrawId(decode_id("drw", text)))


def _to(draw: Draw) -> Response:
    return RedirectResponse(f"/admin/draws/{encode_id('drw', draw.id)}/box", status_code=303)


def _page(
    request: Request,
    session: Session,
    draw: Draw,
    look: Look,
    *,
    error: InvalidError | None = None,
    block: str | None = None,
    moves: bool = False,
) -> Response:
    return render(
        request,
        "draws/box.html",
        block=block,
        status_code=error.status if error else 200,
        draw=draw,
        base=f"/admin/draws/{encode_id('drw', draw.id)}",
        look=look,
        moves=moves,
        most=looks.MOST,
        draw_date=looks.DRAW_DATE,
        prize=queries.prizes(session, draw)[0],
        limit=MEDIA_BYTES,
        error=error,
    )
