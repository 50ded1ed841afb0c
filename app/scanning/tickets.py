"""What a screen holds between looking and validating: sealed, for whoever looked, five minutes.

The signed code itself may be over by then; it was checked when it was read.
"""

import json
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.passes.tokens import (
    Claims,
    MalformedTokenError,
    from_base64url,
    new_nonce,
    to_base64url,
)
from app.perks.models import Holding, Perk
from app.scanning.errors import TicketOverError
from app.scanning.looking import FoundPerk
from app.scanning.scanner import Scanner
from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.secrets import SealBrokenError, seal, unseal
from core.types import HoldingId

LIFETIME = timedelta(minutes=5)
_PURPOSE = "scan-ticket"


def write(scanner: Scanner, found: FoundPerk, *, at: datetime) -> str:
    """A ticket for what was found; it opens the perk once, whatever it was found by."""
    claims = found.claims
    said = {
        "holding": encode_id("hld", found.holding.id),
        "nonce": to_base64url(claims.nonce if claims else new_nonce()),
        "issuedAt": claims.issued_at if claims else int(at.timestamp()),
        "until": int((at + LIFETIME).timestamp()),
    }
    return to_base64url(seal(_PURPOSE, json.dumps(said).encode(), bound_to=scanner.actor.encode()))


def read(session: Session, scanner: Scanner, ticket: str, *, at: datetime) -> FoundPerk:
    """What the ticket was written for.

    Raises:
        TicketOverError: older than five minutes, somebody else's, or none of ours.
    """
    try:
        said = json.loads(unseal(_PURPOSE, from_base64url(ticket), bound_to=scanner.actor.encode()))
        holding = session.get(Holding, HoldingId(decode_id("hld", said["holding"])))
    except (SealBrokenError, MalformedTokenError, UnknownIdentifierError):
        raise TicketOverError from None
    if holding is None or at > datetime.fromtimestamp(said["until"], UTC):
        raise TicketOverError
    nonce = from_base64url(said["nonce"])
    claims = Claims("", "", said["issuedAt"], nonce, holding=holding.id)
    return FoundPerk(holding, session.get_one(Perk, holding.perk_id), claims)
