"""Drops: one token a grant, every token bound to its bit and its batch, batches cut to fit."""

from uuid import UUID

import pytest
from sqlalchemy import Text, cast, column, func, literal, null, select, values
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.rewards.models import Grant, GrantSource, RewardLine
from app.rewards.service import Recipients, Source, grant_many
from chain.bindings import digital_asset as binding
from core.ids import new_id
from core.types import UserId
from minting import airdrops, passes
from minting.airdrops import Queue
from minting.errors import SupplyExhaustedError
from minting.models import DigitalAsset, Drop, MembershipPass, Plan, Token, TokenState
from minting.passes import MAX_BATCH
from tests.conftest import NOW
from tests.factories.chain import make_chain
from tests.factories.minting import (
    activate_passes,
    finish,
    grant,
    make_asset,
    make_line,
    make_members,
    make_pass_contract,
    plan_drop,
    rounds,
    wanted,
)

SOURCE = Source(GrantSource.AIRDROP, UUID(int=1))


def plan(session: Session, asset: DigitalAsset) -> Plan:
    """The drop of the asset's first line that has no round yet."""
    free = select(Drop.reward_line_id).where(Drop.asset_id == asset.id, Drop.round.is_(None))
    lines = select(RewardLine).where(RewardLine.id.in_(free)).order_by(RewardLine.id)
    line = session.scalars(lines).first()
    assert line is not None
    return plan_drop(session, line)


@pytest.fixture
def members(session: Session) -> list[UserId]:
    """Members with active passes in three batches of 4, 3 and 2."""
    make_chain(session)
    make_pass_contract(session)
    found = []
    for count in (4, 3, 2):
        found += make_members(session, count)
        activate_passes(session)
    return found


def whole(*sizes: int) -> list[binding.Bits]:
    return [binding.bitmap(range(size)) for size in sizes]


