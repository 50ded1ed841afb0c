"""A random share of the wallets is opened, and what does not open is counted and named."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from core.db import unit_of_work
from core.ids import new_id
from core.types import MerchantId
from tests.conftest import NOW
from tests.signing import acting_as
from tests.wallets.kek_worlds import VaultWorld, environment
from wallets import data_keys
from wallets.errors import KekUnavailableError
from wallets.inspection import check_wallets
from wallets.keyring import key_provider
from wallets.models import DataKey, Wallet, WalletKind
from wallets.service import WALLETS_A_DATA_KEY, create_wallets


def make(merchant: MerchantId, count: int) -> list[Any]:
    with unit_of_work(merchant=merchant) as session:
        owners = [new_id() for _ in range(count)]
        return create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)


class TestCheckWallets:
    def test_all_of_them(self, merchant_id: MerchantId) -> None:
        make(merchant_id, 30)
        report = check_wallets(share_percent=100)
        assert (report.wallets, report.checked, report.sound, report.unreadable) == (30, 30, 30, 0)
        assert report.data_keys_by_kek == {key_provider().id: 1}
        assert report.is_sound

    @pytest.mark.parametrize(("count", "share", "checked"), [(200, 1, 2), (150, 1, 2), (7, 1, 1)])
    def test_a_share_is_rounded_up(
        self, merchant_id: MerchantId, count: int, share: int, checked: int
    ) -> None:
        make(merchant_id, count)
        report = check_wallets(share_percent=share)
        assert (report.wallets, report.checked, report.sound) == (count, checked, checked)

    def test_an_empty_installation_is_sound(self, committed: None) -> None:
        assert check_wallets(share_percent=1).is_sound

    def test_what_was_changed_is_found_and_named(self, merchant_id: MerchantId) -> None:
        addresses = make(merchant_id, 5)
        with unit_of_work(merchant=merchant_id) as session, acting_as(session):
            session.execute(
                update(Wallet).where(Wallet.address == addresses[2]).values(owner_id=new_id())
            )
        report = check_wallets(share_percent=100)
        assert (report.sound, report.unreadable) == (4, 1)
        assert report.unreadable_addresses == [addresses[2]]
        assert not report.is_sound

    def test_a_data_key_that_does_not_open_is_named_and_the_others_are_checked(
        self, merchant_id: MerchantId
    ) -> None:
        make(merchant_id, 2)
        with unit_of_work(merchant=merchant_id) as session, acting_as(session):
            first = session.scalars(select(DataKey)).one()
            first.wallet_count = WALLETS_A_DATA_KEY
            first.wrapped = bytes(60)
        make(merchant_id, 3)
        data_keys.forget()
        report = check_wallets(share_percent=100)
        assert report.closed_data_keys == [str(first.id)]
        assert (report.wallets, report.sound) == (5, 3)
        assert not report.is_sound

    def test_a_key_that_is_not_configured_is_no_loss_but_is_said(
        self, merchant_id: MerchantId, tmp_path: Path
    ) -> None:
        with environment(WALLETS_KEK=f"file:{tmp_path / 'other'}"):
            make(merchant_id, 2)
        report = check_wallets(share_percent=100)
        assert len(report.closed_data_keys) == 1

    def test_an_outage_is_not_taken_for_damage(
        self, merchant_id: MerchantId, vault: VaultWorld
    ) -> None:
        make(merchant_id, 2)
        data_keys.forget()
        vault.vault.sealed = True
        with pytest.raises(KekUnavailableError):
            check_wallets(share_percent=100)
