"""What is published: before the end only the promise, afterwards what everybody can recompute."""

import gzip
import json
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.draws import boxes, documents, moving, raffles, verifier, winners
from app.draws.errors import DrawNotFoundError, DrawNotRevealedError
from app.draws.models import Box, BoxOpening, Draw, Ticket
from app.users.models import User, UserState
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import DrawId
from tests.app.draws.made import some
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

AFTER = DRAW_AT + timedelta(minutes=5)


def revealed_instant(session: Session) -> Draw:
    draw = make_draw(session, 2, 3, boxes=12)
    hand_out(session, draw, *make_members(session, "a@example.com", "b@example.com"), times=6)
    for number, box in enumerate(session.scalars(select(Box).order_by(Box.id)).all()):
        nonce = some(number, 32) if number % 3 else None
        boxes.open_box(session, box, nonce=nonce, is_automatic=number == 6, at=NOW)
    return draw


def revealed_raffle(session: Session) -> Draw:
    draw = make_raffle(session, 1, 2, reserves=3)
    users = make_members(session, *(f"m{number}@example.com" for number in range(9)))
    hand_out(session, draw, *users, times=2)
    session.execute(update(User).where(User.id == users[0]).values(state=UserState.BLOCKED))
    raffles.close(session, draw, at=DRAW_AT)
    session.execute(update(User).where(User.id == users[1]).values(state=UserState.BLOCKED))
    raffles.draw_winners(session, draw, at=AFTER)
    moving.reveal(session, draw, at=AFTER)
    holder = next(iter(winners.holders(session, draw)))
    winners.replace_winner(session, draw, holder, reason="No address in time.", at=AFTER)
    return draw


MADE = {"instant": revealed_instant, "raffle": revealed_raffle}


@pytest.mark.parametrize("kind", MADE)
class TestDocument:
    def test_of_rows_holds(self, session: Session, merchant: Merchant, kind: str) -> None:
        draw = MADE[kind](session)
        session.flush()
        document = list(documents.lines(merchant.id, draw.id))
        report = verifier.verify(document, params=draw.params)
        assert report.is_sound, report

    def test_is_the_same_in_small_parts(
        self,
        session: Session,
        merchant: Merchant,
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
    ) -> None:
        draw = MADE[kind](session)
        session.flush()
        whole = list(documents.lines(merchant.id, draw.id))
        for size in (1, 3, 12):
            monkeypatch.setattr(documents, "_PART_ROWS", size)
            assert list(documents.lines(merchant.id, draw.id)) == whole

    def test_names_nobody(self, session: Session, merchant: Merchant, kind: str) -> None:
        draw = MADE[kind](session)
        session.flush()
        document = b"".join(documents.lines(merchant.id, draw.id)).decode()
        for user in session.scalars(select(User)):
            assert user.id.hex not in document and str(user.id) not in document
            assert user.email not in document and encode_id("usr", user.id) not in document

    @pytest.mark.parametrize("state", ["committed", "open", "closed", "drawn"])
    def test_is_not_there_before_it_is_revealed(
        self, session: Session, merchant: Merchant, kind: str, state: str
    ) -> None:
        draw = make_draw(session) if kind == "instant" else make_raffle(session)
        session.execute(text("UPDATE draws SET state = :state"), {"state": state})
        session.flush()
        with pytest.raises(DrawNotRevealedError):
            next(documents.lines(merchant.id, draw.id))

    def test_packs_as_it_is_written(self, session: Session, merchant: Merchant, kind: str) -> None:
        draw = MADE[kind](session)
        session.flush()
        lines = list(documents.lines(merchant.id, draw.id))
        assert gzip.decompress(b"".join(documents.gzipped(lines))) == b"".join(lines)


class TestSummary:
    def test_says_the_promise_from_the_start(self, session: Session) -> None:
        draw = make_draw(session)
        said = documents.summary(session, draw)
        assert said["commitment"] == draw.commitment.hex()
        assert said["params"].encode() == draw.params
        assert (said["serverSeed"], said["document"]) == (None, None)

    def test_says_the_root_before_the_winners(self, session: Session) -> None:
        draw = make_raffle(session)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        assert documents.summary(session, draw)["ticketsRoot"] is None
        raffles.close(session, draw, at=DRAW_AT)
        said = documents.summary(session, draw)
        assert draw.tickets_root is not None
        assert (said["ticketsRoot"], said["serverSeed"]) == (draw.tickets_root.hex(), None)

    def test_says_the_seed_in_the_end(self, session: Session) -> None:
        draw = revealed_instant(session)
        said = json.loads(json.dumps(documents.summary(session, draw)))
        assert draw.server_seed is not None
        assert said["serverSeed"] == draw.server_seed.hex()
        assert said["document"].endswith("/draw.jsonl.gz")


class TestOpenPublic:
    def test_finds_the_draw_of_any_merchant(self, session: Session) -> None:
        draw = make_draw(session)
        session.flush()
        with unit_of_work() as anybody:
            assert documents.open_public(anybody, draw.id).id == draw.id

    def test_says_when_there_is_none(self, session: Session) -> None:
        with pytest.raises(DrawNotFoundError), unit_of_work() as anybody:
            documents.open_public(anybody, DrawId(new_id()))


class TestReceipt:
    def test_is_what_is_published_of_the_box(self, session: Session, merchant: Merchant) -> None:
        draw = revealed_instant(session)
        session.flush()
        lines = map(json.loads, documents.lines(merchant.id, draw.id))
        published = [line for line in lines if line["type"] == "opening"]
        rows = session.scalars(select(BoxOpening).order_by(BoxOpening.number)).all()
        for row, line in zip(rows, published, strict=True):
            assert {**documents.receipt(row), "type": "opening"} == line

    def test_void_tickets_are_published_as_void(self, session: Session, merchant: Merchant) -> None:
        draw = revealed_raffle(session)
        session.flush()
        lines = [json.loads(line) for line in documents.lines(merchant.id, draw.id)]
        void = {line["ticketId"] for line in lines if line.get("void")}
        rows = session.scalars(select(Ticket).where(Ticket.state == "void"))
        assert void == {row.id.hex for row in rows} and len(void) == 2
