"""Devices: a pairing code works once for five minutes, a key for ninety days or until revoked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.scanning import devices
from app.scanning.errors import DeviceNotFoundError, PairingOverError
from app.scanning.models import ScanDevice
from core.db import unit_of_work
from core.errors import InvalidError
from core.ids import new_id
from core.types import DeviceId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant
from tests.factories.perks import make_place
from tests.factories.scanning import make_device

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def invited(session: Session) -> tuple[ScanDevice, str]:
    device = devices.add(session, "Till", make_place(session), at=NOW)
    return device, devices.invite(session, device, at=NOW)


class TestPairing:
    def test_gives_a_key_once(self, session: Session) -> None:
        device, code = invited(session)
        paired, key = devices.pair(session, code, at=NOW + 4 * MINUTE)
        assert paired.id == device.id and devices.find(session, key, at=NOW + 5 * MINUTE)
        with pytest.raises(PairingOverError):
            devices.pair(session, code, at=NOW + 4 * MINUTE)

    def test_after_five_minutes_gives_none(self, session: Session) -> None:
        _, code = invited(session)
        with pytest.raises(PairingOverError):
            devices.pair(session, code, at=NOW + 5 * MINUTE)

    def test_looking_at_the_code_uses_nothing(self, session: Session) -> None:
        device, code = invited(session)
        for _ in range(2):
            assert devices.find_invited(session, code, at=NOW).id == device.id

    def test_a_newer_code_replaces_an_older_one(self, session: Session) -> None:
        device, old = invited(session)
        new = devices.invite(session, device, at=NOW)
        with pytest.raises(PairingOverError):
            devices.pair(session, old, at=NOW)
        assert devices.pair(session, new, at=NOW)

    def test_again_ends_the_key_from_before(self, session: Session) -> None:
        scanner, key = make_device(session)
        assert scanner.device is not None
        code = devices.invite(session, scanner.device, at=NOW)
        assert devices.find(session, key, at=NOW)
        _, newer = devices.pair(session, code, at=NOW)
        assert devices.find(session, key, at=NOW) is None
        assert devices.find(session, newer, at=NOW)

    @pytest.mark.parametrize("code", ["", "x", "a" * 43])
    def test_a_made_up_code_pairs_nothing(self, session: Session, code: str) -> None:
        invited(session)
        with pytest.raises(PairingOverError):
            devices.find_invited(session, code, at=NOW)

    def test_of_four_that_open_a_code_at_once_one_is_the_device(self, committed: None) -> None:
        merchant, together = make_merchant().id, Barrier(4)
        with unit_of_work(merchant=merchant) as session:
            _, code = invited(session)

        def pair(_: int) -> bool:
            try:
                with unit_of_work() as session:
                    together.wait(20)
                    devices.pair(session, code, at=NOW)
            except PairingOverError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(pair, range(4))) == [False, False, False, True]

    def test_neither_code_nor_key_is_in_the_database(self, session: Session) -> None:
        _, code = invited(session)
        _, key = make_device(session, name="Other")
        rows = session.execute(text("SELECT scan_devices::text FROM scan_devices")).scalars().all()
        assert len(rows) == 2
        for secret in (code, key, code.encode().hex(), key.encode().hex()):
            assert not any(secret in row for row in rows)


class TestKey:
    def test_finds_its_merchant(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            scanner, key = make_device(session)
        with unit_of_work() as session:
            found = devices.find(session, key, at=NOW)
            assert found is not None and scanner.device is not None
            assert (found.id, session.info["merchant"]) == (scanner.device.id, merchant.id)

    def test_lives_ninety_days(self, session: Session) -> None:
        _, key = make_device(session)
        assert devices.find(session, key, at=NOW + 90 * DAY - MINUTE)
        assert devices.find(session, key, at=NOW + 90 * DAY) is None

    def test_revoked_opens_nothing_at_once(self, session: Session) -> None:
        scanner, key = make_device(session)
        assert scanner.device is not None
        devices.revoke(session, scanner.device, at=NOW)
        assert devices.find(session, key, at=NOW) is None

    def test_revoking_ends_a_pairing_code_too(self, session: Session) -> None:
        device, code = invited(session)
        devices.revoke(session, device, at=NOW)
        with pytest.raises(PairingOverError):
            devices.pair(session, code, at=NOW)

    @pytest.mark.parametrize("key", ["", "x", "None"])
    def test_a_made_up_one_opens_nothing(self, session: Session, key: str) -> None:
        make_device(session)
        assert devices.find(session, key, at=NOW) is None


class TestDevice:
    @pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\nb"])
    def test_has_a_name(self, session: Session, name: str) -> None:
        with pytest.raises(InvalidError):
            devices.add(session, name, make_place(session), at=NOW)

    def test_of_another_merchant_does_not_exist(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            scanner, _ = make_device(session)
        assert scanner.device is not None
        with unit_of_work(merchant=merchant.id) as session:
            for identifier in (scanner.device.id, DeviceId(new_id())):
                with pytest.raises(DeviceNotFoundError):
                    devices.get(session, identifier)


class TestOffline:
    def test_is_off_until_it_is_allowed_and_off_again(self, session: Session) -> None:
        place = make_place(session)
        assert not devices.is_offline_allowed(session, place.id)
        for _ in range(2):
            devices.allow_offline(session, place.id, is_allowed=True, at=NOW)
            assert devices.is_offline_allowed(session, place.id)
        for _ in range(2):
            devices.allow_offline(session, place.id, is_allowed=False, at=NOW)
            assert not devices.is_offline_allowed(session, place.id)
