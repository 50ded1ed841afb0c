"""Keys are rotated while wallets are made and sign, killed on the way, and nothing is lost."""

import json
import os
import random
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import undefer

from app.postgres import EmbeddedPostgres
from core.db import Role, unit_of_work
from core.ids import new_id
from core.types import DataKeyId, MerchantId
from tests.conftest import NOW
from tests.factories.wallets import make_payload
from tests.factories.wallets import sign as sign_one
from tests.signing import acting_as
from tests.wallets.kek_worlds import VaultWorld, environment
from tests.wallets.loopback import Answer, Request
from wallets import data_keys
from wallets.errors import KekUnavailableError, KeyEncryptionKeyError
from wallets.inspection import check_wallets
from wallets.kek_file import FileKek
from wallets.keyring import key_provider
from wallets.models import DataKey, Wallet, WalletKind
from wallets.rotation import rotate_data_keys, rotate_kek
from wallets.service import WALLETS_A_DATA_KEY, create_wallets

ROOT = Path(__file__).resolve().parents[2]
LATER = NOW + timedelta(days=1)


def make(merchant: MerchantId, count: int, kind: WalletKind = WalletKind.RELAYER) -> list[Any]:
    """So many wallets; members have owners."""
    owners = [None if kind is WalletKind.RELAYER else new_id() for _ in range(count)]
    with unit_of_work(merchant=merchant) as session:
        return create_wallets(session, kind, owners=owners, at=NOW)


def make_shards(merchant: MerchantId, *counts: int) -> list[Any]:
    """Data keys with so many wallets each; all but the last count as full."""
    addresses = []
    for count in counts:
        addresses += make(merchant, count)
        with unit_of_work(merchant=merchant) as session:
            session.execute(
                update(DataKey)
                .where(DataKey.wallet_count == count)
                .values(wallet_count=WALLETS_A_DATA_KEY)
            )
    return addresses


def keys_of(merchant: MerchantId) -> dict[DataKeyId, DataKey]:
    query = select(DataKey).options(undefer(DataKey.wrapped)).order_by(DataKey.id)
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        return {key.id: key for key in session.scalars(query)}


def sealed_rows(merchant: MerchantId) -> dict[Any, Wallet]:
    query = select(Wallet).options(undefer(Wallet.salt), undefer(Wallet.ciphertext))
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        return {wallet.address: wallet for wallet in session.scalars(query)}


def damage(merchant: MerchantId, address: Any, ciphertext: bytes) -> None:
    with unit_of_work(merchant=merchant) as session, acting_as(session):
        found = update(Wallet).where(Wallet.address == address)
        session.execute(found.values(ciphertext=ciphertext))


def sign(merchant: MerchantId, address: Any) -> None:
    with unit_of_work(merchant=merchant) as session:
        signed = sign_one(session, address, make_payload())
    assert Account.recover_transaction(signed.raw) == address


def assert_all_open(merchant: MerchantId, count: int) -> None:
    """Every wallet of the database opens anew and is the one of its address."""
    data_keys.forget()
    report = check_wallets(share_percent=100)
    assert report.is_sound
    assert (report.wallets, report.checked, report.sound) == (count, count, count)


def under_load(merchant: MerchantId, addresses: list[Any], work: Callable[[], Any]) -> int:
    """Wallets are made and sign in threads until `work` ends; how many are there then."""
    done, made = Event(), list(addresses)

    def create() -> int:
        rounds = 0
        while not done.is_set() or rounds == 0:
            made.extend(make(merchant, 5))
            rounds += 1
        return rounds

    def use() -> int:
        rounds = 0
        while not done.is_set() or rounds == 0:
            sign(merchant, random.choice(made))
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for load in (create, create, use, use)]
        try:
            work()
        finally:
            done.set()
        assert all(load.result() > 0 for load in loads)
    return len(made)


def kill_until_done(postgres: EmbeddedPostgres, what: str, lines: int) -> int:
    """The rotation runs as a process that is killed after so many lines; how often it died."""
    variables = {**os.environ, "COHORT_DATABASE_URL": postgres.signer_url}
    command = [sys.executable, "-m", "tests.wallets.rotating", what]
    kills = 0
    while True:
        with subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            seen = [line for _, line in zip(range(lines), child.stdout, strict=False)]
            if len(seen) < lines:
                assert child.wait() == 0
                return kills
            child.kill()
        kills += 1


