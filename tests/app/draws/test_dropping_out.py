"""Winners of a raffle who drop out: what they have is the next reserve's, and nothing is lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import upkeep
from app.accounts.models import Merchant
from app.draws import documents, moving, raffles, verifier, winners
from app.draws.errors import QuantityExceedsStockError
from app.draws.models import Draw, Ticket
from app.perks import shipping, sweeping, using
from app.perks.errors import HoldingRevokedError
from app.perks.models import Channel, Holding, HoldingState, Perk, PerkQuota, ShipmentState
from app.perks.terms import Options, RedemptionType, Validation
from app.privacy import erasure, merging
from app.rewards import revoking
from app.rewards.lines import Choice
from app.rewards.models import Grant, GrantState, RewardLine
from app.users import standing
from app.users.models import User
from app.users.queries import only
from core.db import Role, unit_of_work
from core.ids import new_id
from core.types import TicketId, UserId
from minting.models import Token, TokenState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_asset, make_members
from tests.factories.draws import DRAW_AT, hand_out, make_raffle
from tests.factories.minting import make_plan
from tests.factories.perks import load, perk_of

AFTER = DRAW_AT + timedelta(minutes=5)
LATE = AFTER + timedelta(days=10)
SENT = Options(countries=("BE",), deadline_days=10)
HOME = shipping.Address("Ada L.", "1 Long Lane", "", "1000", "Brussels", "", "BE", "")
Gone = Callable[[Session, UserId], object]


def coffee(session: Session, **changes: object) -> Perk:
    """A perk that members use by themselves."""
    terms = Options(validation=Validation.SELF)
    return perk_of(session, RedemptionType.NONE, terms=terms, **changes)


def mug(session: Session, **changes: object) -> Perk:
    """A perk that is sent to an address given within ten days."""
    return perk_of(session, RedemptionType.PHYSICAL, terms=SENT, **changes)


def drawn(session: Session, perk: Perk, *, prizes: int = 1, people: int = 5, **more: int) -> Draw:
    """A revealed raffle of this perk, with two reserves."""
    choice = Choice(perk_id=perk.id, quantity=prizes)
    draw = make_raffle(session, lines=[choice], **{"reserves": 2, **more})
    emails = (f"{new_id().hex}@example.com" for _ in range(people))
    hand_out(session, draw, *make_members(session, *emails))
    raffles.close(session, draw, at=DRAW_AT)
    raffles.draw_winners(session, draw, at=AFTER)
    moving.reveal(session, draw, at=AFTER)
    session.flush()
    return draw


def order(session: Session, draw: Draw) -> list[TicketId]:
    """The tickets of all places."""
    return [it.ticket_id for it in winners.places(session, draw)]


def owner(session: Session, ticket_id: TicketId) -> UserId:
    return session.get_one(Ticket, ticket_id).user_id


def holding_of(session: Session, ticket_id: TicketId) -> Holding:
    query = select(Holding).join(Grant, Grant.id == Holding.grant_id)
    found = query.where(Grant.source_id == ticket_id).execution_options(populate_existing=True)
    return session.scalars(found).one()


def block(session: Session, user_id: UserId) -> None:
    standing.block(session, only(user_id), reason="cheated", at=AFTER)


def erase(session: Session, user_id: UserId) -> None:
    asked = erasure.request(session, session.get_one(User, user_id), reason="asked", at=NOW)
    erasure.erase(session, asked.id, at=NOW + erasure.GRACE)


def check(session: Session, draw: Draw, perk: Perk, *held: TicketId, lost: int = 0) -> None:
    """These tickets hold the prizes, and every counter says so.

    Args:
        lost: codes that were given and cannot be given again.
    """
    session.expire_all()
    assert set(winners.holders(session, draw)) == set(held)
    is_given = Grant.state == GrantState.DELIVERED
    assert set(session.scalars(select(Grant.source_id).where(is_given))) == set(held)
    line = session.scalars(select(RewardLine)).one()
    assert (line.quantity, line.granted_count, line.delivered_count) == (len(held),) * 3
    assert draw.lines[0].won_count == len(held)
    assert perk.granted_count == len(held) + lost
    quota = select(func.sum(PerkQuota.granted_count)).where(PerkQuota.perk_id == perk.id)
    assert session.scalar(quota) == len(held)
    query = select(Holding.user_id).where(Holding.state == HoldingState.AVAILABLE)
    assert sorted(session.scalars(query)) == sorted(owner(session, it) for it in held)


def due(session: Session) -> list[object]:
    return [draw for _, draw in winners.list_dropped_out(session)]


class TestGone:
    @pytest.mark.parametrize(("gone", "reason"), [(block, "blocked"), (erase, "erased")])
    def test_is_followed_by_the_next_reserve_who_has_what_they_had(
        self, session: Session, merchant: Merchant, gone: Gone, reason: str
    ) -> None:
        perk = coffee(session, total_quantity=1)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        gone(session, owner(session, first))
        assert due(session) == [draw.id]
        winners.replace_gone(session, draw, at=AFTER)
        [row] = winners.replacements(session, draw)
        assert (row.out_id, row.by_id, row.reason) == (first, second, reason)
        check(session, draw, perk, second)
        holding = holding_of(session, first)
        assert holding.state is HoldingState.REVOKED
        grant = session.get_one(Grant, holding.grant_id)
        assert (grant.state, grant.reason) == (GrantState.CANCELLED, reason)
        assert verifier.verify(documents.lines(merchant.id, draw.id)).is_sound

    @pytest.mark.parametrize("is_swept", [False, True])
    def test_is_replaced_also_if_the_perk_was_revoked_before(
        self, session: Session, is_swept: bool
    ) -> None:
        """Whether the grant says so already or not: its stock is still theirs."""
        perk = coffee(session, total_quantity=1)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        using.revoke(session, holding_of(session, first), reason="cheated", at=AFTER)
        if is_swept:
            revoking.revoke_taken_back(session, AFTER)
        assert due(session) == []
        block(session, owner(session, first))
        winners.replace_gone(session, draw, at=AFTER)
        check(session, draw, perk, second)

    def test_is_replaced_once_whatever_is_repeated(self, session: Session) -> None:
        perk = coffee(session)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        block(session, owner(session, first))
        for _ in range(3):
            winners.replace_gone(session, draw, at=AFTER)
            revoking.revoke_taken_back(session, AFTER)
        assert due(session) == []
        check(session, draw, perk, second)
        assert len(winners.replacements(session, draw)) == 1

    def test_reserves_who_are_gone_are_passed_over_in_public(self, session: Session) -> None:
        perk = coffee(session, total_quantity=1)
        draw = drawn(session, perk)
        first, second, third = order(session, draw)
        for ticket in (first, second):
            block(session, owner(session, ticket))
        winners.replace_gone(session, draw, at=AFTER)
        rows = winners.replacements(session, draw)
        assert [(it.out_id, it.by_id) for it in rows] == [(first, second), (second, third)]
        check(session, draw, perk, third)

    def test_who_moved_up_may_drop_out_like_who_won(self, session: Session) -> None:
        perk = coffee(session, total_quantity=1)
        draw = drawn(session, perk)
        for ticket in (tickets := order(session, draw))[:2]:
            block(session, owner(session, ticket))
            winners.replace_gone(session, draw, at=AFTER)
        check(session, draw, perk, tickets[2])

    def test_with_no_reserve_left_the_stock_is_free_for_others(self, session: Session) -> None:
        perk = coffee(session, total_quantity=3)
        draw = drawn(session, perk, prizes=2, people=2)
        first, second = order(session, draw)
        block(session, owner(session, first))
        winners.replace_gone(session, draw, at=AFTER)
        [row] = winners.replacements(session, draw)
        assert row.by_id is None
        check(session, draw, perk, second)
        assert perk.left == 2

    def test_several_at_once_are_followed_in_the_order_of_their_places(
        self, session: Session
    ) -> None:
        perk = coffee(session, total_quantity=3)
        draw = drawn(session, perk, prizes=3, people=8, reserves=4)
        tickets = order(session, draw)
        for ticket in (tickets[2], tickets[0]):
            block(session, owner(session, ticket))
        winners.replace_gone(session, draw, at=AFTER)
        rows = winners.replacements(session, draw)
        assert [(it.out_id, it.by_id) for it in rows] == [
            (tickets[0], tickets[3]),
            (tickets[2], tickets[4]),
        ]
        check(session, draw, perk, tickets[1], tickets[3], tickets[4])

    def test_however_many_reserves_may_be_gone(self, session: Session) -> None:
        draw = drawn(session, coffee(session), people=400, reserves=1_000)
        session.execute(update(User).values(state="blocked"))
        session.expire_all()
        winners.replace_gone(session, draw, at=AFTER)
        assert len(winners.replacements(session, draw)) == 400
        assert winners.holders(session, draw) == {}

    def test_who_was_merged_stays_while_who_they_are_now_does(self, session: Session) -> None:
        perk = coffee(session)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        [other] = make_members(session, "other@example.com")
        now, before = (session.get_one(User, it) for it in (other, owner(session, first)))
        merging.merge(session, now, before, at=AFTER)
        assert due(session) == []
        block(session, other)
        assert due(session) == [draw.id]
        winners.replace_gone(session, draw, at=AFTER)
        check(session, draw, perk, second)

    @pytest.mark.parametrize("is_taken_back", [False, True])
    def test_keeps_what_was_used(self, session: Session, is_taken_back: bool) -> None:
        draw = drawn(session, coffee(session, uses_per_holding=3))
        first, second, _ = order(session, draw)
        holding = holding_of(session, first)
        use = using.use(session, holding, channel=Channel.SELF, actor="user", at=AFTER)
        if is_taken_back:
            using.undo(session, use, actor="user", at=AFTER)
        block(session, owner(session, first))
        assert due(session) == ([draw.id] if is_taken_back else [])
        winners.replace_gone(session, draw, at=AFTER)
        held = second if is_taken_back else first
        assert set(winners.holders(session, draw)) == {held}

    def test_keeps_what_expired(self, session: Session) -> None:
        draw = drawn(session, coffee(session))
        first, *_ = order(session, draw)
        holding_of(session, first).state = HoldingState.EXPIRED
        block(session, owner(session, first))
        assert due(session) == []

    def test_has_no_effect_on_who_only_had_a_ticket(self, session: Session) -> None:
        draw = drawn(session, coffee(session), people=6)
        placed = {owner(session, it) for it in order(session, draw)}
        others = select(User.id).where(User.id.not_in(placed))
        for user in session.scalars(others).all():
            block(session, user)
        assert due(session) == []


class TestCode:
    """One that was given is never given again, so the reserve needs another one."""

    def draw(self, session: Session, codes: str) -> tuple[Perk, Draw]:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, codes)
        return perk, drawn(session, perk)

    def test_another_one_is_given(self, session: Session) -> None:
        perk, draw = self.draw(session, "code\nA\nB\n")
        first, second, _ = order(session, draw)
        block(session, owner(session, first))
        winners.replace_gone(session, draw, at=AFTER)
        check(session, draw, perk, second, lost=1)
        assert perk.left == 0

    def test_without_another_one_the_winner_stays_until_there_is(self, session: Session) -> None:
        perk, draw = self.draw(session, "code\nA\n")
        first, second, _ = order(session, draw)
        block(session, owner(session, first))
        for _ in range(2):
            winners.replace_gone(session, draw, at=AFTER)
        check(session, draw, perk, first)
        assert winners.replacements(session, draw) == []
        assert due(session) == [draw.id]
        load(session, perk, "code\nB\n", "more.csv")
        winners.replace_gone(session, draw, at=AFTER)
        check(session, draw, perk, second, lost=1)

    def test_by_hand_says_that_there_is_none(self, session: Session) -> None:
        perk, draw = self.draw(session, "code\nA\n")
        first, *_ = order(session, draw)
        with pytest.raises(QuantityExceedsStockError):
            winners.replace_winner(session, draw, first, reason="No answer", at=AFTER)
        check(session, draw, perk, first)


class TestAddress:
    def test_not_given_in_time_gives_the_item_to_the_reserve_and_to_nobody_else(
        self, session: Session, merchant: Merchant
    ) -> None:
        perk = mug(session, total_quantity=1)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        assert due(session) == []
        while sweeping.lapse_due(session, LATE):
            pass
        assert perk.left == 0  # nobody else may have it meanwhile
        assert due(session) == [draw.id]
        winners.replace_gone(session, draw, at=LATE)
        [row] = winners.replacements(session, draw)
        assert (row.out_id, row.by_id, row.reason) == (first, second, "no address in time")
        check(session, draw, perk, second)
        assert holding_of(session, first).shipment is ShipmentState.LAPSED
        following = holding_of(session, second)
        assert following.shipment is ShipmentState.ADDRESS_NEEDED
        assert following.address_due_at == LATE + timedelta(days=10)
        assert due(session) == []
        assert verifier.verify(documents.lines(merchant.id, draw.id)).is_sound

    def test_of_nobody_in_time_leaves_the_item_to_others(self, session: Session) -> None:
        perk = mug(session, total_quantity=1)
        draw = drawn(session, perk, people=2)
        for turn in range(1, 3):
            while sweeping.lapse_due(session, AFTER + turn * timedelta(days=10)):
                pass
            winners.replace_gone(session, draw, at=AFTER + turn * timedelta(days=10))
        check(session, draw, perk)
        assert perk.left == 1

    def test_given_in_time_keeps_it(self, session: Session) -> None:
        perk = mug(session)
        draw = drawn(session, perk)
        first, *_ = order(session, draw)
        shipping.give_address(session, holding_of(session, first), HOME, terms=SENT, at=AFTER)
        assert not sweeping.lapse_due(session, LATE)
        assert due(session) == []

    @pytest.mark.parametrize("is_sent", [False, True])
    def test_of_who_is_blocked_is_forgotten_unless_it_was_sent_to(
        self, session: Session, is_sent: bool
    ) -> None:
        perk = mug(session)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        shipping.give_address(session, holding_of(session, first), HOME, terms=SENT, at=AFTER)
        if is_sent:
            shipping.ship(session, holding_of(session, first), at=AFTER)
        block(session, owner(session, first))
        winners.replace_gone(session, draw, at=AFTER)
        assert set(winners.holders(session, draw)) == {first if is_sent else second}
        known = shipping.address_of(session, holding_of(session, first))
        assert (known is None) is not is_sent


class TestAsset:
    def draw(self, session: Session) -> Draw:
        asset = make_asset(session, max_supply=1)
        draw = make_raffle(session, lines=[Choice(asset.id, quantity=1)], reserves=1)
        hand_out(session, draw, *make_members(session, "a@example.com", "b@example.com"))
        raffles.close(session, draw, at=DRAW_AT)
        raffles.draw_winners(session, draw, at=AFTER)
        moving.reveal(session, draw, at=AFTER)
        session.flush()
        return draw

    def test_that_is_in_no_plan_yet_travels_to_the_reserve(self, session: Session) -> None:
        draw = self.draw(session)
        first, second = order(session, draw)
        block(session, owner(session, first))
        assert due(session) == [draw.id]
        winners.replace_gone(session, draw, at=AFTER)
        assert set(winners.holders(session, draw)) == {second}
        token = session.scalars(select(Token)).one()
        assert (token.user_id, token.asset.minted_count) == (owner(session, second), 1)
        states = dict(session.execute(select(Grant.source_id, Grant.state)).all())
        assert states == {first: GrantState.CANCELLED, second: GrantState.PENDING}
        line = session.scalars(select(RewardLine)).one()
        assert (line.quantity, line.granted_count) == (1, 1)

    def test_that_is_on_its_way_stays(self, session: Session) -> None:
        draw = self.draw(session)
        first, _ = order(session, draw)
        token = session.scalars(select(Token)).one()
        [batch] = make_plan(session, b"\x01", contract=token.asset.address).batches
        token.state, token.pass_number, token.batch_id = TokenState.MINTING, 7, batch.id
        block(session, owner(session, first))
        session.flush()
        assert due(session) == []
        winners.replace_gone(session, draw, at=AFTER)
        assert set(winners.holders(session, draw)) == {first}
        assert session.scalars(select(Token.id)).all() == [token.id]


class TestByHand:
    def test_takes_back_what_was_not_used(self, session: Session) -> None:
        perk = coffee(session, total_quantity=1)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        winners.replace_winner(session, draw, first, reason="No answer", at=AFTER)
        check(session, draw, perk, second)
        assert holding_of(session, first).state is HoldingState.REVOKED

    def test_gives_another_where_it_was(self, session: Session) -> None:
        perk = coffee(session, total_quantity=2)
        draw = drawn(session, perk)
        first, second, _ = order(session, draw)
        holding = holding_of(session, first)
        using.use(session, holding, channel=Channel.SELF, actor="user", at=AFTER)
        winners.replace_winner(session, draw, first, reason="No answer", at=AFTER)
        assert set(winners.holders(session, draw)) == {second}
        assert (holding.state, perk.granted_count) == (HoldingState.USED, 2)
        block(session, owner(session, first))
        assert due(session) == []  # who was replaced already is not looked at again


class TestWorker:
    def test_finds_who_dropped_out_across_merchants(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            perk = coffee(session)
            draw = drawn(session, perk)
            first, second, _ = order(session, draw)
            draw_id, perk_id = draw.id, perk.id
            block(session, owner(session, first))
        for work in upkeep.dropped_out_winners(AFTER):
            work()
        with unit_of_work(role=Role.ENGINE) as session:
            assert due(session) == []
        with unit_of_work(merchant=merchant) as session:
            check(session, session.get_one(Draw, draw_id), session.get_one(Perk, perk_id), second)


class TestConcurrently:
    """Real transactions of real connections, all at once."""

    def test_of_many_sweeps_one_replaces_and_nothing_is_given_twice(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            perk = coffee(session, total_quantity=4)
            draw = drawn(session, perk, prizes=4, people=12, reserves=6)
            tickets = order(session, draw)
            draw_id, perk_id = draw.id, perk.id
            for ticket in tickets[:3]:
                block(session, owner(session, ticket))

        def one(_: int) -> None:
            with unit_of_work(merchant=merchant) as session:
                winners.replace_gone(session, session.get_one(Draw, draw_id), at=AFTER)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(16)))
        with unit_of_work(merchant=merchant) as session:
            found = session.get_one(Draw, draw_id)
            check(session, found, session.get_one(Perk, perk_id), *tickets[3:7])
            assert len(winners.replacements(session, found)) == 3

    def test_who_uses_it_at_the_same_moment_keeps_it_or_has_lost_it(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            perk = coffee(session, total_quantity=8)
            draw = drawn(session, perk, prizes=8, people=20, reserves=10)
            tickets = order(session, draw)[:8]
            draw_id, perk_id = draw.id, perk.id
            held = [holding_of(session, it).id for it in tickets]

        def use(number: int) -> bool:
            with unit_of_work(merchant=merchant) as session:
                holding = session.get_one(Holding, held[number])
                try:
                    using.use(session, holding, channel=Channel.SELF, actor="user", at=AFTER)
                except HoldingRevokedError:
                    return False
                return True

        def replace(number: int) -> bool:
            with unit_of_work(merchant=merchant) as session:
                draw, ticket = session.get_one(Draw, draw_id), tickets[number]
                try:
                    winners.replace_winner(session, draw, ticket, reason="No answer", at=AFTER)
                except QuantityExceedsStockError:  # it is used, and there is no other one
                    return False
                return True

        with ThreadPoolExecutor(8) as pool:
            turns = [(pool.submit(use, it), pool.submit(replace, it)) for it in range(8)]
            done = [(used.result(), replaced.result()) for used, replaced in turns]
        assert set(done) <= {(True, False), (False, True)}
        count = sum(used for used, _ in done)
        with unit_of_work(merchant=merchant) as session:
            found = session.get_one(Draw, draw_id)
            assert len(winners.replacements(session, found)) == 8 - count
            states = session.scalars(select(Holding.state)).all()
            assert states.count(HoldingState.USED) == count
            assert states.count(HoldingState.REVOKED) == 8 - count
            assert states.count(HoldingState.AVAILABLE) == 8 - count
            assert session.get_one(Perk, perk_id).granted_count == 8
            assert len(winners.holders(session, found)) == 8
