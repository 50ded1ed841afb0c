"""Data keys: open ones outlive an outage for minutes, and no wrong one is ever used."""

import json
import logging
from base64 import b64encode
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.db import unit_of_work
from core.ids import new_id
from core.types import MerchantId
from tests.conftest import NOW
from tests.factories.wallets import make_payload
from tests.factories.wallets import sign as sign_one
from tests.signing import acting_as
from tests.wallets.kek_worlds import VaultWorld
from tests.wallets.loopback import Answer, Fault, Request
from wallets import data_keys
from wallets.errors import KekUnavailableError
from wallets.models import DataKey, Wallet, WalletKind
from wallets.service import WALLETS_A_DATA_KEY, create_wallets

WRONG = b"w" * 32


def make(merchant: MerchantId, count: int = 1) -> list[Any]:
    with unit_of_work(merchant=merchant) as session:
        owners = [new_id() for _ in range(count - 1)]
        create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)
        return create_wallets(session, WalletKind.RELAYER, owners=[None], at=NOW)


def sign(merchant: MerchantId, address: Any) -> bytes:
    with unit_of_work(merchant=merchant) as session:
        return sign_one(session, address, make_payload()).raw


def count_rows(merchant: MerchantId) -> tuple[int, int]:
    with unit_of_work(merchant=merchant) as session:
        keys = session.scalar(select(func.count()).select_from(DataKey)) or 0
        return keys, session.scalar(select(func.count()).select_from(Wallet)) or 0


def fill(merchant: MerchantId) -> None:
    """The next wallet needs a new data key."""
    with unit_of_work(merchant=merchant) as session:
        session.execute(update(DataKey).values(wallet_count=WALLETS_A_DATA_KEY))


def answering(vault: VaultWorld, action: str, **data: str) -> None:
    """Vault answers one kind of question with something else."""
    right = vault.vault.app

    def app(request: Request) -> Answer:
        if f"/{action}/" not in request.path:
            return right(request)
        return Answer(200, json.dumps({"data": data}).encode())

    vault.front.app = app


class TestOutage:
    def test_an_open_data_key_goes_on_signing_and_making_wallets(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        [address] = make(merchant_id)
        signed = sign(merchant_id, address)
        vault.vault.sealed = True
        assert sign(merchant_id, address) == signed
        make(merchant_id, 5)
        assert count_rows(merchant_id) == (1, 6)

    def test_a_forgotten_one_pauses_signing_until_the_key_is_back(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        [address] = make(merchant_id)
        signed = sign(merchant_id, address)
        vault.vault.sealed = True
        data_keys.forget()
        with pytest.raises(KekUnavailableError, match="Signing waits until it can"):
            sign(merchant_id, address)
        vault.vault.sealed = False
        assert sign(merchant_id, address) == signed

    @pytest.mark.parametrize("fault", [Fault.DROPPED, Answer(500, b"")], ids=["dropped", "500"])
    def test_no_wallet_is_made_under_a_key_that_nobody_wrapped(
        self, merchant_id: MerchantId, vault: VaultWorld, fault: Any
    ) -> None:
        make(merchant_id)
        fill(merchant_id)
        vault.front.fault = fault
        with pytest.raises(KekUnavailableError):
            make(merchant_id, 3)
        assert count_rows(merchant_id) == (1, 1)
        vault.front.fault = None
        make(merchant_id, 3)
        assert count_rows(merchant_id) == (2, 4)


class TestWrongAnswers:
    @pytest.fixture(autouse=True)
    def _right_again(self, vault: VaultWorld) -> Any:
        yield
        vault.front.app = vault.vault.app

    def test_a_new_data_key_that_opens_as_another_seals_nothing(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        answering(vault, "decrypt", plaintext=b64encode(WRONG).decode())
        with pytest.raises(KekUnavailableError, match="a new data key does not open again"):
            make(merchant_id)
        assert count_rows(merchant_id) == (0, 0)

    def test_an_old_data_key_that_opens_as_another_seals_nothing(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        [address] = make(merchant_id)
        data_keys.forget()
        answering(vault, "decrypt", plaintext=b64encode(WRONG).decode())
        for work in (lambda: make(merchant_id), lambda: sign(merchant_id, address)):
            with pytest.raises(KekUnavailableError, match="opened another data key") as caught:
                work()
            assert WRONG.hex() not in str(caught.value)
        vault.front.app = vault.vault.app
        assert sign(merchant_id, address)
        assert count_rows(merchant_id) == (1, 1)


class TestCache:
    def test_a_data_key_is_opened_once(self, merchant_id: MerchantId, vault: VaultWorld) -> None:
        [address] = make(merchant_id)
        data_keys.forget()
        vault.front.asked.clear()
        for _ in range(5):
            sign(merchant_id, address)
        assert [request.path for request in vault.front.asked] == ["/v1/transit/decrypt/cohort"]

    def test_it_holds_no_more_than_sixty_four_and_for_five_minutes(self) -> None:
        assert (data_keys._cache.maxsize, data_keys._cache.ttl) == (64, 300)

    def test_a_failed_opening_is_not_remembered(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        [address] = make(merchant_id)
        data_keys.forget()
        vault.vault.sealed = True
        with pytest.raises(KekUnavailableError):
            sign(merchant_id, address)
        vault.vault.sealed = False
        assert sign(merchant_id, address)


class TestFingerprint:
    def test_it_is_stored_and_is_not_the_key(self, merchant_id: MerchantId) -> None:
        make(merchant_id)
        with unit_of_work(merchant=merchant_id) as session:
            data_key = session.scalars(select(DataKey)).one()
        dek = data_keys.shard_of(data_key).data_key
        assert data_key.fingerprint == data_keys.fingerprint_of(dek)
        assert data_key.fingerprint is not None
        assert data_key.fingerprint not in dek

    def test_a_data_key_of_an_earlier_version_has_none_and_opens(
        self, merchant_id: MerchantId
    ) -> None:
        [address] = make(merchant_id)
        with unit_of_work(merchant=merchant_id) as session, acting_as(session):
            session.execute(update(DataKey).values(fingerprint=None))
        data_keys.forget()
        assert sign(merchant_id, address)


class TestSecrecy:
    def test_no_log_line_of_custody_holds_a_key(
        self, merchant_id: MerchantId, vault: VaultWorld, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        [address] = make(merchant_id, 3)
        data_keys.forget()
        sign(merchant_id, address)
        with unit_of_work(merchant=merchant_id) as session:
            data_key = session.scalars(select(DataKey)).one()
        dek = data_keys.shard_of(data_key).data_key
        seen = caplog.text + repr(data_keys.shard_of(data_key)) + repr(data_key)
        for spelled in (dek.hex(), repr(dek)[2:-1], b64encode(dek).decode()):
            assert spelled not in seen
