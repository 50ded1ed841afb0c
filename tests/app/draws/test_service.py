"""What a draw promises: set aside at once, held by the database, and never changed."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.draws import algorithm, moving, seeds, service
from app.draws.algorithm import Mode, Params
from app.draws.errors import (
    BoxesExhaustedError,
    DrawInvalidError,
    DrawNotFoundError,
    DrawStateError,
    QuantityExceedsStockError,
)
from app.draws.models import Box, Draw, DrawLine, DrawSeedRead, DrawState, Ticket
from app.draws.service import DrawDraft
from app.perks.models import Perk, PerkState
from app.rewards.errors import RewardNotLiveError
from app.rewards.lines import Choice
from app.rewards.models import RewardLine
from app.users.models import User, UserState
from chain.models import ChainKind
from core.db import Role, unit_of_work
from core.events import Event
from core.ids import encode_id, new_id
from core.types import DrawId
from minting.models import DigitalAsset
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_other_merchant, make_perk
from tests.factories.chain import CHAIN_ID, make_chain
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle


def perk_of(session: Session, draw: Draw, place: int = 0) -> Perk:
    line = session.get_one(RewardLine, draw.lines[place].reward_line_id)
    return session.get_one(Perk, line.perk_id, populate_existing=True)


class TestCommit:
    def test_fixes_the_parameters_below_a_commitment(self, session: Session) -> None:
        draw = make_draw(session, 2, 5, boxes=100)
        params = Params.read(draw.params)
        assert params == Params(
            Mode.INSTANT, tuple((line.name, line.quantity) for line in draw.lines), 100
        )
        seed = seeds.read(session, draw, purpose="test")
        assert draw.commitment == algorithm.commitment(draw.params, seed)
        assert draw.state is DrawState.COMMITTED

    def test_of_a_raffle_says_when_and_how_often(self, session: Session) -> None:
        draw = make_raffle(session, 3, max_wins_per_user=2, reserves=4, boxes=50)
        said = json.loads(draw.params)
        assert said["drawAt"] == "2026-06-04T12:00:00Z"
        assert (said["maxWinsPerUser"], said["reserves"], said["boxes"]) == (2, 4, 50)

    def test_tells_it(self, session: Session) -> None:
        draw = make_draw(session)
        event = session.scalars(select(Event).where(Event.type == "cohort.draw.committed")).one()
        assert event.user_id is None
        assert event.data == {
            "drawId": encode_id("drw", draw.id),
            "campaignId": None,
            "commitment": draw.commitment.hex(),
        }

    def test_sets_perks_and_assets_aside(self, session: Session) -> None:
        perk, asset = make_perk(session, total_quantity=10), make_asset(session, max_supply=5)
        lines = [Choice(perk_id=perk.id, quantity=10), Choice(asset.id, quantity=5)]
        make_draw(session, lines=lines, boxes=15)
        assert session.get_one(Perk, perk.id).granted_count == 10
        assert session.get_one(DigitalAsset, asset.id).minted_count == 5

    @pytest.mark.parametrize("kind", ["perk", "asset"])
    def test_promises_no_more_than_there_is(self, session: Session, kind: str) -> None:
        other = make_perk(session, "Other")
        if kind == "perk":
            perk = make_perk(session, total_quantity=10, granted_count=3)
            choice = Choice(perk_id=perk.id, quantity=8)
        else:
            asset = make_asset(session, max_supply=10, minted_count=3)
            choice = Choice(asset.id, quantity=8)
        lines = [Choice(perk_id=other.id, quantity=1), choice]
        with pytest.raises(QuantityExceedsStockError) as caught:
            make_draw(session, lines=lines, boxes=20)
        assert (caught.value.status, caught.value.wanted, caught.value.left) == (409, 8, 7)
        assert caught.value.code == "quantity_exceeds_stock"
        assert session.scalar(select(func.count()).select_from(Draw)) == 0
        assert session.get_one(Perk, other.id, populate_existing=True).granted_count == 0

    def test_only_of_what_is_live(self, session: Session) -> None:
        perk = make_perk(session, state=PerkState.DRAFT)
        with pytest.raises(RewardNotLiveError):
            make_draw(session, lines=[Choice(perk_id=perk.id, quantity=1)])

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": " "}, "name"),
            ({"name": "x" * 121}, "name"),
            ({"name": "a\0b"}, "name"),
            ({"lines": []}, "lines"),
            ({"boxes": None}, "boxes"),
            ({"boxes": 0}, "boxes"),
            ({"boxes": 100_000_001}, "boxes"),
            ({"beacon_chain_id": CHAIN_ID}, "beacon_chain_id"),
        ],
    )
    def test_refuses_what_makes_no_sense(
        self, session: Session, changes: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(DrawInvalidError) as caught:
            make_draw(session, **changes)
        assert set(caught.value.fields) == {field}

    def test_refuses_fewer_boxes_than_prizes(self, session: Session) -> None:
        with pytest.raises(DrawInvalidError, match=r".*") as caught:
            make_draw(session, 2, 2, boxes=3)
        assert "4 prizes" in caught.value.fields["boxes"]

    def test_refuses_a_reward_twice_or_without_a_quantity(self, session: Session) -> None:
        perk = make_perk(session)
        one, none = Choice(perk_id=perk.id, quantity=1), Choice(perk_id=perk.id)
        for lines in ([one, one], [none], [Choice(perk_id=perk.id, quantity=0)]):
            with pytest.raises(DrawInvalidError) as caught:
                make_draw(session, lines=lines, boxes=9)
            assert set(caught.value.fields) == {"lines"}

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"draw_at": None}, "draw_at"),
            ({"draw_at": NOW}, "draw_at"),
            ({"max_wins_per_user": 0}, "max_wins_per_user"),
            ({"max_wins_per_user": 1001}, "max_wins_per_user"),
            ({"reserves": -1}, "reserves"),
            ({"reserves": 1001}, "reserves"),
            ({"beacon_chain_id": 999}, "beacon_chain_id"),
        ],
    )
    def test_refuses_a_raffle_that_makes_no_sense(
        self, session: Session, changes: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(DrawInvalidError) as caught:
            make_raffle(session, **changes)
        assert set(caught.value.fields) == {field}

    def test_a_chain_of_our_own_adds_no_randomness(self, session: Session) -> None:
        chain = make_chain(session)
        chain.kind = ChainKind.EMBEDDED
        with pytest.raises(DrawInvalidError):
            make_raffle(session, beacon_chain_id=chain.id)


PROMISED = {
    "params": "'\\x00'",
    "commitment": "'\\x00'",
    "sealed_salt": "'\\x00'",
    "mode": "'raffle', draw_at = now()",
    "boxes": "boxes + 1",
    "draw_at": "now()",
    "max_wins_per_user": "7",
    "reserves": "7",
    "committed_at": "now()",
}


class TestPromise:
    @pytest.mark.parametrize("role", [Role.APP, Role.ENGINE])
    @pytest.mark.parametrize("column", PROMISED)
    def test_of_a_draw_cannot_be_changed(
        self, session: Session, merchant: Merchant, column: str, role: Role
    ) -> None:
        draw = make_draw(session)
        session.flush()
        change = text(f"UPDATE draws SET {column} = {PROMISED[column]} WHERE id = :id")
        with (
            pytest.raises(IntegrityError, match=r"cannot change|check constraint"),
            unit_of_work(merchant=merchant.id, role=role) as other,
        ):
            other.execute(change, {"id": draw.id})

    def test_not_even_by_the_owner_of_the_tables(self, committed: None, owner: Engine) -> None:
        draw_id = _committed_draw()
        with owner.connect() as connection, pytest.raises(IntegrityError, match="cannot change"):
            connection.execute(
                text("UPDATE draws SET boxes = boxes + 1 WHERE id = :id"), {"id": draw_id}
            )
        with owner.connect() as connection, pytest.raises(IntegrityError, match="cannot change"):
            connection.execute(text("UPDATE draw_lines SET quantity = quantity + 1"))
        with owner.connect() as connection, pytest.raises(IntegrityError, match="never deleted"):
            connection.execute(text("DELETE FROM draws"))

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE draw_lines SET quantity = 9",
            "UPDATE draw_lines SET position = 9",
            "DELETE FROM draw_lines",
            "DELETE FROM draws",
            "UPDATE draw_openings SET line_id = NULL",
            "DELETE FROM draw_openings",
            "UPDATE draw_tickets SET seq = 9",
            "UPDATE draw_tickets SET tag = ''",
            "DELETE FROM draw_tickets",
            "UPDATE draw_boxes SET user_id = NULL",
            "DELETE FROM draw_boxes",
            "UPDATE draw_places SET number = 9",
            "UPDATE draw_replacements SET reason = ''",
            "DELETE FROM draw_seed_reads",
            "UPDATE draw_seed_reads SET actor = ''",
            "INSERT INTO draw_seed_reads (purpose) VALUES ('')",
            "UPDATE draw_seeds SET sealed = ''",
            "DELETE FROM draw_seeds",
        ],
    )
    @pytest.mark.parametrize("role", [Role.APP, Role.ENGINE])
    def test_rows_are_only_ever_added(self, merchant: Merchant, statement: str, role: Role) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            unit_of_work(merchant=merchant.id, role=role) as other,
        ):
            other.execute(text(statement))

    def test_a_line_slipped_in_changes_nothing(self, session: Session) -> None:
        draw, other = make_draw(session, 1), make_draw(session, 1)
        slipped = service.reward_lines.make_line(
            session, Choice(perk_id=perk_of(session, other).id, quantity=1)
        )
        session.add(DrawLine(reward_line_id=slipped.id, draw_id=draw.id, position=5, quantity=1))
        session.flush()
        session.refresh(draw)
        assert [line.name for line in moving.lines_of(draw)] == [
            name for name, _ in Params.read(draw.params).lines
        ]

    @pytest.mark.parametrize("state", ["committed", "open", "closed"])
    def test_a_draw_never_goes_back(self, session: Session, state: str) -> None:
        draw = make_draw(session)
        session.execute(text("UPDATE draws SET state = 'drawn'"))
        with pytest.raises(IntegrityError, match="cannot change"), session.begin_nested():
            session.execute(text("UPDATE draws SET state = :state"), {"state": state})
        session.refresh(draw)
        assert draw.state is DrawState.DRAWN


def _committed_draw() -> DrawId:
    from tests.conftest import make_merchant

    with unit_of_work(merchant=make_merchant().id) as session:
        return make_draw(session).id


class TestSeed:
    @pytest.mark.parametrize("role", [Role.APP, Role.ENGINE, Role.SIGNER])
    def test_no_role_can_select_it(
        self, session: Session, merchant: Merchant, engine: Engine, role: Role
    ) -> None:
        make_draw(session)
        if role is Role.SIGNER:
            query = "SELECT has_table_privilege('cohort_signer', 'draw_seeds', 'SELECT')"
            assert session.scalar(text(query)) is False
            return
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            unit_of_work(merchant=merchant.id, role=role) as other,
        ):
            other.execute(text("SELECT sealed FROM draw_seeds"))

    def test_each_read_is_written_down(self, session: Session) -> None:
        draw = make_draw(session)
        seeds.read(session, draw, purpose="one")
        seeds.read(session, draw, purpose="two")
        rows = session.scalars(select(DrawSeedRead).order_by(DrawSeedRead.id)).all()
        assert [(row.purpose, row.actor, row.draw_id) for row in rows] == [
            ("one", "test", draw.id),
            ("two", "test", draw.id),
        ]
        assert [row.purpose for row in seeds.reads_of(session, draw, limit=1)] == ["two"]

    def test_another_merchant_reads_nothing(self, session: Session, merchant: Merchant) -> None:
        draw = make_draw(session)
        with unit_of_work(merchant=make_other_merchant(merchant)) as other:
            assert other.scalar(select(func.cohort_read_draw_seed(draw.id, "p", "a"))) is None
            assert other.scalar(select(func.count()).select_from(DrawSeedRead)) == 0
            with pytest.raises(seeds.SeedMissingError):
                seeds.read(other, draw, purpose="theirs")

    def test_the_function_is_nobody_elses(self, session: Session) -> None:
        function = "cohort_read_draw_seed(uuid, text, text)"
        query = text("SELECT has_function_privilege(:role, :function, 'EXECUTE')")
        for role, may in (("cohort_app", True), ("cohort_engine", True), ("cohort_signer", False)):
            assert session.scalar(query, {"role": role, "function": function}) is may

    def test_is_nowhere_in_the_rows_before_it_is_revealed(self, session: Session) -> None:
        draw = make_draw(session)
        seed = seeds.read(session, draw, purpose="test")
        row = session.execute(text("SELECT to_jsonb(d)::text FROM draws d")).scalar_one()
        events = session.execute(
            text("SELECT coalesce(string_agg(data::text, ''), '') FROM events")
        )
        for shown in (row, events.scalar_one(), repr(draw), repr(draw.lines)):
            assert seed.hex() not in shown
        assert draw.server_seed is None

    def test_cannot_be_written_before_the_state_says_so(self, session: Session) -> None:
        make_draw(session)
        with pytest.raises(IntegrityError, match="secret"), session.begin_nested():
            session.execute(update(Draw).values(server_seed=b"x"))

    def test_of_one_draw_does_not_open_for_another(self, session: Session) -> None:
        one, two = make_draw(session), make_draw(session)
        assert seeds.read(session, one, purpose="a") != seeds.read(session, two, purpose="b")


class TestHandOut:
    def test_gives_each_a_box_once_a_source(self, session: Session) -> None:
        draw = make_draw(session, boxes=10)
        users, source = make_members(session, "a@example.com", "b@example.com"), new_id()
        chosen = select(User.id).where(User.id.in_(users))
        counts = [
            service.hand_out(session, draw, chosen, source_id=source, at=NOW) for _ in range(2)
        ]
        assert counts == [2, 0]
        assert hand_out(session, draw, users[0]) == 1
        assert (draw.handed_out_count, draw.state) == (3, DrawState.OPEN)
        owners = session.scalars(select(Box.user_id).order_by(Box.user_id)).all()
        assert sorted(owners) == sorted([*users, users[0]])

    def test_tells_each(self, session: Session) -> None:
        draw = make_draw(session, boxes=10)
        [user] = make_members(session, "a@example.com")
        hand_out(session, draw, user)
        event = session.scalars(
            select(Event).where(Event.type == "cohort.mystery-box.received")
        ).one()
        box = session.scalars(select(Box)).one()
        assert event.user_id == user
        assert event.data["boxId"] == encode_id("box", box.id)

    def test_passes_over_who_takes_no_part(self, session: Session) -> None:
        draw = make_draw(session, boxes=10)
        users = make_members(session, "a@example.com", "b@example.com")
        session.execute(update(User).where(User.id == users[0]).values(state=UserState.BLOCKED))
        assert hand_out(session, draw, *users) == 1

    def test_hands_out_no_more_than_there_are(self, session: Session) -> None:
        draw = make_draw(session, boxes=2)
        users = make_members(session, "a@example.com", "b@example.com", "c@example.com")
        with pytest.raises(BoxesExhaustedError) as caught:
            hand_out(session, draw, *users)
        assert (caught.value.wanted, caught.value.left) == (3, 2)
        assert session.scalar(select(func.count()).select_from(Box)) == 0
        assert hand_out(session, draw, *users[:2]) == 2
        assert draw.ended_at == NOW
        with pytest.raises(DrawStateError):
            hand_out(session, draw, users[2])

    def test_of_a_raffle_numbers_tickets_without_gaps(self, session: Session) -> None:
        draw = make_raffle(session, boxes=4)
        users = make_members(session, "a@example.com", "b@example.com")
        hand_out(session, draw, *users)
        hand_out(session, draw, users[1])
        tickets = session.scalars(select(Ticket).order_by(Ticket.seq)).all()
        assert [it.seq for it in tickets] == [1, 2, 3]
        tags = {it.user_id: it.tag for it in tickets}
        assert len(set(tags.values())) == 2 and tickets[2].tag == tags[users[1]]
        with pytest.raises(BoxesExhaustedError):
            hand_out(session, draw, *users)

    def test_tags_of_two_draws_have_nothing_in_common(self, session: Session) -> None:
        [user] = make_members(session, "a@example.com")
        for draw in (make_raffle(session), make_raffle(session)):
            hand_out(session, draw, user)
        assert len(set(session.scalars(select(Ticket.tag)))) == 2

    def test_not_after_the_date(self, session: Session) -> None:
        draw = make_raffle(session)
        make_members(session, "a@example.com")
        with pytest.raises(DrawStateError):
            service.hand_out(session, draw, select(User.id), source_id=new_id(), at=DRAW_AT)


class TestEnd:
    def test_without_anybody_is_void_and_everything_goes_back(self, session: Session) -> None:
        draw = make_draw(session, 2, boxes=5)
        assert perk_of(session, draw).granted_count == 2
        service.end(session, draw, at=NOW)
        assert draw.state is DrawState.VOID
        assert perk_of(session, draw).granted_count == 0
        with pytest.raises(DrawStateError):
            service.end(session, draw, at=NOW)

    def test_of_a_draw_with_boxes_waits_for_them(self, session: Session) -> None:
        draw = make_draw(session, 2, boxes=5)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        service.end(session, draw, at=NOW + timedelta(days=1))
        assert (draw.state, draw.ended_at) == (DrawState.OPEN, NOW + timedelta(days=1))
        assert perk_of(session, draw).granted_count == 2


class TestGet:
    def test_finds_it(self, session: Session) -> None:
        draw = make_draw(session)
        assert service.get(session, draw.id) is draw

    def test_not_of_another_merchant(self, session: Session, merchant: Merchant) -> None:
        draw = make_draw(session)
        with (
            pytest.raises(DrawNotFoundError),
            unit_of_work(merchant=make_other_merchant(merchant)) as other,
        ):
            service.get(other, draw.id)


def test_drafts_count_what_they_promise() -> None:
    draft = DrawDraft("n", Mode.INSTANT, [Choice(quantity=2), Choice(quantity=3)])
    assert draft.promised == 5