class TestRequestTokens:
    def test_every_grant_has_one_queued_token(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        assert grant(session, make_line(session, asset), members) == 9
        rows = session.scalars(select(Token)).all()
        assert {row.user_id for row in rows} == set(members)
        assert {(row.state, row.round, row.token_id) for row in rows} == {
            (TokenState.QUEUED, None, None)
        }
        assert asset.minted_count == 9

    def test_the_same_source_again_changes_nothing(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset, source = make_asset(session, max_supply=9), new_id()
        line = make_line(session, asset)
        assert grant(session, line, members, source_id=source) == 9
        assert grant(session, line, members, source_id=source) == 0
        assert len(session.scalars(select(Token)).all()) == asset.minted_count == 9

    def test_a_source_with_one_member_more_adds_one(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset, source = make_asset(session), new_id()
        line = make_line(session, asset)
        grant(session, line, members[:8], source_id=source)
        assert grant(session, line, members, source_id=source) == 1

    def test_a_whole_edition_can_be_taken(self, session: Session, members: list[UserId]) -> None:
        asset = make_asset(session, max_supply=9)
        assert grant(session, make_line(session, asset), members) == 9

    def test_more_than_is_left_is_refused_and_nothing_queued(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session, max_supply=8)
        line = make_line(session, asset)
        left = "has 8 tokens left but 9 are needed"
        with pytest.raises(SupplyExhaustedError, match=left), session.begin_nested():
            grant(session, line, members)
        assert session.scalars(select(Token)).all() == []
        assert asset.minted_count == 0


class TestQueue:
    def test_counts_recipients_by_whether_their_pass_is_active(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        late = make_members(session, 2)
        line = make_line(session, asset)
        grant(session, line, [*members, *late])
        assert airdrops.queue(session, line.id) == Queue(ready=9, without_pass=2)
        activate_passes(session)
        assert airdrops.queue(session, line.id) == Queue(ready=11, without_pass=0)
        plan_drop(session, line)
        assert airdrops.queue(session, line.id) == Queue(0, 0)


class TestPlanDrop:
    def test_every_token_is_bound_to_its_members_bit_and_batch(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        grant(session, make_line(session, asset), members)
        frozen = plan(session, asset)
        session.expire_all()
        rows = session.execute(
            select(Token, MembershipPass).join(
                MembershipPass, MembershipPass.user_id == Token.user_id
            )
        ).all()
        assert len(rows) == 9
        for token, membership in rows:
            assert token.pass_number == membership.token_id
            assert token.state is TokenState.MINTING
            assert token.batch_id == frozen.batches[0].id
            assert token.token_id == binding.token_id(0, membership.token_id or 0)

    def test_the_bytes_name_exactly_the_recipients(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        chosen = [members[0], members[5], members[8]]
        grant(session, make_line(session, asset), chosen)
        [batch] = plan(session, asset).batches
        places = session.execute(
            select(MembershipPass.batch_number, MembershipPass.index)
            .where(MembershipPass.user_id.in_(chosen))
            .order_by(MembershipPass.batch_number)
        ).all()
        parts = [(number or 0, [index or 0]) for number, index in places]
        expected = binding.encode_drop_lists(round=0, places=parts, nonce=1)
        assert batch.calldata == expected
        assert batch.chain_key.startswith(f"drop:{asset.id}:0:")
        assert batch.data_nonce == 1
        assert batch.recipient_count == 3
        assert asset.next_data_nonce == 2

    def test_one_recipient_needs_no_data_contract(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        grant(session, make_line(session, asset), members[:1])
        plan(session, asset)
        assert asset.next_data_nonce == 1

    def test_a_drop_to_whole_batches_takes_none(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        grant(session, make_line(session, asset), members)
        plan(session, asset)
        assert asset.next_data_nonce == 1

    def test_the_next_line_drops_into_the_next_round(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        for number in (0, 1):
            grant(session, make_line(session, asset), members)
            planned = plan(session, asset)
            assert planned.batches[0].calldata == binding.encode_drop(
                round=number, batches=[0, 1, 2], bits=whole(4, 3, 2), nonce=0
            )
            finish(session, planned)
        assert asset.next_round == 2

    def test_the_next_waits_until_the_one_before_is_over(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        first, second = make_line(session, asset), make_line(session, asset)
        grant(session, first, members)
        grant(session, second, members)
        planned = plan_drop(session, first)
        assert airdrops.plan_drop(session, wanted(second), at=NOW) is None
        assert asset.next_round == 1
        finish(session, planned)
        assert plan_drop(session, second).batches
        assert (rounds(session, first), rounds(session, second)) == ([0], [1])

    def test_another_lines_tokens_are_left_alone(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        first, second = make_line(session, asset), make_line(session, asset)
        grant(session, first, members[:2])
        grant(session, second, members[:3])
        plan_drop(session, second)
        of_line = select(Drop.reward_line_id, Token.state).join(Drop, Drop.id == Token.drop_id)
        states = session.execute(of_line).all()
        assert [state for line, state in states if line == first.id] == [TokenState.QUEUED] * 2
        assert [state for line, state in states if line == second.id] == [TokenState.MINTING] * 3

    def test_whoever_joins_late_is_planned_into_the_same_round(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset, source = make_asset(session), new_id()
        line = make_line(session, asset)
        grant(session, line, members[:2], source_id=source)
        finish(session, plan_drop(session, line))
        grant(session, line, members, source_id=source)
        late = plan_drop(session, line)
        assert (rounds(session, line), asset.next_round) == ([0], 1)
        assert sum(batch.recipient_count for batch in late.batches) == 7
        session.expire_all()
        assert {token.round for token in session.scalars(select(Token))} == {0}

    def test_who_has_no_active_pass_waits_for_the_next_plan(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset, late = make_asset(session), make_members(session, 2)
        line = make_line(session, asset)
        grant(session, line, [*members, *late])
        passes.freeze_queue(session, at=NOW)  # numbered, and not on the chain yet
        [batch] = plan_drop(session, line).batches
        assert batch.recipient_count == 9
        assert airdrops.queue(session, line.id) == Queue(ready=0, without_pass=2)


class TestSeveralOfEach:
    def test_the_second_of_each_is_a_round_of_its_own_in_the_same_plan(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        line = make_line(session, asset)
        assert grant(session, line, members, quantity=3) == 27
        batches = plan_drop(session, line).batches
        assert rounds(session, line) == [0, 1, 2]
        assert [batch.recipient_count for batch in batches] == [9, 9, 9]
        session.expire_all()
        tokens = session.scalars(select(Token)).all()
        assert {token.state for token in tokens} == {TokenState.MINTING}
        assert len({token.token_id for token in tokens}) == 27
        assert {(token.user_id, token.round) for token in tokens} == {
            (user, number) for user in members for number in range(3)
        }

    def test_who_receives_fewer_is_left_out_of_the_later_rounds(
        self, session: Session, members: list[UserId]
    ) -> None:
        line, source = make_line(session, make_asset(session)), new_id()
        grant(session, line, members[:4], quantity=2, source_id=source)
        grant(session, line, members[4:], source_id=source)
        assert [it.recipient_count for it in plan_drop(session, line).batches] == [9, 4]

    def test_who_has_some_already_gets_no_more_of_a_larger_quantity(
        self,
        session: Session,
        members: list[UserId],
    ) -> None:
        line, source = make_line(session, make_asset(session)), new_id()
        grant(session, line, members[:2], source_id=source)
        assert grant(session, line, members[:3], quantity=2, source_id=source) == 2
        counts = select(Grant.user_id, func.count()).group_by(Grant.user_id)
        assert dict(session.execute(counts).all()) == {members[0]: 1, members[1]: 1, members[2]: 2}

    def test_late_joiners_come_into_the_rounds_there_are(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset, source = make_asset(session), new_id()
        line = make_line(session, asset)
        grant(session, line, members[:2], quantity=2, source_id=source)
        finish(session, plan_drop(session, line))
        grant(session, line, members, quantity=2, source_id=source)
        assert sum(batch.recipient_count for batch in plan_drop(session, line).batches) == 14
        assert (rounds(session, line), asset.next_round) == ([0, 1], 2)

    def test_an_edition_too_small_for_all_of_them_gives_none(
        self, session: Session, members: list[UserId]
    ) -> None:
        line = make_line(session, make_asset(session, max_supply=17))
        with pytest.raises(SupplyExhaustedError), session.begin_nested():
            grant(session, line, members, quantity=2)
        assert session.scalars(select(Token)).all() == []


class TestOutsideTheBatches:
    @pytest.fixture
    def alone(self, session: Session, members: list[UserId]) -> list[UserId]:
        """Two members whose passes were issued alone."""
        found = []
        for _ in range(2):
            found += make_members(session, 1)
            activate_passes(session)
        return found

    def test_a_pass_issued_alone_is_minted_to_by_its_address(
        self, session: Session, members: list[UserId], alone: list[UserId]
    ) -> None:
        asset = make_asset(session)
        grant(session, make_line(session, asset), [*members, *alone])
        drop, mint = plan(session, asset).batches
        session.expire_all()
        rows = session.execute(
            select(Token, MembershipPass.address)
            .join(MembershipPass, MembershipPass.user_id == Token.user_id)
            .where(Token.mint_nonce.is_not(None))
            .order_by(Token.mint_index)
        ).all()
        assert [token.user_id for token, _ in rows] and {t.user_id for t, _ in rows} == set(alone)
        packed = b"".join(bytes.fromhex(address[2:]) for _, address in rows)
        assert mint.calldata == binding.encode_mint(1, packed)
        assert (drop.recipient_count, mint.recipient_count) == (9, 2)
        assert [token.token_id for token, _ in rows] == [
            binding.outside_token_id(1, index) for index in (0, 1)
        ]
        assert {token.batch_id for token, _ in rows} == {mint.id}
        assert asset.next_data_nonce == 2

    def test_numbers_follow_those_of_the_drop(
        self, session: Session, members: list[UserId], alone: list[UserId]
    ) -> None:
        asset = make_asset(session)
        grant(session, make_line(session, asset), [*members[:1], *members[4:6], *alone])
        lists, mint = plan(session, asset).batches
        assert (lists.data_nonce, mint.data_nonce) == (1, 2)
        assert mint.chain_key == f"mint:{asset.id}:2"
        assert asset.next_data_nonce == 3


class TestAddresses:
    """Recipients who are no members of the brand."""

    FIRST, SECOND = "0x000000000000000000000000000000000000dEaD", "0x" + "22" * 20

    def give(self, session: Session, asset: DigitalAsset, *addresses: str) -> int:
        found = values(column("address", Token.address.type), name="found")
        rows = found.data([(address,) for address in addresses])
        nobody = cast(null(), Token.user_id.type)
        chosen = select(cast(rows.c.address, Text), nobody, rows.c.address, literal(1))
        line = session.scalars(select(RewardLine)).one_or_none() or make_line(session, asset)
        return grant_many(session, line, Recipients(chosen), source=SOURCE, at=NOW)

    def test_are_minted_to_beside_the_members(
        self, session: Session, members: list[UserId]
    ) -> None:
        [alone] = make_members(session, 1)
        activate_passes(session)
        asset = make_asset(session)
        line = make_line(session, asset)
        grant(session, line, [*members, alone])
        assert self.give(session, asset, self.SECOND, self.FIRST) == 2
        assert airdrops.queue(session, line.id) == Queue(ready=12, without_pass=0)

        batches = plan(session, asset).batches
        mint = batches[-1]
        assert [batch.recipient_count for batch in batches][-1] == 3
        assert sum(batch.recipient_count for batch in batches) == 12
        own = session.scalars(
            select(MembershipPass.address).where(MembershipPass.user_id == alone)
        ).one()
        ordered = sorted(bytes.fromhex(it[2:]) for it in (self.FIRST, self.SECOND, own))
        nonce = asset.next_data_nonce - 1
        assert mint.calldata == binding.encode_mint(nonce, b"".join(ordered))
        for token in session.scalars(select(Token).where(Token.batch_id == mint.id)):
            address = token.address or own
            assert token.state is TokenState.MINTING
            assert ordered[token.mint_index or 0] == bytes.fromhex(address[2:])
            assert token.token_id == binding.outside_token_id(nonce, token.mint_index or 0)
            assert (token.pass_number is None) == (token.user_id is None)

    def test_are_cut_into_calls_of_a_full_batch(self, session: Session) -> None:
        make_chain(session)
        asset = make_asset(session)
        addresses = [f"0x{number:040x}" for number in range(1, MAX_BATCH + 3)]
        assert self.give(session, asset, *addresses) == len(addresses)
        first, second = plan(session, asset).batches
        assert (first.recipient_count, second.recipient_count) == (MAX_BATCH, 2)
        assert asset.next_data_nonce == 3
        places = session.execute(
            select(Token.address, Token.batch_id, Token.mint_nonce, Token.mint_index).order_by(
                Token.address
            )
        ).all()
        assert places[0][1:] == (first.id, 1, 0)
        assert places[MAX_BATCH - 1][1:] == (first.id, 1, MAX_BATCH - 1)
        assert places[MAX_BATCH][1:] == (second.id, 2, 0)

    def test_alone_they_take_no_round_because_the_contract_counts_none(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        self.give(session, asset, self.FIRST)
        line = session.scalars(select(RewardLine)).one()
        finish(session, plan_drop(session, line))
        assert (rounds(session, line), asset.next_round) == ([None], 0)
        other = make_line(session, asset)
        grant(session, other, members)
        plan_drop(session, other)
        assert rounds(session, other) == [0]

    def test_have_it_once_whatever_key_names_them(self, session: Session) -> None:
        make_chain(session)
        asset = make_asset(session)
        assert self.give(session, asset, self.FIRST) == 1
        assert self.give(session, asset, self.FIRST, self.SECOND) == 1
        line = session.scalars(select(RewardLine)).one()
        other = select(
            literal("another key"), cast(null(), Token.user_id.type), Grant.address, literal(1)
        ).where(Grant.reward_line_id == line.id)
        again = grant_many(session, line, Recipients(other), source=SOURCE, at=NOW)
        assert again == 0

    @pytest.mark.parametrize("is_both", [True, False])
    def test_a_grant_names_a_member_or_an_address(
        self, session: Session, members: list[UserId], is_both: bool
    ) -> None:
        line = make_line(session, make_asset(session))
        user = members[0] if is_both else None
        address = self.FIRST if is_both else None
        chosen = select(
            literal("key"),
            cast(user, Token.user_id.type).label("member"),
            cast(address, Token.address.type).label("address"),
            literal(1).label("quantity"),
        )
        with pytest.raises(IntegrityError, match="ck_grants_recipient"), session.begin_nested():
            grant_many(session, line, Recipients(chosen), source=SOURCE, at=NOW)
