"""The member's own perks: the list, one with its code, its use, its link, its address."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.passes import codes as live_codes
from app.passes.codes import Code
from app.perks import codes, links, queries, shipping, using
from app.perks.errors import AddressInvalidError, HoldingTransitionError, WrongChannelError
from app.perks.models import Channel, Holding, HoldingState, Perk, ShipmentState
from app.perks.shipping import COUNTRIES, Address
from app.perks.terms import RedemptionType, UsedOn
from app.spaces.deps import MemberDep, SignedInUser
from app.users.queries import identities
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.rendering import render
from core.errors import AppError, ConflictError
from core.ids import decode_id, encode_id
from core.types import HoldingId

router = APIRouter(prefix="/space/perks")


@dataclass(frozen=True)
class Own:
    """A perk that the signed-in member has."""

    who: SignedInUser
    perk: Perk
    holding: Holding

    @property
    def actor(self) -> str:
        """As the log names the member."""
        return f"user:{encode_id('usr', self.who.user.id)}"

    @property
    def address(self) -> str:
        """Where its page is."""
        return f"/space/perks/{encode_id('hld', self.holding.id)}"


@router.get("")
def list_own(request: Request, session: SessionDep, who: MemberDep) -> Response:
    """Everything the member has, what can be used first."""
    held = queries.list_held(session, identities(session, who.user.id))
    return render(
        request,
        "spaces/perks.html",
        usable=[it for it in held if it.holding.state is HoldingState.AVAILABLE],
        past=[it for it in held if it.holding.state is not HoldingState.AVAILABLE],
        merchant=who.merchant,
        encode_id=encode_id,
    )


@router.get("/{holding_id}")
def show_own(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, holding_id: str
) -> Response:
    """One perk: what it is, and what can be done with it. Its code is not on this page yet."""
    return _page(request, session, _own(session, who, holding_id), at=at)


@router.get("/{holding_id}/live")
def show_live_code(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, holding_id: str
) -> Response:
    """The code of now, for the page that is open; once there is none, the page is loaded anew."""
    own = _own(session, who, holding_id)
    return _live_part(request, own, "code", _live_codes(session, own, ahead=0, at=at))


@router.get("/{holding_id}/reserve")
def show_reserve(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, holding_id: str
) -> Response:
    """The codes of the next minutes, for the page that is open."""
    own = _own(session, who, holding_id)
    found = _live_codes(session, own, ahead=live_codes.AHEAD, at=at)
    return _live_part(request, own, "reserve", found)


@router.post("/{holding_id}/code")
def show_code(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, holding_id: str
) -> Response:
    """The page with the code; that it was shown is written down."""
    own = _own(session, who, holding_id)
    return _page(request, session, own, at=at, code=codes.reveal(session, own.holding, at=at))


@router.post("/{holding_id}/use")
def use_own(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, holding_id: str
) -> Response:
    """The member says that it was used."""
    own = _own(session, who, holding_id)
    try:
        using.use(session, own.holding, channel=Channel.SELF, actor=own.actor, at=at)
    except ConflictError as error:
        return _page(request, session, own, at=at, error=error)
    return RedirectResponse(own.address, status_code=303)


@router.post("/{holding_id}/follow")
def follow(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, holding_id: str
) -> Response:
    """A page that leads to the perk's address; of a link that is used by the click, it is."""
    own = _own(session, who, holding_id)
    try:
        url = _target(session, own, at=at)
    except ConflictError as error:
        return _page(request, session, own, at=at, error=error)
    return render(request, "spaces/leave.html", url=url, perk=own.perk, back=own.address)


@router.post("/{holding_id}/address")
def give_address(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: MemberDep,
    form: FormDep,
    holding_id: str,
) -> Response:
    """The brand knows where to send it, or the form says what is missing."""
    own = _own(session, who, holding_id)
    typed = Address.of({name: str(value) for name, value in form.items()})
    try:
        shipping.give_address(session, own.holding, typed, terms=own.perk.terms, at=at)
    except (AddressInvalidError, ConflictError) as error:
        return _page(request, session, own, at=at, error=error, typed=typed)
    return RedirectResponse(own.address, status_code=303)


def _own(session: Session, who: SignedInUser, text: str) -> Own:
    """The member's own, or whoever's was merged into the member.

    Raises:
        HoldingNotFoundError, UnknownIdentifierError: somebody else's, or nobody's.
    """
    ids = identities(session, who.user.id)
    held = queries.get_held(session, HoldingId(decode_id("hld", text)), ids)
    return Own(who, held.perk, held.holding)


def _target(session: Session, own: Own, *, at: datetime) -> str:
    """Where the member is sent. A code in it is shown by that; a click may use the perk."""
    perk, holding = own.perk, own.holding
    is_link = perk.redemption is RedemptionType.LINK
    url = perk.terms.url if is_link else perk.cta_url
    if not url:
        raise WrongChannelError(Channel.SELF)
    if holding.state is not HoldingState.AVAILABLE:
        raise HoldingTransitionError(holding.state, "opened")
    if is_link and perk.terms.used_on is UsedOn.CLICK:
        using.use(session, holding, channel=Channel.SELF, actor=own.actor, at=at)
    code = codes.reveal(session, holding, at=at) if links.needs_code(url) else None
    return links.address_for(perk, url, own.who.user, holding, code=code)


def _live_codes(session: Session, own: Own, *, ahead: int, at: datetime) -> list[Code]:
    """What staff scans, for a perk that staff validates by a code of ours."""
    is_scanned = own.perk.redemption in (RedemptionType.NONE, RedemptionType.SCAN)
    is_ours = is_scanned and not own.perk.has_pool
    if not is_ours or Channel.STAFF not in using.channels_of(own.perk):
        return []
    if own.holding.state is not HoldingState.AVAILABLE:
        return []
    return live_codes.of_holding(session, own.holding.id, ahead=ahead, at=at)


def _live_part(request: Request, own: Own, block: str, found: list[Code]) -> Response:
    response = render(request, "spaces/live.html", block=block, live=found, base=own.address)
    if not found:
        response.headers["HX-Refresh"] = "true"
    return response


def _page(
    request: Request,
    session: Session,
    own: Own,
    *,
    at: datetime,
    code: str | None = None,
    error: AppError | None = None,
    typed: Address | None = None,
) -> Response:
    perk, holding = own.perk, own.holding
    if error is not None:
        session.refresh(holding)
    log = queries.log_of(session, [holding.id])
    context: dict[str, Any] = {
        "perk": perk,
        "holding": holding,
        "base": own.address,
        "live": _live_codes(session, own, ahead=0, at=at),
        "code": code,
        "error": error,
        "log": log,
        "place_names": queries.place_names(session, log),
        "places": using.places_of(session, perk),
        "can_tap": Channel.SELF in using.channels_of(perk),
        "parcel": shipping.parcels_of(session, [holding]).get(holding.id),
        "is_addressable": holding.state is HoldingState.AVAILABLE
        and holding.shipment in (ShipmentState.ADDRESS_NEEDED, ShipmentState.READY_TO_SHIP),
        "typed": typed or shipping.address_of(session, holding) or Address(),
        "countries": sorted(
            ((it, COUNTRIES[it]) for it in perk.terms.countries or COUNTRIES if it in COUNTRIES),
            key=lambda it: it[1],
        ),
        "time_zone": own.who.merchant.time_zone,
    }
    status = error.status if error else 200
    return render(request, "spaces/perk.html", status_code=status, **context)
