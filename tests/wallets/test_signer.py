"""The signer's process: what it answers, what it refuses, and what others may not read."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.exc import InvalidRequestError, ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.postgres import EmbeddedPostgres
from core.db import Role, unit_of_work
from core.ids import new_id
from core.types import MerchantId
from tests.conftest import NOW, wait_until
from tests.factories.wallets import make_payload, make_wallet
from wallets import approvals, signer, wire
from wallets.approvals import Call
from wallets.client import RemoteSigner, use_signer
from wallets.errors import (
    CiphertextError,
    KekUnavailableError,
    SignerProtocolError,
    SignerUnavailableError,
    SigningRefusedError,
    WalletNotFoundError,
)
from wallets.inspection import check_wallets
from wallets.models import DataKey, Wallet, WalletKind
from wallets.service import create_wallets, sign_transactions

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(url: str, path: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A signer that listens."""
    settings = {"COHORT_DATABASE_URL": url, "WALLETS_SIGNER_SOCKET": str(path), **variables}
    with subprocess.Popen(
        [sys.executable, "-m", "wallets.signer"], cwd=ROOT, env={**os.environ, **settings}
    ) as child:
        try:
            wait_until(lambda: _listens(path))
            yield child
        finally:
            child.kill()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="module")
def path(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a signer listens."""
    path = tmp_path_factory.mktemp("signer") / "s.sock"
    with process(postgres.signer_url, path):
        yield path


@pytest.fixture
def remote(path: Path) -> Iterator[None]:
    """The test's signer is the process."""
    with use_signer(RemoteSigner(path)):
        yield


@pytest.fixture
def relayer(remote: None, merchant_id: MerchantId) -> str:
    """An address whose call of `make_payload` is approved."""
    with unit_of_work(merchant=merchant_id) as session:
        approve(session)
        return make_wallet(session).address


def approve(session: Session, *data: bytes) -> None:
    payload = make_payload()
    calls = [Call(payload.chain_id, payload.to, it) for it in data or (payload.data,)]
    approvals.approve(session, calls, at=NOW)


class TestSigner:
    def test_signs_what_is_approved(self, relayer: str, merchant_id: MerchantId) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            first, second = sign_transactions(
                session, relayer, [make_payload(), make_payload(nonce=8)]
            )
        assert Account.recover_transaction(first.raw) == relayer
        assert first != second

    def test_an_approval_that_is_not_committed_is_none(
        self, relayer: str, merchant_id: MerchantId
    ) -> None:
        with (
            pytest.raises(SigningRefusedError, match="nobody approved"),
            unit_of_work(merchant=merchant_id) as session,
        ):
            approve(session, b"new")
            sign_transactions(session, relayer, [make_payload(data=b"new")])

    def test_two_open_transactions_cannot_have_two_calls_for_a_nonce(
        self, relayer: str, merchant_id: MerchantId
    ) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            approve(session, b"one", b"two")
        with unit_of_work(merchant=merchant_id) as first:
            sign_transactions(first, relayer, [make_payload(data=b"one")])
            with (
                pytest.raises(SigningRefusedError, match="belongs to another call"),
                unit_of_work(merchant=merchant_id) as second,
            ):
                sign_transactions(second, relayer, [make_payload(data=b"two")])
            first.rollback()
        with unit_of_work(merchant=merchant_id) as second:
            sign_transactions(second, relayer, [make_payload(data=b"two")])
        with (
            pytest.raises(SigningRefusedError, match="belongs to another call"),
            unit_of_work(merchant=merchant_id) as third,
        ):
            sign_transactions(third, relayer, [make_payload(data=b"one")])

    def test_one_refusal_refuses_all(self, relayer: str, merchant_id: MerchantId) -> None:
        with (
            pytest.raises(SigningRefusedError, match="carries value"),
            unit_of_work(merchant=merchant_id) as session,
        ):
            sign_transactions(session, relayer, [make_payload(), make_payload(nonce=8, value=1)])
        with unit_of_work(merchant=merchant_id, role=Role.SIGNER) as session:
            assert session.scalar(text("SELECT count(*) FROM signatures")) == 0

    def test_another_merchants_wallet_is_nobodys(self, relayer: str, committed: None) -> None:
        with (
            pytest.raises(WalletNotFoundError),
            unit_of_work(merchant=MerchantId(new_id())) as session,
        ):
            sign_transactions(session, relayer, [make_payload()])

    def test_a_changed_row_is_refused(self, relayer: str, merchant_id: MerchantId) -> None:
        with unit_of_work(merchant=merchant_id, role=Role.SIGNER) as session:
            session.execute(update(Wallet).values(salt=bytes(16)))
        with (
            pytest.raises(CiphertextError),
            unit_of_work(merchant=merchant_id) as session,
        ):
            sign_transactions(session, relayer, [make_payload()])

    def test_makes_wallets_whose_keys_open(self, remote: None, merchant_id: MerchantId) -> None:
        owners = [new_id() for _ in range(2_500)]
        with unit_of_work(merchant=merchant_id) as session:
            made = create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)
            rows = session.execute(select(Wallet.owner_id, Wallet.address)).all()
        assert dict(rows) == dict(zip(owners, made, strict=True))
        assert check_wallets(share_percent=10).is_sound

    def test_many_ask_at_once(self, relayer: str, merchant_id: MerchantId) -> None:
        def work(nonce: int) -> bytes:
            with unit_of_work(merchant=merchant_id) as session:
                return sign_transactions(session, relayer, [make_payload(nonce=nonce)])[0].tx_hash

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(work, range(60)))) == 60


