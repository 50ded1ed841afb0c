"""The installation's secret: made once and whole, never too short."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import secrets
from core.errors import SettingsError
from core.settings import core_settings


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data directory of its own, and the settings as they were afterwards."""
    before = {name: os.environ.get(name) for name in ("COHORT_DATA_DIR", "COHORT_SECRET_KEY")}
    os.environ["COHORT_DATA_DIR"] = str(tmp_path)
    os.environ.pop("COHORT_SECRET_KEY", None)
    forget()
    yield tmp_path
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    forget()


def forget() -> None:
    core_settings.cache_clear()
    secrets._secret.cache_clear()
    secrets._cipher.cache_clear()


class TestFingerprint:
    def test_the_secret_is_made_once_and_only_for_its_owner(self, folder: Path) -> None:
        first = secrets.fingerprint("code", "123456")
        forget()
        assert secrets.fingerprint("code", "123456") == first
        path = folder / "secrets" / "secret_key"
        assert (path.stat().st_mode & 0o777, len(path.read_bytes())) == (0o600, 32)

    def test_the_purpose_keeps_equal_values_apart(self, folder: Path) -> None:
        assert secrets.fingerprint("code", "1") != secrets.fingerprint("link", "1")

    def test_a_cut_file_is_refused(self, folder: Path) -> None:
        (folder / "secrets").mkdir()
        (folder / "secrets" / "secret_key").write_bytes(b"")
        with pytest.raises(SettingsError, match="has 0 bytes"):
            secrets.fingerprint("code", "1")

    def test_a_short_setting_is_refused(self, folder: Path) -> None:
        os.environ["COHORT_SECRET_KEY"] = "short"
        forget()
        with pytest.raises(SettingsError, match="COHORT_SECRET_KEY has 5 bytes"):
            secrets.fingerprint("code", "1")

    def test_an_empty_setting_is_none(self, folder: Path) -> None:
        os.environ["COHORT_SECRET_KEY"] = ""
        forget()
        assert len(secrets.fingerprint("code", "1")) == 32


class TestSeal:
    def test_what_is_sealed_comes_back(self, folder: Path) -> None:
        sealed = secrets.seal("code", b"SUMMER", bound_to=b"row")
        assert b"SUMMER" not in sealed
        assert secrets.unseal("code", sealed, bound_to=b"row") == b"SUMMER"

    def test_equal_values_do_not_look_equal(self, folder: Path) -> None:
        first, second = (secrets.seal("code", b"1", bound_to=b"row") for _ in range(2))
        assert first != second

    @pytest.mark.parametrize(("purpose", "place"), [("seed", b"row"), ("code", b"other")])
    def test_elsewhere_it_is_broken(self, folder: Path, purpose: str, place: bytes) -> None:
        sealed = secrets.seal("code", b"SUMMER", bound_to=b"row")
        with pytest.raises(secrets.SealBrokenError):
            secrets.unseal(purpose, sealed, bound_to=place)

    def test_any_changed_byte_breaks_it(self, folder: Path) -> None:
        sealed = secrets.seal("code", b"SUMMER", bound_to=b"row")
        for place in range(len(sealed)):
            broken = bytearray(sealed)
            broken[place] ^= 1
            with pytest.raises(secrets.SealBrokenError):
                secrets.unseal("code", bytes(broken), bound_to=b"row")

    @pytest.mark.parametrize("length", [0, 1, 28])
    def test_a_cut_one_is_broken(self, folder: Path, length: int) -> None:
        sealed = secrets.seal("code", b"", bound_to=b"row")
        with pytest.raises(secrets.SealBrokenError):
            secrets.unseal("code", sealed[:length], bound_to=b"row")

    def test_another_secret_does_not_open_it(self, folder: Path) -> None:
        sealed = secrets.seal("code", b"SUMMER", bound_to=b"row")
        os.environ["COHORT_SECRET_KEY"] = "another secret of thirty-two characters"
        forget()
        with pytest.raises(secrets.SealBrokenError):
            secrets.unseal("code", sealed, bound_to=b"row")
