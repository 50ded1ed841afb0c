"""Points of sale: look a code up, redeem it, take that back; by the key of a paired device."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints, model_validator
from starlette.responses import JSONResponse, Response

from app.perks.models import Channel
from app.scanning import devices, documents, looking, redeeming
from app.scanning.deps import DeviceDep
from app.scanning.looking import FoundPass
from app.scanning.redeeming import Asked
from app.scanning.scanner import Scanner
from app.verification import passes
from app.web.access import PUBLIC
from app.web.deps import AtDep, SessionDep
from core.db import unit_of_work
from core.ids import decode_id
from core.types import RedemptionId

router = APIRouter(prefix="/v1/redemptions")
public = APIRouter(prefix="/v1/public/devices", dependencies=[PUBLIC])
Scanned = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class LookupRequest(BaseModel):
    """A signed code (`token`) or one of a pool (`code`), as it was read, and of which perk."""

    token: Scanned | None = None
    code: Scanned | None = None
    perkId: str | None = Field(default=None, max_length=64)  # noqa: N815 - as in JSON

    @model_validator(mode="after")
    def _one_of_both(self) -> "LookupRequest":
        if (self.token is None) == (self.code is None):
            raise ValueError("send either token or code")
        return self

    @property
    def text(self) -> str:
        """Whichever was sent."""
        return self.token or self.code or ""


class RedeemRequest(LookupRequest):
    """What to redeem, and under which number of the till's own."""

    uses: int = Field(default=1, ge=1, le=1000)
    placeRef: str | None = Field(default=None, max_length=64)  # noqa: N815 - as in JSON
    externalId: str = Field(min_length=1, max_length=100, pattern=r"^[!-~]+$")  # noqa: N815


class PairRequest(BaseModel):
    """The end of the address that an admin's screen shows."""

    code: str = Field(min_length=1, max_length=100)


@public.post("/pair")
def pair(session: SessionDep, at: AtDep, asked: PairRequest) -> Response:
    """The till is the device that the code invites; its key is told this once."""
    device, key = devices.pair(session, asked.code, at=at)
    return JSONResponse(documents.device(device, key), headers={"Cache-Control": "no-store"})


@router.post("/lookup")
def look_up(scanner: DeviceDep, at: AtDep, asked: LookupRequest) -> Response:
    """What the code is, and whether it could be redeemed now; nothing changes."""
    return JSONResponse(_looked_up(scanner, asked, at=at))


@router.post("")
def redeem(scanner: DeviceDep, at: AtDep, asked: RedeemRequest) -> Response:
    """Uses are taken, once for each externalId."""
    wanted = Asked(asked.text, asked.uses, asked.placeRef, asked.externalId, asked.perkId)
    with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
        answer = redeeming.redeem_for_till(session, scanner, wanted, at=at)
    return JSONResponse(answer)


@router.post("/{redemption_id}/undo")
def undo(scanner: DeviceDep, at: AtDep, redemption_id: str) -> Response:
    """Exactly these uses are left again."""
    found = RedemptionId(decode_id("rdm", redemption_id))
    with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
        row = redeeming.undo(session, scanner, found, at=at)
    return JSONResponse(documents.undoing(row))


def _looked_up(scanner: Scanner, asked: LookupRequest, *, at: datetime) -> dict[str, Any]:
    with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
        read = looking.read(session, scanner, asked.text, at=at)
        perk_id = redeeming.perk_of(asked.perkId)
        found = looking.only_one(session, scanner, read, perk_id, at=at)
        if not isinstance(found, FoundPass):
            looking.try_out(session, scanner, found, channel=Channel.API, at=at)
            return documents.perk(found)
    verdict = passes.ask_chain(found.known)
    offered = found.perks if verdict.is_valid else []
    perks = [documents.perk(it) for it in offered]
    return {"kind": "pass", **passes.as_document(verdict), "perks": perks}
