"""What is published of a draw: at once its promise, and once it is revealed everything behind it.

The document is read in short transactions, a part each, so that whoever downloads it slowly holds
none open.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.draws import heads, published
from app.draws.algorithm import Opening
from app.draws.errors import DrawNotFoundError, DrawNotRevealedError
from app.draws.models import (
    LINE_PREFIX,
    BoxOpening,
    Draw,
    DrawHead,
    DrawPlace,
    DrawReplacement,
    DrawState,
    EntryState,
    Ticket,
)
from app.draws.moving import lines_of, verify_url
from app.draws.published import Beacon, Entry, Head, LogHead, Opened, Place, Replacement
from app.draws.published import Ticket as PublishedTicket
from core.db import beyond_policies, choose_merchant, unit_of_work
from core.ids import encode_id
from core.types import DrawId, MerchantId, RewardLineId
from minting import anchors
from minting.anchors import Anchored

_PART_ROWS = 5_000
_NEWEST = 20
"""So many heads of the log are told of a draw; the document has all of them."""
_Part = Callable[[Session, DrawId, int], list[tuple[int, Entry]]]


def open_public(session: Session, draw_id: DrawId) -> Draw:
    """The draw, for anybody: the transaction belongs to its merchant from here on.

    Raises:
        DrawNotFoundError: there is none.
    """
    with beyond_policies(session):
        merchant = session.scalar(select(Draw.merchant_id).where(Draw.id == draw_id))
    if merchant is None:
        raise DrawNotFoundError
    choose_merchant(session, merchant)
    return session.get_one(Draw, draw_id)


def summary(session: Session, draw: Draw) -> dict[str, Any]:
    """What anybody may know of the draw now, in JSON's types."""
    is_revealed = draw.server_seed is not None
    root = draw.tickets_root
    return {
        "id": encode_id("drw", draw.id),
        "state": draw.state.value,
        "mode": draw.mode.value,
        "params": draw.params.decode(),
        "commitment": draw.commitment.hex(),
        "committedAt": draw.committed_at.isoformat(),
        "handedOut": draw.handed_out_count,
        "opened": draw.opened_count,
        "logEnd": None if draw.is_raffle else draw.log_end.hex(),
        "heads": heads_json(session, _newest_heads(session, draw)),
        "ticketsRoot": root and root.hex(),
        "beacon": _beacon_json(draw),
        "serverSeed": draw.server_seed and draw.server_seed.hex(),
        "verifyUrl": verify_url(draw),
        "document": f"{verify_url(draw)}/draw.jsonl.gz" if is_revealed else None,
        "commitmentAnchor": _anchor_json(session, draw.commitment),
        "rootAnchor": None if root is None else _anchor_json(session, root),
    }


def _newest_heads(session: Session, draw: Draw) -> Sequence[DrawHead]:
    newest = heads.of_draw(draw.id).order_by(DrawHead.number.desc())
    return session.scalars(newest.limit(_NEWEST)).all()


def heads_json(session: Session, rows: Sequence[DrawHead]) -> list[dict[str, Any]]:
    """These heads of a log, each with where a chain tells of it."""
    places = heads.anchors_of(session, rows)
    return [
        {
            "k": row.number,
            "logHash": row.hash.hex(),
            "publishedAt": row.published_at.isoformat(),
            "anchor": _place_json(places.get(row.hash)),
        }
        for row in rows
    ]


def _anchor_json(session: Session, digest: bytes) -> dict[str, Any] | None:
    """Where a chain tells of the digest, once that is final."""
    return _place_json(anchors.find(session, digest))


def _place_json(found: Anchored | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "chainId": found.chain_id,
        "contract": found.contract,
        "txHash": "0x" + found.tx_hash.hex(),
        "blockNumber": found.block_number,
    }


def _beacon_json(draw: Draw) -> dict[str, Any] | None:
    if draw.beacon_hash is None:
        return None
    return {
        "chainId": draw.beacon_chain_id,
        "number": draw.beacon_number,
        "hash": draw.beacon_hash.hex(),
        "timestamp": draw.beacon_timestamp,
    }


def head_of(session: Session, draw: Draw) -> Head:
    """The first line of the document.

    Raises:
        DrawNotRevealedError: it would give away what nobody may know yet.
    """
    if draw.state is not DrawState.REVEALED or draw.server_seed is None:
        raise DrawNotRevealedError
    replaced = select(DrawReplacement.number).where(DrawReplacement.draw_id == draw.id)
    published_heads = select(func.count()).where(DrawHead.draw_id == draw.id)
    beacon = None
    if draw.beacon_hash is not None:
        assert draw.beacon_number is not None and draw.beacon_timestamp is not None
        beacon = Beacon(draw.beacon_number, draw.beacon_hash, draw.beacon_timestamp)
    return Head(
        draw_id=encode_id("drw", draw.id),
        params=draw.params,
        commitment=draw.commitment,
        seed=draw.server_seed,
        count=draw.handed_out_count if draw.is_raffle else draw.opened_count,
        end=draw.tickets_root or draw.log_end,
        won=tuple(line.won_count for line in lines_of(draw)),
        replaced=len(session.scalars(replaced).all()),
        beacon=beacon,
        heads=session.scalar(published_heads) or 0,
    )