class TestRotateKek:
    def test_every_data_key_carries_the_newest_version(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        addresses = make_shards(merchant_id, 3, 4, 5)
        before = keys_of(merchant_id)
        vault.rotate()
        report = rotate_kek()
        after = keys_of(merchant_id)
        assert (report.data_keys, report.wrapped_anew, report.left) == (3, 3, 0)
        assert {key.kek_id for key in after.values()} == {key_provider().health()}
        assert all(before[i].wrapped != after[i].wrapped for i in after)
        assert all(before[i].fingerprint == after[i].fingerprint for i in after)
        assert_all_open(merchant_id, len(addresses))

    def test_the_old_version_may_be_forbidden_afterwards_and_not_before(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        [address] = make(merchant_id, 1)
        vault.rotate()
        key = vault.vault.keys["cohort"]
        key.min_decryption_version = len(key.versions)
        data_keys.forget()
        with pytest.raises(KeyEncryptionKeyError, match="below its min_decryption_version"):
            sign(merchant_id, address)
        key.min_decryption_version = 1
        rotate_kek()
        key.min_decryption_version = len(key.versions)
        data_keys.forget()
        sign(merchant_id, address)

    def test_repeating_it_changes_nothing(self, merchant_id: MerchantId, vault: VaultWorld) -> None:
        make_shards(merchant_id, 1, 1)
        vault.rotate()
        rotate_kek()
        before = {i: key.wrapped for i, key in keys_of(merchant_id).items()}
        assert rotate_kek().wrapped_anew == 0
        assert {i: key.wrapped for i, key in keys_of(merchant_id).items()} == before

    def test_all_are_wrapped_anew_when_somebody_says_so(self, merchant_id: MerchantId) -> None:
        make_shards(merchant_id, 2, 2)
        assert rotate_kek().wrapped_anew == 0
        report = rotate_kek(every=True)
        assert (report.wrapped_anew, report.left) == (2, 0)
        assert_all_open(merchant_id, 4)

    def test_a_file_gives_its_data_keys_to_vault(
        self, merchant_id: MerchantId, vault: VaultWorld, home: Path
    ) -> None:
        with environment(WALLETS_KEK="file"):
            addresses = make_shards(merchant_id, 3, 2)
            file_id = key_provider().id
        with environment(WALLETS_PREVIOUS_KEKS="file"):
            sign(merchant_id, addresses[0])
            make(merchant_id, 1)
            count = under_load(merchant_id, [*addresses], rotate_kek) + 1
        assert file_id not in {key.kek_id for key in keys_of(merchant_id).values()}
        assert_all_open(merchant_id, count)

    def test_a_file_follows_a_file(self, merchant_id: MerchantId, tmp_path: Path) -> None:
        old, new = tmp_path / "old", tmp_path / "new"
        with environment(WALLETS_KEK=f"file:{old}"):
            addresses = make_shards(merchant_id, 2, 2)
        with environment(WALLETS_KEK=f"file:{new}", WALLETS_PREVIOUS_KEKS=f"file:{old}"):
            assert rotate_kek().left == 0
        old.unlink()
        with environment(WALLETS_KEK=f"file:{new}"):
            assert {key.kek_id for key in keys_of(merchant_id).values()} == {FileKek(new).id}
            assert_all_open(merchant_id, len(addresses))

    def test_a_key_that_nobody_named_stops_it_and_nothing_is_changed(
        self, merchant_id: MerchantId, tmp_path: Path
    ) -> None:
        with environment(WALLETS_KEK=f"file:{tmp_path / 'old'}"):
            make(merchant_id, 2)
            before = [key.wrapped for key in keys_of(merchant_id).values()]
        with (
            environment(WALLETS_KEK=f"file:{tmp_path / 'new'}"),
            pytest.raises(KeyEncryptionKeyError, match="name it in WALLETS_PREVIOUS_KEKS"),
        ):
            rotate_kek()
        assert [key.wrapped for key in keys_of(merchant_id).values()] == before

    def test_wallets_are_made_and_sign_meanwhile(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        addresses = make_shards(merchant_id, 4, 4, 4, 4)

        def rotate_often() -> None:
            for _ in range(5):
                vault.rotate()
                rotate_kek()

        count = under_load(merchant_id, addresses, rotate_often)
        rotate_kek()
        assert_all_open(merchant_id, count)

    @pytest.mark.faults
    def test_killed_again_and_again_it_arrives(
        self, merchant_id: MerchantId, vault: VaultWorld, postgres: EmbeddedPostgres
    ) -> None:
        addresses = make_shards(merchant_id, *range(1, 8))
        vault.rotate()
        assert kill_until_done(postgres, "kek", lines=2) >= 2
        assert {key.kek_id for key in keys_of(merchant_id).values()} == {key_provider().health()}
        assert_all_open(merchant_id, len(addresses))

    def test_what_does_not_open_as_the_same_key_is_not_stored(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        make(merchant_id, 2)
        [before] = keys_of(merchant_id).values()
        vault.rotate()
        right = vault.front.app

        def another(request: Request) -> Answer:
            if "/rewrap/" not in request.path:
                return right(request)
            context = b64decode(json.loads(request.body)["context"])
            blob = vault.vault.keys["cohort"].encrypt(b"w" * 32, context)
            return Answer(200, json.dumps({"data": {"ciphertext": blob}}).encode())

        vault.front.app = another
        try:
            with pytest.raises(KekUnavailableError, match="does not open as the same"):
                rotate_kek()
        finally:
            vault.front.app = right
        [after] = keys_of(merchant_id).values()
        assert (after.wrapped, after.kek_id) == (before.wrapped, before.kek_id)
        assert_all_open(merchant_id, 2)


class TestRotateDataKeys:
    def rotate(self) -> Any:
        return rotate_data_keys(created_before=LATER, at=LATER)

    def test_every_wallet_is_under_a_new_key_and_the_old_ones_are_gone(
        self, merchant_id: MerchantId
    ) -> None:
        addresses = make_shards(merchant_id, 3, 4)
        before = keys_of(merchant_id)
        old = sealed_rows(merchant_id)
        report = self.rotate()
        after = keys_of(merchant_id)
        assert (report.data_keys, report.wallets, report.destroyed) == (2, 7, 2)
        assert (report.damaged, report.kept) == (0, 0)
        assert not set(before) & set(after)
        assert len(after) == 2
        for address, wallet in sealed_rows(merchant_id).items():
            assert wallet.data_key_id in after
            assert old[address].ciphertext != wallet.ciphertext
            assert old[address].salt != wallet.salt
        assert_all_open(merchant_id, len(addresses))

    def test_younger_keys_are_left_alone(self, merchant_id: MerchantId) -> None:
        make(merchant_id, 2)
        before = keys_of(merchant_id)
        report = rotate_data_keys(created_before=NOW, at=LATER)
        assert (report.data_keys, report.wallets) == (0, 0)
        assert set(keys_of(merchant_id)) == set(before)

    def test_members_and_relayers_move_with_what_they_are_bound_to(
        self, merchant_id: MerchantId
    ) -> None:
        make(merchant_id, 2)
        make(merchant_id, 3, WalletKind.MEMBER)
        self.rotate()
        assert_all_open(merchant_id, 5)

    def test_a_successor_takes_no_more_wallets_than_a_data_key_may(
        self, merchant_id: MerchantId
    ) -> None:
        make_shards(merchant_id, 3)
        self.rotate()
        make(merchant_id, 2)
        counts = sorted(key.wallet_count for key in keys_of(merchant_id).values())
        assert counts == [2, WALLETS_A_DATA_KEY]

    def test_a_key_with_room_is_used_although_a_newer_one_is_full(
        self, merchant_id: MerchantId
    ) -> None:
        make_shards(merchant_id, 3)
        make(merchant_id, 2)
        full, with_room = keys_of(merchant_id)
        with unit_of_work(merchant=merchant_id) as session, acting_as(session):
            session.execute(
                update(DataKey).where(DataKey.id == full).values(created_at=NOW - timedelta(days=9))
            )
        rotate_data_keys(created_before=NOW, at=LATER)
        make(merchant_id, 1)
        assert keys_of(merchant_id)[with_room].wallet_count == 3

    def test_a_wallet_that_does_not_open_stays_and_keeps_its_key(
        self, merchant_id: MerchantId
    ) -> None:
        addresses = make(merchant_id, 4)
        [old] = keys_of(merchant_id)
        sound = sealed_rows(merchant_id)[addresses[1]].ciphertext
        damage(merchant_id, addresses[1], bytes(len(sound)))
        report = self.rotate()
        assert (report.wallets, report.damaged, report.destroyed, report.kept) == (3, 1, 0, 1)
        assert sealed_rows(merchant_id)[addresses[1]].data_key_id == old
        damage(merchant_id, addresses[1], sound)
        assert self.rotate().destroyed >= 1
        assert old not in keys_of(merchant_id)
        assert_all_open(merchant_id, 4)

    def test_the_database_refuses_to_delete_a_key_in_use(self, merchant_id: MerchantId) -> None:
        make(merchant_id, 1)
        with (
            pytest.raises(IntegrityError, match="fk_wallets_data_key_id_data_keys"),
            unit_of_work(merchant=merchant_id, role=Role.SIGNER) as session,
        ):
            session.delete(session.scalars(select(DataKey)).one())
        assert_all_open(merchant_id, 1)

    def test_wallets_are_made_and_sign_meanwhile(self, merchant_id: MerchantId) -> None:
        addresses = make_shards(merchant_id, 40, 40, 40)
        first = set(keys_of(merchant_id))

        def rotate_often() -> None:
            for round in range(1, 4):
                at = NOW + timedelta(days=round)
                rotate_data_keys(created_before=at, at=at - timedelta(seconds=1))

        count = under_load(merchant_id, addresses, rotate_often)
        assert not first & set(keys_of(merchant_id))
        assert_all_open(merchant_id, count)
        with unit_of_work(merchant=merchant_id) as session:
            assert session.scalar(select(func.count()).select_from(Wallet)) == count

    def test_two_at_once_move_every_wallet_once(self, merchant_id: MerchantId) -> None:
        make_shards(merchant_id, 30, 30)
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(lambda _: self.rotate(), range(2)))
        assert sum(report.wallets for report in reports) == 60
        self.rotate_left()
        assert_all_open(merchant_id, 60)

    def rotate_left(self) -> None:
        """Only what was interrupted."""
        rotate_data_keys(created_before=NOW - timedelta(days=1), at=LATER)

    @pytest.mark.faults
    def test_killed_again_and_again_it_arrives(
        self, merchant_id: MerchantId, postgres: EmbeddedPostgres
    ) -> None:
        addresses = make_shards(merchant_id, 12, 9, 10)
        old = set(keys_of(merchant_id))
        assert kill_until_done(postgres, "data-keys", lines=2) >= 4
        assert not old & set(keys_of(merchant_id))
        assert_all_open(merchant_id, len(addresses))

    @pytest.mark.faults
    def test_after_every_kill_every_wallet_opens(
        self, merchant_id: MerchantId, postgres: EmbeddedPostgres
    ) -> None:
        addresses = make_shards(merchant_id, 9)
        variables = {**os.environ, "COHORT_DATABASE_URL": postgres.signer_url}
        command = [sys.executable, "-m", "tests.wallets.rotating", "data-keys"]
        with subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.kill()
        assert_all_open(merchant_id, len(addresses))
        for address in addresses:
            sign(merchant_id, address)

    def test_an_outage_in_the_middle_loses_nothing(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        addresses = make_shards(merchant_id, 3, 3)

        def seal_after_the_first(done: int, total: int) -> None:
            vault.vault.sealed = True

        with pytest.raises(KekUnavailableError):
            rotate_data_keys(created_before=LATER, at=LATER, progress=seal_after_the_first)
        vault.vault.sealed = False
        assert_all_open(merchant_id, len(addresses))
        self.rotate()
        assert_all_open(merchant_id, len(addresses))
