"""Uses taken at the counter and taken back: once for each signed code, each number of a till."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.passes import seen
from app.perks import using
from app.perks.errors import AlreadyUsedError, CodeUnknownError, WrongPlaceError
from app.perks.models import Channel, Redemption
from app.scanning import documents, looking
from app.scanning.errors import ExternalIdReusedError, RedemptionNotFoundError
from app.scanning.looking import FoundPass, FoundPerk
from app.scanning.models import RedemptionReceipt
from app.scanning.scanner import Scanner
from core.db import change, merchant_of
from core.ids import decode_id, encode_id
from core.secrets import fingerprint, same
from core.types import PerkId, RedemptionId


@dataclass(frozen=True)
class Asked:
    """What a till asks for.

    Args:
        text: a signed code, or one of a pool.
        place_ref: the place the till believes to stand at.
        external_id: what the till calls this redemption.
        perk_ref: of several perks that have the code, the one it is about.
    """

    text: str
    uses: int
    place_ref: str | None
    external_id: str
    perk_ref: str | None = None


def redeem(
    session: Session,
    scanner: Scanner,
    found: FoundPerk,
    *,
    uses: int,
    channel: Channel,
    at: datetime,
) -> Redemption:
    """So many uses are taken; of two that scan one code, one takes them and the other learns when.

    Raises:
        AlreadyUsedError: the code opened the perk before, or every use is taken.
        AppError: whatever `app.perks.using.use` refuses.

    Locks: the code, then the holding.
    """
    if found.claims is not None and (first := seen.use(session, found.claims, at=at)):
        raise AlreadyUsedError(first)
    return using.use(
        session,
        found.holding,
        uses=uses,
        channel=channel,
        actor=scanner.actor,
        place=scanner.place_id,
        device=scanner.device_name,
        at=at,
    )


def redeem_for_till(
    session: Session, scanner: Scanner, asked: Asked, *, at: datetime
) -> dict[str, Any]:
    """What the till is told; asked again under the same number it is told the same.

    Raises:
        ExternalIdReusedError: the number stands for another request.
        WrongPlaceError: the till stands elsewhere than it believes.
        AppError: whatever looking and redeeming refuse; the number is free again then.

    Locks: the till's number, the code, then the holding.
    """
    digest = fingerprint("redemption-request", json.dumps(asdict(asked), sort_keys=True))
    if not _claim(session, asked.external_id, digest, at=at):
        return _answer_again(session, asked.external_id, digest)
    place = scanner.place
    if place is not None and asked.place_ref not in (None, encode_id("plc", place.id)):
        raise WrongPlaceError([place.name])
    read = looking.read(session, scanner, asked.text, at=at)
    found = looking.only_one(session, scanner, read, perk_of(asked.perk_ref), at=at)
    if isinstance(found, FoundPass):
        raise CodeUnknownError  # a pass is no perk: nothing here can be redeemed by it
    row = redeem(session, scanner, found, uses=asked.uses, channel=Channel.API, at=at)
    answer = documents.redemption(row, found, external_id=asked.external_id)
    receipt = session.get_one(RedemptionReceipt, (merchant_of(session), asked.external_id))
    receipt.redemption_id, receipt.answer = row.id, answer
    return answer


def perk_of(perk_ref: str | None) -> PerkId | None:
    """The perk that a till names.

    Raises:
        UnknownIdentifierError: it is no identifier of a perk.
    """
    return None if perk_ref is None else PerkId(decode_id("prk", perk_ref))


def _claim(session: Session, external_id: str, digest: bytes, *, at: datetime) -> bool:
    """Whether the number was free; of two that claim it at once the later waits for the first."""
    row = insert(RedemptionReceipt).values(
        merchant_id=merchant_of(session),
        external_id=external_id,
        request_hash=digest,
        answer={},
        created_at=at,
    )
    return bool(change(session, row.on_conflict_do_nothing()))


def _answer_again(session: Session, external_id: str, digest: bytes) -> dict[str, Any]:
    row = session.scalars(
        select(RedemptionReceipt).where(RedemptionReceipt.external_id == external_id)
    ).one()
    if not same(row.request_hash, digest):
        raise ExternalIdReusedError(external_id)
    return row.answer


def undo(
    session: Session, scanner: Scanner, redemption_id: RedemptionId, *, at: datetime
) -> Redemption:
    """Exactly these uses are left again.

    Raises:
        RedemptionNotFoundError: there is no such redemption.
        AppError: whatever `app.perks.using.undo` refuses.

    Locks: the holding.
    """
    row = session.get(Redemption, redemption_id)
    if row is None:
        raise RedemptionNotFoundError
    return using.undo(
        session,
        row,
        actor=scanner.actor,
        device=scanner.device_name,
        at=at,
        is_admin=scanner.is_admin,
    )
