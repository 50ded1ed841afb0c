"""Drops: one token a grant, every token bound to its bit and its batch, batches cut to fit."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from core.ids import new_id
from core.types import UserId
from minting import airdrops
from minting.errors import SupplyExhaustedError
from minting.models import Batch, DigitalAsset, MembershipPass, Plan, Token, TokenState
from tests.conftest import NOW
from tests.factories.chain import make_chain
from tests.factories.minting import (
    activate_passes,
    grant,
    make_asset,
    make_line,
    make_members,
    make_pass_contract,
)


def plan(session: Session, asset: DigitalAsset, *, round_number: int = 0) -> Plan:
    return airdrops.plan_drop(
        session, asset.id, round_number=round_number, subject_id=new_id(), at=NOW
    )


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


class TestOpenRound:
    def test_rounds_are_numbered_without_gaps(self, session: Session) -> None:
        make_chain(session)
        asset = make_asset(session)
        assert [airdrops.open_round(session, asset.id) for _ in range(3)] == [0, 1, 2]


class TestRequestTokens:
    def test_every_grant_has_one_queued_token(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        assert grant(session, make_line(session, asset), members) == 9
        rows = session.scalars(select(Token)).all()
        assert {row.user_id for row in rows} == set(members)
        assert {(row.state, row.round, row.token_id) for row in rows} == {
            (TokenState.QUEUED, 0, None)
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


class TestPassesMissing:
    def test_counts_recipients_without_an_active_pass(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        late = make_members(session, 2)
        grant(session, make_line(session, asset), [*members, *late])
        assert airdrops.passes_missing(session, asset.id, 0) == 2
        activate_passes(session)
        assert airdrops.passes_missing(session, asset.id, 0) == 0


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
        assert batch.chain_key == f"drop:{asset.id}:0:lists:0-2"
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
            plan(session, asset, round_number=number)
        drops = select(Batch.chain_key).where(Batch.chain_key.startswith("drop:"))
        keys = session.scalars(drops.order_by(Batch.chain_key)).all()
        assert keys == [f"drop:{asset.id}:{number}:bits:0-2" for number in (0, 1)]

    def test_another_rounds_tokens_are_left_alone(
        self, session: Session, members: list[UserId]
    ) -> None:
        asset = make_asset(session)
        grant(session, make_line(session, asset), members[:2])
        grant(session, make_line(session, asset), members[:3])
        plan(session, asset, round_number=1)
        states = session.execute(select(Token.round, Token.state).order_by(Token.round)).all()
        assert [state for number, state in states if number == 0] == [TokenState.QUEUED] * 2
        assert [state for number, state in states if number == 1] == [TokenState.MINTING] * 3


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
        assert lists.chain_key == f"drop:{asset.id}:0:lists:0-1"
        assert mint.chain_key == f"mint:{asset.id}:2"
        assert asset.next_data_nonce == 3
