"""Everything that is known of a member, in JSON's types: what the law lets a person ask for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import LoginSession
from app.campaigns.models import AudienceRow
from app.campaigns.queries import received_by
from app.claims.models import ClaimBatch, ClaimUse
from app.draws.queries import list_boxes, list_tickets
from app.perks import codes, shipping
from app.perks.code_models import CodeState, PerkCode
from app.perks.models import Perk, Shipment
from app.perks.queries import Held, list_held, log_of
from app.points import queries as points
from app.segments.models import Badge, BadgeOwner
from app.users import consents, fields, lists, queries, record
from app.users.models import User
from chain.models import Transaction
from core.events import Event
from core.ids import encode_id
from core.types import UserId
from minting.models import MembershipPass, Token


def everything_of(session: Session, user: User, *, at: datetime) -> dict[str, Any]:
    """Sections by name: facts as an object, things as a list of objects."""
    ids = queries.identities(session, user.id)
    known = fields.catalogue(session)
    held = list_held(session, ids)
    return {
        "madeAt": _moment(at),
        "userId": encode_id("usr", user.id),
        "profile": {
            field.name: record.as_text(field, value)
            for field, value in zip(
                known.values(), record.read(session, user, known).values(), strict=True
            )
            if value is not None
        },
        "changes": [
            {
                "field": known[it.field].name if it.field in known else it.field,
                "before": it.before,
                "after": it.after,
                "at": _moment(it.at),
            }
            for it in session.scalars(queries.changes_of(ids))
        ],
        "consents": [
            {"purpose": it.purpose, "given": it.is_given, "at": _moment(it.at), "where": it.channel}
            for it in consents.history(session, user.id)
        ],
        "lists": [
            {"name": row.name, "since": _moment(it.added_at)}
            for row, it in lists.lists_of(session, user.id)
        ],
        "segments": [
            {"name": name, "since": _moment(since)}
            for _, name, since in queries.segments_of(session, user.id)
        ],
        "badges": _badges(session, ids),
        "wallets": _wallets(session, ids),
        "collectibles": _collectibles(session, ids),
        "perks": [_perk(session, it, at=at) for it in held],
        "perkLog": _perk_log(session, held),
        "keptCodes": _kept_codes(session, ids),
        "boxes": [
            {"draw": it.draw.name, "state": it.state.value, "since": _moment(it.handed_out_at)}
            for it in list_boxes(session, ids)
        ],
        "tickets": [
            {
                "draw": it.draw.name,
                "number": it.seq,
                "tag": it.tag.hex(),
                "state": it.state.value,
                "since": _moment(it.registered_at),
            }
            for it in list_tickets(session, ids)
        ],
        "campaigns": [
            {
                "campaign": campaign.title or campaign.internal_title,
                "reward": reward.title,
                "state": grant.state.value,
                "at": _moment(grant.created_at),
            }
            for campaign, reward, grant in received_by(session, ids)
        ],
        "points": _points(session, ids),
        "claims": _claims(session, ids),
        "transactions": _transactions(session, ids),
        "files": _files(session, ids),
        "signIns": _sign_ins(session, ids),
        "events": [
            {"type": it.type, "at": _moment(it.occurred_at), "data": it.data}
            for it in session.scalars(queries.events_of(ids).order_by(Event.occurred_at, Event.id))
        ],
    }


def _perk(session: Session, held: Held, *, at: datetime) -> dict[str, Any]:
    """What the member has; the code in it is one of those that are shown, and told of."""
    code = codes.of_holding(session, held.holding)
    is_shown = code is not None and code.state is CodeState.ASSIGNED
    address = shipping.address_of(session, held.holding)
    parcel = session.get(Shipment, held.holding.id)
    return {
        "title": held.perk.title,
        "state": held.holding.state.value,
        "since": _moment(held.holding.received_at),
        "until": _moment(held.holding.valid_until),
        "usesLeft": held.holding.uses_left,
        "code": codes.reveal(session, held.holding, at=at) if is_shown else None,
        "address": None if address is None else ", ".join(filter(None, vars(address).values())),
        "carrier": None if parcel is None else parcel.carrier,
        "tracking": None if parcel is None else parcel.tracking,
    }


def _perk_log(session: Session, held: Sequence[Held]) -> list[dict[str, Any]]:
    titles = {it.holding.id: it.perk.title for it in held}
    return [
        {
            "perk": titles[it.holding_id],
            "what": it.transition.value,
            "uses": it.delta,
            "how": None if it.channel is None else it.channel.value,
            "reason": it.reason,
            "at": _moment(it.occurred_at),
        }
        for it in log_of(session, list(titles))
    ]


def _kept_codes(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    """Perks of which a code is kept for the member's address, and nobody has it yet."""
    keys = session.scalars(select(User.email_key).where(User.id.in_(ids))).all()
    rows = session.scalars(
        select(Perk.title)
        .join(PerkCode, PerkCode.perk_id == Perk.id)
        .where(PerkCode.reserved_for.in_(keys))
    )
    return [{"perk": title} for title in rows]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _badges(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    rows = session.execute(
        select(Badge, BadgeOwner)
        .join(BadgeOwner, BadgeOwner.badge_id == Badge.id)
        .where(BadgeOwner.user_id.in_(ids))
        .order_by(Badge.id)
    )
    return [{"title": badge.title, "since": _moment(it.gained_at)} for badge, it in rows]


def _wallets(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    return [
        {
            "address": wallet.address,
            "since": _moment(wallet.created_at),
            "pass": membership.number if membership else None,
            "passState": membership.state.value if membership else None,
        }
        for membership, wallet in queries.passes_and_wallets(session, ids)
    ]


def _collectibles(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    return [
        {
            "title": it.asset.title,
            "chain": it.asset.chain_id,
            "contract": it.asset.address,
            "token": None if it.token_id is None else str(it.token_id),
            "state": it.state.value,
            "since": _moment(it.owned_at or it.created_at),
        }
        for it in queries.tokens_of(session, ids)
    ]


def _claims(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    """Which claim codes the member used."""
    used = session.execute(
        select(ClaimUse, ClaimBatch.name)
        .join(ClaimBatch, ClaimBatch.id == ClaimUse.batch_id)
        .where(ClaimUse.user_id.in_(ids))
        .order_by(ClaimUse.id)
    )
    return [{"codes": name, "number": it.position, "at": _moment(it.used_at)} for it, name in used]


def _points(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    return [
        {
            "unit": it.unit.code,
            "what": it.transaction.kind.value,
            "amount": it.amount,
            "reason": it.transaction.reason,
            "until": _moment(it.expires_at),
            "at": _moment(it.transaction.created_at),
        }
        for it in points.history(session, ids)
    ]


def _transactions(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    """What put passes and collectibles on the chain; each serves many members at once."""
    passes = select(MembershipPass.batch_id).where(MembershipPass.user_id.in_(ids))
    tokens = select(Token.batch_id).where(Token.user_id.in_(ids))
    rows = session.scalars(
        select(Transaction)
        .where(Transaction.batch_id.in_(passes.union(tokens)))
        .order_by(Transaction.id)
    )
    return [
        {
            "hash": None if it.mined_hash is None else f"0x{it.mined_hash.hex()}",
            "block": it.block_number,
            "state": it.state.value,
            "at": _moment(it.created_at),
        }
        for it in rows
    ]


def _files(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    """Rows of files of recipients that name the member."""
    rows = session.scalars(select(AudienceRow).where(AudienceRow.user_id.in_(ids)))
    return [{"email": it.email, "address": it.address, "key": it.key} for it in rows]


def _sign_ins(session: Session, ids: Sequence[UserId]) -> list[dict[str, Any]]:
    rows = session.scalars(select(LoginSession).where(LoginSession.user_id.in_(ids)))
    return [{"at": _moment(it.created_at), "lastSeenAt": _moment(it.seen_at)} for it in rows]
