"""The node must be the one the data belongs to, and the line says what is final on it."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from chain import networks
from chain.client import ChainClient
from chain.errors import (
    ChainForgottenError,
    ChainMismatchError,
    ChainUnavailableError,
    UnknownChainError,
)
from chain.models import ChainKind, NonceLane
from chain.networks import (
    advance_finality,
    check_identity,
    client_for,
    ensure_chain,
    ensure_lane,
    finality_line,
    find_contract,
    get_chain,
    register_contract,
    urls_of,
)
from chain.settings import chain_settings
from tests.chain.fakes import FakeChain
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, make_chain
from tests.factories.wallets import CONTRACT
from wallets.models import Wallet, WalletKind


@pytest.fixture
def other_settings() -> Iterator[dict[str, str]]:
    """Environment variables for the chain settings, put back afterwards."""
    before = dict(os.environ)
    yield os.environ
    os.environ.clear()
    os.environ.update(before)
    chain_settings.cache_clear()


class OtherChain(FakeChain):
    """A node of another network."""

    def chain_id(self) -> int:
        return 1


class TestGetChain:
    def test_the_row_is_found(self, session: Session) -> None:
        assert get_chain(session, make_chain(session).id).name == "Test chain"

    def test_an_unknown_chain_is_refused(self, session: Session) -> None:
        with pytest.raises(UnknownChainError, match="does not use chain 5"):
            get_chain(session, 5)


class TestUrls:
    def test_an_external_chain_has_its_own(self, session: Session) -> None:
        chain = make_chain(session, rpc_urls=["http://127.0.0.1:9", "http://127.0.0.1:8"])
        assert urls_of(chain) == ["http://127.0.0.1:9", "http://127.0.0.1:8"]

    def test_the_embedded_one_is_where_this_process_was_told(self, session: Session) -> None:
        chain = make_chain(session, kind=ChainKind.EMBEDDED, rpc_urls=[])
        assert urls_of(chain) == [chain_settings().local_url]

    def test_the_client_is_shared(self, session: Session) -> None:
        chain = make_chain(session)
        assert client_for(chain) is client_for(chain)


class TestSettings:
    def test_urls_are_split_at_commas(self, other_settings: dict[str, str]) -> None:
        other_settings["CHAIN_RPC_URLS"] = "http://a, http://b,"
        chain_settings.cache_clear()
        assert chain_settings().rpc_urls == ["http://a", "http://b"]
        assert not chain_settings().is_embedded

    def test_without_urls_the_chain_is_embedded(self) -> None:
        assert chain_settings().is_embedded


class TestEnsureChain:
    def test_the_first_row_is_seeded_from_the_settings(self, session: Session) -> None:
        chain = ensure_chain(session, kind=ChainKind.EMBEDDED, client=FakeChain())
        assert (chain.id, chain.name, chain.final_number) == (CHAIN_ID, "Local chain", 0)

    def test_repeating_it_changes_nothing(self, session: Session) -> None:
        make_chain(session, name="Renamed")
        chain = ensure_chain(session, kind=ChainKind.EMBEDDED, client=FakeChain())
        assert (chain.name, chain.kind) == ("Renamed", ChainKind.EXTERNAL)

    def test_a_node_of_another_chain_is_refused(self, session: Session) -> None:
        with pytest.raises(ChainMismatchError, match=r"serves chain 1, but.*chain 31337"):
            ensure_chain(session, kind=ChainKind.EXTERNAL, client=OtherChain())

    def test_a_silent_node_is_refused(self, session: Session) -> None:
        fake = FakeChain()
        fake.is_down = True
        with pytest.raises(ChainUnavailableError):
            ensure_chain(session, kind=ChainKind.EXTERNAL, client=fake)

    def test_a_node_with_another_history_is_refused(self, session: Session) -> None:
        make_chain(session, final_number=0, final_hash=b"\x01" * 32)
        with pytest.raises(ChainForgottenError):
            ensure_chain(session, kind=ChainKind.EXTERNAL, client=FakeChain())


class TestCheckIdentity:
    def test_before_anything_was_final_every_history_is_right(self, session: Session) -> None:
        check_identity(make_chain(session), FakeChain())

    def test_a_node_that_has_the_final_block_is_right(self, session: Session) -> None:
        fake = FakeChain()
        fake.mine(blocks=3)
        chain = make_chain(session, final_number=2, final_hash=fake.blocks[2].hash)
        check_identity(chain, fake)

    def test_another_block_at_that_height_is_refused(self, session: Session) -> None:
        fake = FakeChain()
        fake.mine(blocks=3)
        chain = make_chain(session, final_number=2, final_hash=fake.blocks[2].hash)
        fake.reorganise(2)
        with pytest.raises(ChainForgottenError, match="its block 2 is another one"):
            check_identity(chain, fake)

    def test_a_head_below_it_is_refused(self, session: Session) -> None:
        chain = make_chain(session, final_number=2, final_hash=b"\x01" * 32)
        with pytest.raises(ChainForgottenError, match="its block 2 is not there"):
            check_identity(chain, FakeChain())


class TestAdvanceFinality:
    def test_the_newest_final_block_is_kept(self, session: Session) -> None:
        chain = make_chain(session)
        advance_finality(session, chain.id, number=7, block_hash=b"\x07" * 32)
        assert (chain.final_number, chain.final_hash) == (7, b"\x07" * 32)

    def test_an_older_one_changes_nothing(self, session: Session) -> None:
        chain = make_chain(session, final_number=9, final_hash=b"\x09" * 32)
        advance_finality(session, chain.id, number=7, block_hash=b"\x07" * 32)
        assert (chain.final_number, chain.final_hash) == (9, b"\x09" * 32)

    def test_block_zero_can_be_the_first(self, session: Session) -> None:
        chain = make_chain(session)
        advance_finality(session, chain.id, number=0, block_hash=b"\x05" * 32)
        assert chain.final_hash == b"\x05" * 32


class TestFinalityLine:
    def test_without_a_depth_the_nodes_tag_decides(self, session: Session) -> None:
        fake = FakeChain()
        fake.mine(blocks=20)
        fake.final_depth = 3
        assert finality_line(make_chain(session), fake) == 17

    def test_a_depth_counts_from_the_head(self, session: Session) -> None:
        fake = FakeChain()
        fake.mine(blocks=20)
        assert finality_line(make_chain(session, confirmations=12), fake) == 8

    def test_on_a_chain_shorter_than_the_depth_block_zero_is_final(self, session: Session) -> None:
        assert finality_line(make_chain(session, confirmations=12), FakeChain()) == 0

    def test_what_is_not_durable_is_not_final(self, session: Session) -> None:
        fake = FakeChain()
        fake.mine(blocks=20)
        chain = make_chain(session)
        assert finality_line(chain, fake, durable=lambda: 5) == 5
        assert finality_line(chain, fake, durable=lambda: 19) == 18


class TestEnsureLane:
    def test_a_relayer_with_a_key_of_its_own_is_made(self, session: Session) -> None:
        lane = ensure_lane(session, make_chain(session), FakeChain(), at=NOW)
        kinds = session.scalars(select(Wallet.kind).where(Wallet.address == lane.address)).all()
        assert kinds == [WalletKind.RELAYER]
        assert (lane.next_nonce, lane.base_nonce) == (0, 0)

    def test_repeating_it_returns_the_first(self, session: Session) -> None:
        chain = make_chain(session)
        first = ensure_lane(session, chain, FakeChain(), at=NOW)
        assert ensure_lane(session, chain, FakeChain(), at=NOW) is first
        assert len(session.scalars(select(NonceLane)).all()) == 1


class TestContracts:
    def test_a_registered_contract_names_its_merchant(
        self, session: Session, merchant: Merchant
    ) -> None:
        make_chain(session)
        for _ in range(2):
            register_contract(session, CHAIN_ID, CONTRACT)
        assert find_contract(session, CHAIN_ID, CONTRACT) == merchant.id

    def test_a_strangers_contract_belongs_to_nobody(self, session: Session) -> None:
        assert find_contract(session, CHAIN_ID, CONTRACT) is None


class TestRealNode:
    def test_the_development_chain_is_accepted(self, session: Session, node: ChainClient) -> None:
        chain = ensure_chain(session, kind=ChainKind.EMBEDDED, client=node)
        number = node.head().number
        block_hash = node.block_hash(number)
        assert block_hash is not None
        networks.advance_finality(session, chain.id, number=number, block_hash=block_hash)
        check_identity(chain, node)
