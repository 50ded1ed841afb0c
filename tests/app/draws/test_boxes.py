"""Boxes opened one by one, all at once, and by themselves; every prize is won exactly once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from app.accounts.models import Merchant
from app.draws import algorithm, boxes, documents, service, verifier
from app.draws.algorithm import NO_NONCE, Opening
from app.draws.errors import DrawStateError, NonceInvalidError
from app.draws.models import Box, BoxOpening, Draw, DrawSeedRead, DrawState, EntryState
from app.perks.models import Holding, Perk
from app.rewards.models import Grant, GrantSource, RewardLine
from app.users.models import User, UserState
from core.db import unit_of_work
from core.events import Event
from core.ids import encode_id
from core.types import BoxId, MerchantId, UserId
from tests.app.draws.made import some
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_asset, make_members
from tests.factories.draws import hand_out, make_draw

LATER = NOW + boxes.OPENED_AFTER


def sealed(session: Session, draw: Draw) -> list[Box]:
    query = select(Box).where(Box.draw_id == draw.id, Box.state == EntryState.SEALED)
    return list(session.scalars(query.order_by(Box.id)))


def open_all(session: Session, draw: Draw) -> list[BoxOpening]:
    return [
        boxes.open_box(session, box, nonce=some(number, 32), at=NOW)
        for number, box in enumerate(sealed(session, draw))
    ]


class TestOpen:
    def test_numbers_without_gaps_and_ties_each_to_the_last(self, session: Session) -> None:
        draw = make_draw(session, 1, 2, boxes=6)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=6)
        seed = service.seeds.read(session, draw, purpose="test")
        rows, left, previous = open_all(session, draw), [1, 2], draw.commitment
        names = [line.reward_line_id for line in draw.lines]
        for number, row in enumerate(rows, 1):
            opening = Opening(row.box_id.bytes, row.client_nonce, number)
            line = algorithm.outcome(seed, opening, boxes=6, left=left)
            assert row.line_id == (None if line is None else names[line])
            if line is not None:
                left[line] -= 1
            assert (row.number, row.previous_hash) == (number, previous)
            previous = row.hash
        assert left == [0, 0] and draw.log_end == previous

    def test_gives_what_was_won_at_once(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=1)
        [user] = make_members(session, "a@example.com")
        hand_out(session, draw, user)
        [row] = open_all(session, draw)
        grant = session.scalars(select(Grant)).one()
        assert (grant.source_type, grant.source_id, grant.user_id) == (
            GrantSource.BOX,
            row.box_id,
            user,
        )
        assert session.scalars(select(Holding.user_id)).all() == [user]
        assert row.unclaimed is None

    def test_promises_an_asset_that_travels_by_itself(self, session: Session) -> None:
        asset = make_asset(session, max_supply=1)
        draw = make_draw(session, lines=[service.Choice(asset.id, quantity=1)], boxes=1)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        open_all(session, draw)
        line = session.get_one(RewardLine, draw.lines[0].reward_line_id)
        assert (line.granted_count, asset.minted_count) == (1, 1)

    def test_again_returns_the_same_receipt(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=3)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=2)
        box = sealed(session, draw)[0]
        first = boxes.open_box(session, box, nonce=some(1, 32), at=NOW)
        again = boxes.open_box(session, box, nonce=some(2, 32), at=LATER)
        assert again is first and again.client_nonce == some(1, 32)
        assert session.scalar(select(func.count()).select_from(BoxOpening)) == 1
        assert draw.opened_count == 1

    @pytest.mark.parametrize("nonce", [None, NO_NONCE])
    def test_without_a_nonce_says_so(self, session: Session, nonce: bytes | None) -> None:
        draw = make_draw(session, boxes=2)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        row = boxes.open_box(session, sealed(session, draw)[0], nonce=nonce, at=NOW)
        assert (row.client_nonce, row.flag) == (NO_NONCE, "no_nonce")

    def test_tells_what_came_of_it(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=2)
        [user] = make_members(session, "a@example.com")
        hand_out(session, draw, user, times=2)
        rows = open_all(session, draw)
        kind = "cohort.mystery-box.opened"
        events = session.scalars(select(Event).where(Event.type == kind).order_by(Event.id)).all()
        for row, told in zip(rows, events, strict=True):
            assert told.user_id == user
            assert told.data["boxId"] == encode_id("box", row.box_id)
            assert told.data["outcome"] == ("won" if row.line_id else "lost")
            assert ("rewardId" in told.data) is (row.line_id is not None)

    def test_reads_the_seed_once_an_opening(self, session: Session) -> None:
        draw = make_draw(session, boxes=3)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=2)
        open_all(session, draw)
        purposes = session.scalars(select(DrawSeedRead.purpose).order_by(DrawSeedRead.id)).all()
        assert purposes == ["opening 1", "opening 2"]

    @pytest.mark.parametrize("state", [UserState.BLOCKED, UserState.ERASED])
    def test_what_nobody_can_have_returns_to_the_stock(
        self, session: Session, state: UserState
    ) -> None:
        draw = make_draw(session, 1, boxes=1)
        [user] = make_members(session, "a@example.com")
        hand_out(session, draw, user)
        session.execute(update(User).where(User.id == user).values(state=state))
        [row] = open_all(session, draw)
        assert row.line_id is not None and row.unclaimed == state
        assert session.scalar(select(func.count()).select_from(Grant)) == 0
        assert session.scalars(select(Perk.granted_count)).all() == [0]

    def test_of_somebody_merged_is_won_by_who_they_are_now(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=1)
        before, now = make_members(session, "a@example.com", "b@example.com")
        hand_out(session, draw, before)
        merged = {"state": UserState.MERGED, "merged_into_id": now}
        session.execute(update(User).where(User.id == before).values(merged))
        open_all(session, draw)
        assert session.scalars(select(Holding.user_id)).all() == [now]


class TestLogs:
    def test_never_hold_the_seed_not_even_every_statement(self, session: Session) -> None:
        """With every parameter, as a log of the database would, and what the product logs."""
        told: list[str] = []

        def tell(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            told.append(f"{statement} {parameters!r}")

        event.listen(session.connection(), "before_cursor_execute", tell)
        with capture_logs() as said:
            draw = make_draw(session, 1, boxes=3)
            hand_out(session, draw, *make_members(session, "a@example.com"), times=2)
            open_all(session, draw)
        event.remove(session.connection(), "before_cursor_execute", tell)
        written = "".join(told) + repr(said)
        assert "draw_seeds" in written and "cohort_read_draw_seed" in written
        seed = service.seeds.read(session, draw, purpose="test")
        for spelled in (seed.hex(), repr(seed)[2:-1]):
            assert spelled not in written


class TestNonce:
    def test_is_read_from_hexadecimal(self) -> None:
        assert boxes.read_nonce("ab" * 32) == b"\xab" * 32
        assert boxes.read_nonce("") is None

    @pytest.mark.parametrize("text", ["ab", "zz" * 32, "ab" * 33, "ab" * 31 + "a"])
    def test_is_refused_where_it_is_none(self, text: str) -> None:
        with pytest.raises(NonceInvalidError):
            boxes.read_nonce(text)


class TestFinish:
    def test_the_last_box_reveals_the_draw(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=2)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=2)
        seed = service.seeds.read(session, draw, purpose="test")
        first, last = sealed(session, draw)
        boxes.open_box(session, first, nonce=None, at=NOW)
        assert (draw.state, draw.server_seed) == (DrawState.OPEN, None)
        boxes.open_box(session, last, nonce=None, at=NOW)
        assert (draw.state, draw.server_seed) == (DrawState.REVEALED, seed)
        told = session.scalars(select(Event).where(Event.type == "cohort.draw.revealed")).one()
        assert told.data["seed"] == seed.hex()
        assert told.data["verifyUrl"].endswith(f"/verify/draw/{encode_id('drw', draw.id)}")

    def test_what_was_in_boxes_of_nobody_goes_back(self, session: Session) -> None:
        draw = make_draw(session, 50, boxes=50)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=2)
        service.end(session, draw, at=NOW)
        open_all(session, draw)
        assert draw.state is DrawState.REVEALED
        assert session.scalars(select(Perk.granted_count)).all() == [2]

    def test_nothing_opens_twice_after_it(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=1)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        [row] = open_all(session, draw)
        box = session.scalars(select(Box)).one()
        assert boxes.open_box(session, box, nonce=None, at=LATER) is row

    def test_a_box_of_a_void_draw_does_not_open(self, session: Session) -> None:
        draw = make_draw(session, boxes=3)
        [user] = make_members(session, "a@example.com")
        service.end(session, draw, at=NOW)
        box = Box(
            id=BoxId(draw.id), draw_id=draw.id, user_id=user, source_id=draw.id, handed_out_at=NOW
        )
        session.add(box)
        with pytest.raises(DrawStateError):
            boxes.open_box(session, box, nonce=None, at=NOW)


class TestOpenDue:
    def test_opens_what_nobody_opened_in_a_week(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=5)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=3)
        service.end(session, draw, at=NOW)
        assert boxes.open_due(session, draw, at=LATER - timedelta(seconds=1)) is False
        assert draw.opened_count == 0
        assert boxes.open_due(session, draw, at=LATER) is False
        flags = session.scalars(select(BoxOpening.flag)).all()
        assert (flags, draw.state) == (["automatic"] * 3, DrawState.REVEALED)

    def test_not_while_boxes_are_handed_out(self, session: Session) -> None:
        draw = make_draw(session, boxes=5)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        assert boxes.open_due(session, draw, at=LATER) is False
        assert draw.opened_count == 0

    def test_goes_on_where_it_stopped(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(boxes, "_AT_ONCE", 2)
        draw = make_draw(session, boxes=5)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=5)
        steps = [boxes.open_due(session, draw, at=LATER) for _ in range(3)]
        assert steps == [True, True, False]

    def test_stops_when_so_many_prizes_were_given(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that members who open theirs wait no longer."""
        monkeypatch.setattr(boxes, "_MOST_PRIZES", 2)
        draw = make_draw(session, 5, boxes=5)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=5)
        counts = []
        while boxes.open_due(session, draw, at=LATER):
            counts.append(draw.opened_count)
        assert counts == [2, 4]
        assert session.scalar(select(func.count()).select_from(Holding)) == 5
        purposes = session.scalars(select(DrawSeedRead.purpose).order_by(DrawSeedRead.id)).all()
        assert purposes == [
            *("opening 1 and on", "opening 3 and on", "opening 5"),
            "reveal",
        ]

    def test_of_thousands_wins_every_prize_exactly_once(
        self, session: Session, merchant: Merchant
    ) -> None:
        draw = make_draw(session, 10, 140, boxes=3_000)
        users = make_members(session, *(f"m{number}@example.com" for number in range(100)))
        hand_out(session, draw, *users, times=30)
        while boxes.open_due(session, draw, at=LATER):
            pass
        assert [line.won_count for line in draw.lines] == [10, 140]
        won = Counter(session.scalars(select(BoxOpening.line_id)))
        assert [won[line.reward_line_id] for line in draw.lines] == [10, 140]
        assert won[None] == 2_850
        assert session.scalar(select(func.count()).select_from(Grant)) == 150
        assert sorted(session.scalars(select(Perk.granted_count))) == [10, 140]
        session.flush()
        assert verifier.verify(documents.lines(merchant.id, draw.id)).is_sound


