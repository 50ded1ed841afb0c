"""A member's box or ticket: opened here, and what came of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.draws import boxes, documents, looks, queries
from app.draws.models import Box, Ticket
from app.rewards.lines import reward_of
from app.spaces.deps import MemberDep, SignedInUser
from app.users.queries import identities
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.ids import decode_id, encode_id
from core.types import BoxId, TicketId

router = APIRouter(prefix="/space/boxes")
api = APIRouter(prefix="/space/api/boxes")


class Opening(BaseModel):
    """What the browser sends to open a box: 32 bytes of its own, in hexadecimal, or nothing."""

    clientNonce: str = ""  # noqa: N815 - as published


@router.get("/{entry_id}")
def show_entry(request: Request, session: SessionDep, who: MemberDep, entry_id: str) -> Response:
    """The box or the ticket, closed or open."""
    if entry_id.startswith("tkt_"):
        return _ticket_page(request, session, who, _ticket(session, who, entry_id))
    return _box_page(request, session, who, _box(session, who, entry_id))


@router.post("/{box_id}/open")
def open_box(
    session: SessionDep,
    at: AtDep,
    who: MemberDep,
    box_id: str,
    nonce: Annotated[str, Form()] = "",
) -> Response:
    """The box is open; pressing twice changes nothing."""
    box = _box(session, who, box_id)
    boxes.open_box(session, box, nonce=boxes.read_nonce(nonce), at=at)
    return RedirectResponse(f"/space/boxes/{box_id}", status_code=303)


@api.post("/{box_id}/open")
def open_for_programs(
    session: SessionDep, at: AtDep, who: MemberDep, box_id: str, body: Opening
) -> Response:
    """The same, answered by the receipt."""
    box = _box(session, who, box_id)
    nonce = boxes.read_nonce(body.clientNonce)
    row = boxes.open_box(session, box, nonce=nonce, at=at)
    return JSONResponse(documents.receipt(row))


def _box(session: Session, who: SignedInUser, text: str) -> Box:
    mine = identities(session, who.user.id)
    return queries.get_box(session, mine, BoxId(decode_id("box", text)))


def _ticket(session: Session, who: SignedInUser, text: str) -> Ticket:
    mine = identities(session, who.user.id)
    return queries.get_ticket(session, mine, TicketId(decode_id("tkt", text)))


def _box_page(request: Request, session: Session, who: SignedInUser, box: Box) -> Response:
    row = boxes.find_opening(session, box.id)
    reward = reward_of(session, row.line_id) if row is not None and row.line_id else None
    is_won = row is not None and row.line_id is not None and row.unclaimed is None
    return _page(
        request,
        session,
        who,
        box,
        reward=reward if is_won else None,
        replaced=None,
        entry_id=encode_id("box", box.id),
        receipt=None if row is None else documents.receipt(row),
    )


def _ticket_page(request: Request, session: Session, who: SignedInUser, ticket: Ticket) -> Response:
    return _page(
        request,
        session,
        who,
        ticket,
        reward=queries.prize_of_ticket(session, ticket.draw, ticket.id),
        replaced=queries.why_replaced(session, ticket.id),
        entry_id=encode_id("tkt", ticket.id),
        receipt={"seq": ticket.seq, "ticketId": ticket.id.hex, "tag": ticket.tag.hex()},
    )


def _page(
    request: Request, session: Session, who: SignedInUser, entry: Box | Ticket, **context: Any
) -> Response:
    draw = entry.draw
    return render(
        request,
        "spaces/box.html",
        entry=entry,
        draw=draw,
        look=looks.look_of(draw, who.user.lang or who.merchant.language),
        prizes=queries.prizes(session, draw) if draw.shows_odds else [],
        verify=f"/verify/draw/{encode_id('drw', draw.id)}",
        **context,
    )
