"""The key file: made once, read by its owner only, and recognised."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.settings import core_settings
from wallets.errors import KeyEncryptionKeyError
from wallets.kek import FileKek, key_provider
from wallets.settings import wallet_settings

CONTEXT = b"context"


def write_key(path: Path, *, mode: int = 0o600, length: int = 32) -> Path:
    path.write_bytes(b"k" * length)
    path.chmod(mode)
    return path


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """These variables are what the settings are read from, inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    _forget()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _forget()


def _forget() -> None:
    for cached in (core_settings, wallet_settings, key_provider):
        cached.cache_clear()


class TestFileKek:
    def test_the_file_is_made_for_its_owner_only(self, tmp_path: Path) -> None:
        FileKek(tmp_path / "secrets" / "kek")
        file = tmp_path / "secrets" / "kek"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert len(file.read_bytes()) == 32

    def test_the_file_is_made_once(self, tmp_path: Path) -> None:
        first = FileKek(tmp_path / "kek")
        content = (tmp_path / "kek").read_bytes()
        assert FileKek(tmp_path / "kek").id == first.id
        assert (tmp_path / "kek").read_bytes() == content

    def test_many_first_needs_at_once_agree_on_one_key(self, tmp_path: Path) -> None:
        path = tmp_path / "kek"
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: FileKek(path).id, range(40)))
        assert found == {FileKek(path).id}
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601], ids=oct)
    def test_a_file_others_can_reach_is_refused(self, tmp_path: Path, mode: int) -> None:
        path = write_key(tmp_path / "kek", mode=mode)
        with pytest.raises(KeyEncryptionKeyError, match=rf"mode {mode:o}\). Run: chmod 600"):
            FileKek(path)

    @pytest.mark.parametrize("length", [0, 31, 33])
    def test_a_key_of_another_length_is_refused(self, tmp_path: Path, length: int) -> None:
        path = write_key(tmp_path / "kek", length=length)
        with pytest.raises(KeyEncryptionKeyError, match=f"holds {length} bytes instead of 32"):
            FileKek(path)

    def test_the_id_says_which_key_it_is_and_not_what_it_is(self, tmp_path: Path) -> None:
        path = write_key(tmp_path / "kek")
        assert FileKek(path).id != FileKek(tmp_path / "other").id
        assert FileKek(path).id not in path.read_bytes().hex()


class TestGenerateDek:
    def test_every_data_key_is_another_one(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        assert len({kek.generate_dek(CONTEXT)[0] for _ in range(50)}) == 50

    def test_its_wrapped_form_does_not_show_it(self, tmp_path: Path) -> None:
        dek, wrapped = FileKek(tmp_path / "kek").generate_dek(CONTEXT)
        assert dek not in wrapped


class TestUnwrap:
    def test_gives_back_the_data_key(self, tmp_path: Path) -> None:
        dek, wrapped = FileKek(tmp_path / "kek").generate_dek(CONTEXT)
        assert FileKek(tmp_path / "kek").unwrap(wrapped, CONTEXT) == dek

    def test_another_key_file_is_refused_and_named(self, tmp_path: Path) -> None:
        _, wrapped = FileKek(tmp_path / "kek").generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError, match="other is not the one this data was sea"):
            FileKek(tmp_path / "other").unwrap(wrapped, CONTEXT)

    def test_another_context_is_refused(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        _, wrapped = kek.generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError, match="Put the original file back"):
            kek.unwrap(wrapped, b"somebody else's")

    def test_every_changed_byte_is_refused(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        _, wrapped = kek.generate_dek(CONTEXT)
        for place in range(len(wrapped)):
            changed = bytearray(wrapped)
            changed[place] ^= 0x80
            with pytest.raises(KeyEncryptionKeyError):
                kek.unwrap(bytes(changed), CONTEXT)

    def test_every_cut_is_refused(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        _, wrapped = kek.generate_dek(CONTEXT)
        for length in range(len(wrapped)):
            with pytest.raises(KeyEncryptionKeyError):
                kek.unwrap(wrapped[:length], CONTEXT)


class TestKeyProvider:
    def test_the_file_is_in_the_data_directory_unless_set(self, tmp_path: Path) -> None:
        with environment(COHORT_DATA_DIR=str(tmp_path)):
            key_provider()
        assert (tmp_path / "secrets" / "kek").exists()

    def test_another_place_can_be_set(self, tmp_path: Path) -> None:
        with environment(WALLETS_KEK_FILE=str(tmp_path / "elsewhere")):
            key_provider()
        assert (tmp_path / "elsewhere").exists()

    def test_production_refuses_a_file_beside_the_data(self, tmp_path: Path) -> None:
        with (
            environment(COHORT_ENVIRONMENT="production", COHORT_DATA_DIR=str(tmp_path)),
            pytest.raises(KeyEncryptionKeyError, match="WALLETS_ALLOW_KEK_FILE_IN_PRODUCTION=true"),
        ):
            key_provider()
        assert not (tmp_path / "secrets").exists()

    def test_production_takes_it_when_somebody_says_so(self, tmp_path: Path) -> None:
        with environment(
            COHORT_ENVIRONMENT="production",
            COHORT_DATA_DIR=str(tmp_path),
            WALLETS_ALLOW_KEK_FILE_IN_PRODUCTION="true",
        ):
            assert key_provider().id