def _prepare(boxes_: int, *quantities: int, people: int) -> tuple[MerchantId, list[BoxId]]:
    merchant = make_merchant().id
    with unit_of_work(merchant=merchant) as session:
        draw = make_draw(session, *quantities, boxes=boxes_)
        users = make_members(session, *(f"m{n}@example.com" for n in range(people)))
        hand_out(session, draw, *users, times=boxes_ // people)
        return merchant, list(session.scalars(select(Box.id)))


class TestConcurrently:
    """Real transactions of real connections, all at once."""

    def test_sixty_four_openings_of_the_last_boxes_give_every_prize_once(
        self, committed: None
    ) -> None:
        merchant, ids = _prepare(64, 5, 20, people=8)

        def one(number: int) -> None:
            with unit_of_work(merchant=merchant) as session:
                box = session.get_one(Box, ids[number])
                boxes.open_box(session, box, nonce=some(number, 32), at=NOW)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(one, range(64)))
        with unit_of_work(merchant=merchant) as session:
            draw = session.scalars(select(Draw)).one()
            assert (draw.state, draw.opened_count) == (DrawState.REVEALED, 64)
            rows = session.scalars(select(BoxOpening).order_by(BoxOpening.number)).all()
            assert [row.number for row in rows] == list(range(1, 65))
            won = Counter(row.line_id for row in rows)
            assert [won[line.reward_line_id] for line in draw.lines] == [5, 20]
            assert won[None] == 39
            assert session.scalar(select(func.count()).select_from(Grant)) == 25
            assert session.scalar(select(func.count()).select_from(Holding)) == 25
            assert sorted(session.scalars(select(Perk.granted_count))) == [5, 20]
            for row, previous in zip(rows[1:], rows, strict=False):
                assert row.previous_hash == previous.hash

    def test_one_box_opened_by_many_is_opened_once(self, committed: None) -> None:
        merchant, ids = _prepare(2, 1, people=1)

        def one(number: int) -> tuple[int, bytes]:
            with unit_of_work(merchant=merchant) as session:
                box = session.get_one(Box, ids[0])
                row = boxes.open_box(session, box, nonce=some(number, 32), at=NOW)
                return row.number, row.hash

        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(one, range(16)))
        assert len(found) == 1
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(BoxOpening)) == 1

    def test_the_last_boxes_are_handed_out_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            draw_id = make_draw(session, boxes=10).id
            users = make_members(session, *(f"m{n}@example.com" for n in range(16)))

        def one(user: UserId) -> int:
            with unit_of_work(merchant=merchant) as session:
                draw = session.get_one(Draw, draw_id)
                try:
                    return hand_out(session, draw, user)
                except (DrawStateError, boxes.BoxesExhaustedError):
                    return 0

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(one, users)) == 10
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(Box)) == 10
            assert session.get_one(Draw, draw_id).handed_out_count == 10