def lines(merchant: MerchantId, draw_id: DrawId) -> Iterator[bytes]:
    """The document of a revealed draw, line by line.

    Raises:
        DrawNotRevealedError: before the first line.
    """
    with unit_of_work(merchant=merchant) as session:
        draw = session.get_one(Draw, draw_id)
        head = head_of(session, draw)
    yield published.write_head(head) + b"\n"
    parts = (_tickets, _places) if draw.is_raffle else (_openings,)
    for part in parts:
        yield from _written(merchant, draw_id, part)
    with unit_of_work(merchant=merchant) as session:
        replaced = _replacements(session, draw_id, head.replaced)
    for entry in replaced:
        yield published.write_entry(entry) + b"\n"


def _written(merchant: MerchantId, draw_id: DrawId, part: _Part) -> Iterator[bytes]:
    after = 0
    while True:
        with unit_of_work(merchant=merchant) as session:
            rows = part(session, draw_id, after)
        for _, entry in rows:
            yield published.write_entry(entry) + b"\n"
        if len(rows) < _PART_ROWS:
            return
        after = rows[-1][0]


def _name(line_id: RewardLineId | None) -> str | None:
    return None if line_id is None else encode_id(LINE_PREFIX, line_id)


def _openings(session: Session, draw_id: DrawId, after: int) -> list[tuple[int, Entry]]:
    """Openings, each with the head that was published of the log after it."""
    is_its = (DrawHead.draw_id == BoxOpening.draw_id) & (DrawHead.number == BoxOpening.number)
    query = select(BoxOpening, DrawHead).outerjoin(DrawHead, is_its)
    rows = session.execute(
        query.where(BoxOpening.draw_id == draw_id, BoxOpening.number > after)
        .order_by(BoxOpening.number)
        .limit(_PART_ROWS)
    )
    found: list[tuple[int, Entry]] = []
    for row, head in rows:
        found.append((row.number, opened(row)))
        if head is not None:
            found.append((row.number, LogHead(head.number, head.hash)))
    return found


def opened(row: BoxOpening) -> Opened:
    """The opening as it is published."""
    opening = Opening(row.box_id.bytes, row.client_nonce, row.number)
    return Opened(opening, row.flag, _name(row.line_id), row.previous_hash, row.hash)


def receipt(row: BoxOpening) -> dict[str, Any]:
    """What whoever opened the box keeps of it."""
    entry = opened(row)
    return {
        "k": entry.opening.number,
        "boxId": entry.opening.box_id.hex(),
        "clientNonce": entry.opening.nonce.hex(),
        "flag": entry.flag,
        "outcome": entry.line_id,
        "previousLogHash": entry.previous.hex(),
        "logHash": entry.hash.hex(),
    }


def _tickets(session: Session, draw_id: DrawId, after: int) -> list[tuple[int, Entry]]:
    query = select(Ticket.seq, Ticket.id, Ticket.tag, Ticket.state).where(
        Ticket.draw_id == draw_id, Ticket.seq > after
    )
    rows = session.execute(query.order_by(Ticket.seq).limit(_PART_ROWS))
    return [
        (seq, PublishedTicket(seq, ticket.bytes, tag, state is EntryState.VOID))
        for seq, ticket, tag, state in rows
    ]


def _places(session: Session, draw_id: DrawId, after: int) -> list[tuple[int, Entry]]:
    query = select(DrawPlace).where(DrawPlace.draw_id == draw_id, DrawPlace.number > after)
    rows = session.scalars(query.order_by(DrawPlace.number).limit(_PART_ROWS))
    return [(it.number, Place(it.number, _name(it.line_id), it.ticket_id.bytes)) for it in rows]


def _replacements(session: Session, draw_id: DrawId, count: int) -> Sequence[Replacement]:
    """As many as the first line says: whoever drops out meanwhile is in the next download."""
    query = select(DrawReplacement).where(
        DrawReplacement.draw_id == draw_id, DrawReplacement.number <= count
    )
    return [
        Replacement(
            it.number, it.out_id.bytes, None if it.by_id is None else it.by_id.bytes, it.reason
        )
        for it in session.scalars(query.order_by(DrawReplacement.number))
    ]


def gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same as a gzip file, written as it is read."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    for part in parts:
        packed = packer.compress(part)
        if packed:
            yield packed
    yield packer.flush()
