"""Raffles: closed on their date, drawn as a second reading draws, and winners who drop out."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.draws import moving, raffles, seeds, service, winners
from app.draws.errors import (
    BeaconMissingError,
    DrawNotDueError,
    DrawStateError,
    NoWinnerError,
    QuantityExceedsStockError,
)
from app.draws.models import Draw, DrawSeedRead, DrawState, EntryState, Ticket
from app.draws.published import Beacon
from app.perks.models import Holding, HoldingState, Perk
from app.rewards.models import Grant, GrantSource
from app.users.models import User, UserState
from chain.models import ChainKind
from core.db import unit_of_work
from core.events import Event
from core.types import TicketId, UserId
from tests.app.draws import independent
from tests.app.draws.made import some
from tests.conftest import make_merchant
from tests.factories.brand import make_members
from tests.factories.chain import make_chain
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

AFTER = DRAW_AT + timedelta(minutes=5)
BLOCK = Beacon(7, some(7, 32, "block"), int(DRAW_AT.timestamp()) + 60)


def take_part(session: Session, draw: Draw, people: int, *, times: int = 1) -> list[UserId]:
    users = make_members(session, *(f"m{number}@example.com" for number in range(people)))
    hand_out(session, draw, *users, times=times)
    return users


def run(session: Session, draw: Draw, beacon: Beacon | None = None) -> None:
    raffles.close(session, draw, at=DRAW_AT)
    raffles.draw_winners(session, draw, beacon=beacon, at=AFTER)


def second_reading(
    session: Session, draw: Draw, beacon: bytes = bytes(32)
) -> list[tuple[str | None, bytes]]:
    """Who takes which place, by the implementation that shares nothing with the product."""
    rows = session.scalars(
        select(Ticket).where(Ticket.state != EntryState.VOID).order_by(Ticket.seq)
    )
    return independent.raffle(
        seeds.read(session, draw, purpose="test"),
        [(it.id.bytes, it.seq, it.tag) for it in rows],
        beacon,
        [(line.name, line.quantity) for line in draw.lines],
        most=draw.max_wins_per_user or 0,
        reserves=draw.reserves,
    )


def places(session: Session, draw: Draw) -> list[tuple[str | None, bytes]]:
    names = {line.reward_line_id: line.name for line in draw.lines}
    return [
        (None if it.line_id is None else names[it.line_id], it.ticket_id.bytes)
        for it in winners.places(session, draw)
    ]


def owner(session: Session, ticket: TicketId) -> UserId:
    return session.get_one(Ticket, ticket).user_id


class TestClose:
    def test_fixes_the_root_of_all_tickets(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 5)
        raffles.close(session, draw, at=DRAW_AT)
        rows = session.scalars(select(Ticket).order_by(Ticket.seq)).all()
        tickets = [(it.id.bytes, it.seq, it.tag) for it in rows]
        assert draw.tickets_root == independent.tickets_root(tickets)
        assert draw.state is DrawState.CLOSED
        assert session.scalar(select(func.count()).select_from(DrawSeedRead)) == 0

    def test_not_before_its_date(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 1)
        with pytest.raises(DrawNotDueError):
            raffles.close(session, draw, at=DRAW_AT - timedelta(seconds=1))
        assert draw.state is DrawState.OPEN

    def test_nobody_takes_part_afterwards(self, session: Session) -> None:
        draw = make_raffle(session)
        users = take_part(session, draw, 1)
        raffles.close(session, draw, at=DRAW_AT)
        with pytest.raises(DrawStateError):
            hand_out(session, draw, *users)
        with pytest.raises(DrawStateError):
            raffles.close(session, draw, at=AFTER)

    def test_an_instant_draw_has_no_list_to_close(self, session: Session) -> None:
        with pytest.raises(DrawStateError):
            raffles.close(session, make_draw(session), at=DRAW_AT)

    def test_without_anybody_is_void_and_prizes_go_back(self, session: Session) -> None:
        draw = make_raffle(session, 3)
        raffles.close(session, draw, at=DRAW_AT)
        assert draw.state is DrawState.VOID
        assert session.scalars(select(Perk.granted_count)).all() == [0]

    def test_tickets_of_who_takes_no_part_any_more_are_void(self, session: Session) -> None:
        draw = make_raffle(session, 3)
        users = take_part(session, draw, 4)
        for user, state in zip(users, (UserState.BLOCKED, UserState.ERASED), strict=False):
            session.execute(update(User).where(User.id == user).values(state=state))
        raffles.close(session, draw, at=DRAW_AT)
        states = dict(session.execute(select(Ticket.user_id, Ticket.state)).all())
        assert [states[user] for user in users] == [
            *(EntryState.VOID, EntryState.VOID),
            *(EntryState.SEALED, EntryState.SEALED),
        ]

    def test_of_nobody_but_them_is_void(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 1)
        session.execute(update(User).values(state=UserState.BLOCKED))
        raffles.close(session, draw, at=DRAW_AT)
        assert draw.state is DrawState.VOID


class TestDraw:
    @pytest.mark.parametrize(
        ("quantities", "people", "times", "most", "reserves"),
        [((1,), 1, 1, 1, 0), ((1, 3), 12, 1, 1, 3), ((2, 2), 5, 4, 2, 2), ((5,), 3, 3, 1, 5)],
    )
    def test_takes_the_places_that_a_second_reading_takes(
        self,
        session: Session,
        quantities: tuple[int, ...],
        people: int,
        times: int,
        most: int,
        reserves: int,
    ) -> None:
        draw = make_raffle(session, *quantities, max_wins_per_user=most, reserves=reserves)
        take_part(session, draw, people, times=times)
        run(session, draw)
        assert places(session, draw) == second_reading(session, draw)

    def test_with_void_tickets_too(self, session: Session) -> None:
        draw = make_raffle(session, 2, reserves=2)
        users = take_part(session, draw, 6)
        blocked = update(User).where(User.id.in_(users[1:3]))
        session.execute(blocked.values(state=UserState.BLOCKED))
        run(session, draw)
        root = draw.tickets_root
        void = select(Ticket).where(Ticket.state == EntryState.VOID)
        assert len(session.scalars(void).all()) == 2
        key = raffles.algorithm.draw_key(
            seeds.read(session, draw, purpose="test"), root or b"", bytes(32)
        )
        live = [it for it in raffles.list_leaves(session, draw) if not it.is_void]
        drawn = raffles.algorithm.winners(key, [it.tag for it in live], places=4, most=1)
        assert [live[it].id for it in drawn] == [
            it.ticket_id for it in winners.places(session, draw)
        ]

    def test_gives_every_winner_the_prize(self, session: Session) -> None:
        draw = make_raffle(session, 2, 1)
        take_part(session, draw, 9)
        run(session, draw)
        held = winners.holders(session, draw)
        grants = session.scalars(select(Grant)).all()
        assert {(it.source_id, it.reward_line_id) for it in grants} == set(held.items())
        assert {it.source_type for it in grants} == {GrantSource.TICKET}
        assert session.scalar(select(func.count()).select_from(Holding)) == 3
        assert [line.won_count for line in draw.lines] == [2, 1]

    def test_opens_every_box_and_tells_everybody(self, session: Session) -> None:
        draw = make_raffle(session, 2)
        users = take_part(session, draw, 5)
        run(session, draw)
        assert set(session.scalars(select(Ticket.state))) == {EntryState.OPENED}
        kind = "cohort.mystery-box.opened"
        events = session.scalars(select(Event).where(Event.type == kind)).all()
        assert {event.user_id for event in events} == set(users)
        assert sorted(event.data["outcome"] for event in events) == ["lost"] * 3 + ["won"] * 2

    def test_reads_the_seed_once(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 3)
        run(session, draw)
        assert session.scalars(select(DrawSeedRead.purpose)).all() == ["drawing"]

    def test_not_before_it_is_closed_and_not_twice(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 3)
        with pytest.raises(DrawStateError):
            raffles.draw_winners(session, draw, at=AFTER)
        run(session, draw)
        with pytest.raises(DrawStateError):
            raffles.draw_winners(session, draw, at=AFTER)

    def test_fewer_tickets_than_prizes_return_the_rest(self, session: Session) -> None:
        draw = make_raffle(session, 5)
        take_part(session, draw, 2)
        run(session, draw)
        moving.reveal(session, draw, at=AFTER)
        assert session.scalars(select(Perk.granted_count)).all() == [2]
        assert (draw.state, draw.lines[0].won_count) == (DrawState.REVEALED, 2)


class TestBeacon:
    @pytest.fixture
    def draw(self, session: Session) -> Draw:
        """A raffle whose randomness a chain of others adds to."""
        chain = make_chain(session)
        chain.kind = ChainKind.EXTERNAL
        draw = make_raffle(session, 1, beacon_chain_id=chain.id)
        take_part(session, draw, 7)
        return draw

    def test_is_waited_for(self, session: Session, draw: Draw) -> None:
        raffles.close(session, draw, at=DRAW_AT)
        with pytest.raises(BeaconMissingError):
            raffles.draw_winners(session, draw, at=AFTER)
        session.refresh(draw)
        assert draw.state is DrawState.CLOSED

    def test_changes_who_wins(self, session: Session, draw: Draw) -> None:
        run(session, draw, BLOCK)
        assert (draw.beacon_number, draw.beacon_hash) == (BLOCK.number, BLOCK.hash)
        assert places(session, draw) == second_reading(session, draw, BLOCK.hash)
        others = {tuple(second_reading(session, draw, some(number, 32))) for number in range(20)}
        assert len(others) > 1

    def test_is_never_another_afterwards(self, session: Session, draw: Draw) -> None:
        run(session, draw, BLOCK)
        other = dataclasses.replace(BLOCK, hash=some(8, 32))
        change = update(Draw).values(beacon_hash=other.hash)
        with pytest.raises(IntegrityError, match="cannot change"), session.begin_nested():
            session.execute(change)


class TestReplace:
    def winners(self, session: Session, draw: Draw) -> list[TicketId]:
        return [it.ticket_id for it in winners.places(session, draw)]

    def test_who_was_blocked_meanwhile_is_replaced_at_once(self, session: Session) -> None:
        draw = make_raffle(session, 2, reserves=2)
        take_part(session, draw, 6)
        raffles.close(session, draw, at=DRAW_AT)
        first = second_reading(session, draw)[0][1]
        user = session.scalars(select(Ticket.user_id).where(Ticket.id == first.hex())).one()
        session.execute(update(User).where(User.id == user).values(state=UserState.BLOCKED))
        raffles.draw_winners(session, draw, at=AFTER)
        [row] = winners.replacements(session, draw)
        order = self.winners(session, draw)
        assert (row.out_id, row.by_id, row.reason) == (order[0], order[2], "blocked")
        assert set(session.scalars(select(Grant.source_id))) == {order[1], order[2]}
        assert draw.lines[0].won_count == 2

    def test_reserves_who_cannot_win_either_are_passed_over_in_public(
        self, session: Session
    ) -> None:
        draw = make_raffle(session, 1, reserves=3)
        take_part(session, draw, 5)
        raffles.close(session, draw, at=DRAW_AT)
        order = [ticket.hex() for _, ticket in second_reading(session, draw)]
        gone = select(Ticket.user_id).where(Ticket.id.in_(order[:3]))
        session.execute(
            update(User)
            .where(User.id.in_(gone))
            .values(state=UserState.ERASED)
            .execution_options(synchronize_session=False)
        )
        raffles.draw_winners(session, draw, at=AFTER)
        rows = winners.replacements(session, draw)
        taken = self.winners(session, draw)
        assert [(row.out_id, row.by_id) for row in rows] == list(pairwise(taken))
        assert session.scalars(select(Grant.source_id)).all() == [taken[3]]

    def test_with_nobody_left_the_prize_goes_back(self, session: Session) -> None:
        draw = make_raffle(session, 1)
        take_part(session, draw, 1)
        raffles.close(session, draw, at=DRAW_AT)
        session.execute(update(User).values(state=UserState.BLOCKED))
        raffles.draw_winners(session, draw, at=AFTER)
        [row] = winners.replacements(session, draw)
        assert (row.by_id, draw.lines[0].won_count) == (None, 0)
        moving.reveal(session, draw, at=AFTER)
        assert session.scalars(select(Perk.granted_count)).all() == [0]

    def test_by_hand_says_why(self, session: Session) -> None:
        draw = make_raffle(session, 1, reserves=1)
        take_part(session, draw, 4)
        run(session, draw)
        moving.reveal(session, draw, at=AFTER)
        first, second = self.winners(session, draw)
        winners.replace_winner(session, draw, first, reason="No address in time.", at=AFTER)
        [row] = winners.replacements(session, draw)
        assert (row.out_id, row.by_id, row.reason) == (first, second, "No address in time.")
        assert winners.holders(session, draw) == {second: draw.lines[0].reward_line_id}
        assert second in set(session.scalars(select(Grant.source_id)))

    def test_with_no_reserve_left_its_prize_is_free_for_others(self, session: Session) -> None:
        draw = make_raffle(session, 1)
        take_part(session, draw, 4)
        run(session, draw)
        moving.reveal(session, draw, at=AFTER)
        [first] = self.winners(session, draw)
        winners.replace_winner(session, draw, first, reason="No address in time.", at=AFTER)
        [row] = winners.replacements(session, draw)
        assert row.by_id is None
        assert session.scalars(select(Perk.granted_count)).one() == 0

    def test_of_what_is_used_up_is_refused_and_changes_nothing(self, session: Session) -> None:
        draw = make_raffle(session, 1, reserves=1)
        session.execute(update(Perk).values(total_quantity=1))
        take_part(session, draw, 4)
        run(session, draw)
        first, _ = self.winners(session, draw)
        session.execute(update(Holding).values(state=HoldingState.EXPIRED))
        with pytest.raises(QuantityExceedsStockError):
            winners.replace_winner(session, draw, first, reason="x", at=AFTER)
        assert winners.replacements(session, draw) == []
        assert draw.lines[0].won_count == 1

    def test_only_of_somebody_who_holds_a_prize(self, session: Session) -> None:
        draw = make_raffle(session, 1, reserves=2)
        take_part(session, draw, 4)
        run(session, draw)
        first, second, _ = self.winners(session, draw)
        with pytest.raises(NoWinnerError):
            winners.replace_winner(session, draw, second, reason="x", at=AFTER)
        winners.replace_winner(session, draw, first, reason="x", at=AFTER)
        with pytest.raises(NoWinnerError):
            winners.replace_winner(session, draw, first, reason="x", at=AFTER)

    def test_not_before_anybody_has_won(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 2)
        ticket = session.scalars(select(Ticket.id)).first()
        assert ticket is not None
        with pytest.raises(DrawStateError):
            winners.replace_winner(session, draw, ticket, reason="x", at=AFTER)


class TestReveal:
    def test_only_after_the_winners_are_known(self, session: Session) -> None:
        draw = make_raffle(session)
        take_part(session, draw, 2)
        for step in (lambda: None, lambda: raffles.close(session, draw, at=DRAW_AT)):
            step()
            with pytest.raises(DrawStateError):
                moving.reveal(session, draw, at=AFTER)
            assert draw.server_seed is None
        raffles.draw_winners(session, draw, at=AFTER)
        moving.reveal(session, draw, at=AFTER)
        assert draw.server_seed is not None
        with pytest.raises(DrawStateError):
            moving.reveal(session, draw, at=AFTER)


class TestConcurrently:
    def test_tickets_have_numbers_without_gaps_and_twins(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            draw_id = make_raffle(session).id
            users = make_members(session, *(f"m{number}@example.com" for number in range(32)))

        def one(user: UserId) -> None:
            with unit_of_work(merchant=merchant) as session:
                hand_out(session, session.get_one(Draw, draw_id), user, times=2)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(one, users))
        with unit_of_work(merchant=merchant) as session:
            numbers = session.scalars(select(Ticket.seq).order_by(Ticket.seq)).all()
            assert numbers == list(range(1, 65))

    def test_of_several_who_draw_one_does(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            draw = make_raffle(session, 3)
            take_part(session, draw, 8)
            raffles.close(session, draw, at=DRAW_AT)

        def one(_: int) -> bool:
            with unit_of_work(merchant=merchant) as session:
                found = session.get_one(Draw, draw.id)
                try:
                    raffles.draw_winners(session, found, at=AFTER)
                except DrawStateError:
                    return False
                return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(one, range(6))) == 1
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(Grant)) == 3


def test_chains_that_can_add_randomness_are_listed(session: Session) -> None:
    chain = make_chain(session)
    chain.kind = ChainKind.EXTERNAL
    assert service.list_chains(session) == [chain]
    chain.kind = ChainKind.EMBEDDED
    session.flush()
    assert service.list_chains(session) == []