class TestFailures:
    def test_nobody_listens(
        self, merchant_id: MerchantId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("wallets.client._PATIENCE_SECONDS", 0)
        with (
            use_signer(RemoteSigner(tmp_path / "nobody")),
            pytest.raises(SignerUnavailableError, match=r"FileNotFoundError.*Nothing is lost"),
            unit_of_work(merchant=merchant_id) as session,
        ):
            make_wallet(session)

    def test_one_that_is_killed_and_started_again_is_found(
        self, merchant_id: MerchantId, postgres: EmbeddedPostgres, tmp_path: Path
    ) -> None:
        path = tmp_path / "s.sock"
        with use_signer(RemoteSigner(path)):
            for _ in range(2):
                with process(postgres.signer_url, path) as child:
                    with unit_of_work(merchant=merchant_id) as session:
                        make_wallet(session)
                    child.kill()
        assert check_wallets(share_percent=100).sound == 2

    def test_one_that_ends_before_it_answers_is_asked_once_more(
        self, merchant_id: MerchantId, tmp_path: Path
    ) -> None:
        heard = []

        def hang_up() -> None:
            for _ in range(2):
                caller = listener.accept()[0]
                heard.append(wire.receive(caller))
                caller.close()

        with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            pool.submit(hang_up)
            with (
                use_signer(RemoteSigner(tmp_path / "s")),
                pytest.raises(SignerUnavailableError, match="ended before it answered"),
                unit_of_work(merchant=merchant_id) as session,
            ):
                make_wallet(session)
        assert len(heard) == 2 and heard[0] == heard[1]

    def test_who_comes_after_somebody_who_waited_in_vain_does_not_wait(
        self, merchant_id: MerchantId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each of them holds locks that the next one waits for."""
        moments = count(0.0, 1.0)
        naps: list[float] = []
        monkeypatch.setattr("wallets.client.time.monotonic", lambda: next(moments))
        monkeypatch.setattr("wallets.client.time.sleep", naps.append)
        with use_signer(RemoteSigner(tmp_path / "nobody")):
            for _ in range(2):
                with (
                    pytest.raises(SignerUnavailableError),
                    unit_of_work(merchant=merchant_id) as session,
                ):
                    make_wallet(session)
                assert len(naps) == 5

    def test_a_key_of_keys_that_is_down_is_told(
        self, merchant_id: MerchantId, postgres: EmbeddedPostgres, tmp_path: Path
    ) -> None:
        kek = {
            "WALLETS_KEK": "vault:transit/cohort",
            "WALLETS_VAULT_URL": "http://127.0.0.1:1",
            "WALLETS_VAULT_TOKEN": "token-canary",
        }
        path = tmp_path / "s.sock"
        with (
            process(postgres.signer_url, path, **kek),
            use_signer(RemoteSigner(path)),
            pytest.raises(KekUnavailableError, match=r"\(vault\) cannot be used now"),
            unit_of_work(merchant=merchant_id) as session,
        ):
            make_wallet(session)

    def test_a_role_that_may_not_is_told(
        self, merchant_id: MerchantId, postgres: EmbeddedPostgres, tmp_path: Path
    ) -> None:
        path = tmp_path / "s.sock"
        with (
            process(postgres.login_url, path),
            use_signer(RemoteSigner(path)),
            pytest.raises(SignerProtocolError, match="ProgrammingError"),
            unit_of_work(merchant=merchant_id) as session,
        ):
            make_wallet(session)

    def test_a_database_that_is_gone_is_told(self, merchant_id: MerchantId, tmp_path: Path) -> None:
        path = tmp_path / "s.sock"
        nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
        with (
            process(nowhere, path),
            use_signer(RemoteSigner(path)),
            pytest.raises(SignerUnavailableError, match="its database does not answer"),
            unit_of_work(merchant=merchant_id) as session,
        ):
            make_wallet(session)

    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"operation": "export", "arguments": {}},
            {"operation": "sign", "arguments": {}},
            {"operation": "sign", "arguments": {"address": 7, "payloads": [{}]}},
            {"operation": "make_wallets", "arguments": {"kind": "king"}},
            {"operation": "generate_data_key", "arguments": {"secret": "canary"}},
        ],
    )
    def test_nonsense_is_refused_and_the_next_question_answered(
        self, path: Path, merchant_id: MerchantId, request_: dict[str, Any]
    ) -> None:
        frame = {"merchant": merchant_id.hex, "caller": 1, **request_} if request_ else {}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            for _ in range(2):
                wire.send(connection, frame)
                answer = wire.receive(connection)
                assert answer is not None
                assert answer["error"][0] == "SignerProtocolError"
                assert "canary" not in str(answer)

    @pytest.mark.parametrize(
        "frame", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{]", b"\0\0", b"GET / HTTP/1.1\r\n"]
    )
    def test_what_is_no_frame_ends_the_conversation_alone(
        self, path: Path, relayer: str, merchant_id: MerchantId, frame: bytes
    ) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(frame)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # it left some of it unread
                assert connection.recv(1) == b""
        with unit_of_work(merchant=merchant_id) as session:
            assert sign_transactions(session, relayer, [make_payload()])

    def test_after_its_share_a_fresh_one_takes_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(signer, "REQUESTS", 2)
        with signer.Signer(tmp_path / "s") as server, ThreadPoolExecutor(1) as pool:
            serving = pool.submit(server.serve_forever, 0.01)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(tmp_path / "s"))
                for _ in range(2):
                    wire.send(connection, {})
                    assert "error" in (wire.receive(connection) or {})
            serving.result(30)
            server.finish()  # nobody is left to wait for


class TestRights:
    """What is not the signer cannot read a sealed key, whatever it asks the database."""

    @pytest.mark.parametrize("role", [Role.APP, Role.ENGINE])
    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT ciphertext FROM wallets",
            "SELECT salt FROM wallets",
            "SELECT * FROM wallets",
            "SELECT wrapped FROM data_keys",
            "UPDATE wallets SET ciphertext = ''",
            "UPDATE wallets SET owner_id = NULL",
            "DELETE FROM wallets",
            "UPDATE data_keys SET wrapped = ''",
            "DELETE FROM data_keys",
            "SELECT * FROM signatures",
            "DELETE FROM signatures",
            "UPDATE approvals SET digest = ''",
            "DELETE FROM approvals",
            "COPY wallets TO STDOUT",
            "CREATE VIEW seen AS SELECT ciphertext FROM wallets",
        ],
    )
    def test_others_may_not(self, merchant: Any, role: Role, statement: str) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            unit_of_work(merchant=merchant.id, role=role) as session,
        ):
            session.execute(text(statement))

    def test_the_login_of_the_others_cannot_become_the_signer(
        self, postgres: EmbeddedPostgres
    ) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission denied to set role"),
            create_engine(postgres.login_url, poolclass=NullPool).connect() as connection,
        ):
            connection.execute(text("SET ROLE cohort_signer"))

    @pytest.mark.parametrize("table", ["users", "grants", "transactions", "merchants", "events"])
    def test_the_signer_reads_nothing_else(self, merchant: Any, table: str) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            unit_of_work(merchant=merchant.id, role=Role.SIGNER) as session,
        ):
            session.execute(text(f"SELECT * FROM {table}"))

    def test_a_merchant_that_is_named_is_the_only_one(self, session: Session) -> None:
        make_wallet(session)
        with unit_of_work(merchant=MerchantId(new_id()), role=Role.SIGNER) as other:
            assert other.scalars(select(Wallet.address)).all() == []
        with unit_of_work(role=Role.SIGNER) as sweep:
            assert len(sweep.scalars(select(Wallet.address)).all()) == 1

    def test_a_query_that_forgets_this_fails_here_and_not_in_the_database(
        self, session: Session
    ) -> None:
        wallet = make_wallet(session)
        for row, name in ((wallet, "ciphertext"), (wallet, "salt")):
            with pytest.raises(InvalidRequestError, match="raiseload"):
                getattr(row, name)
        with pytest.raises(InvalidRequestError, match="raiseload"):
            _ = session.get_one(DataKey, wallet.data_key_id).wrapped
