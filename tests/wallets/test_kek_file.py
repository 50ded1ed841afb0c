"""The key file: made once, read by its owner only, and recognised."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from core.types import DataKeyId, MerchantId
from wallets.errors import KeyEncryptionKeyError
from wallets.kek import DekContext
from wallets.kek_file import FileKek

CONTEXT = DekContext(MerchantId(UUID(int=1)), DataKeyId(UUID(int=2)))
KNOWN_ANSWER = bytes.fromhex(
    "6465666768696a6b6c6d6e6fc088e02bf3b41dfd56670c18bc852e205c0a501c"
    "6935f38d31ca95e2eaf7564e916804a1cecdef2f6df52e6c02f0c241"
)


def write_key(path: Path, *, mode: int = 0o600, length: int = 32) -> Path:
    path.write_bytes(b"k" * length)
    path.chmod(mode)
    return path


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

    def test_a_key_of_earlier_days_is_not_made_anew(self, tmp_path: Path) -> None:
        with pytest.raises(KeyEncryptionKeyError, match="There is no key file"):
            FileKek(tmp_path / "kek", make=False)
        assert list(tmp_path.iterdir()) == []


class TestUnwrap:
    def test_another_key_file_is_refused_and_named(self, tmp_path: Path) -> None:
        _, wrapped = FileKek(tmp_path / "kek").generate_dek(CONTEXT)
        with pytest.raises(KeyEncryptionKeyError, match="other is not the one this data was sea"):
            FileKek(tmp_path / "other").unwrap(wrapped.blob, CONTEXT)

    def test_every_cut_is_refused(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        _, wrapped = kek.generate_dek(CONTEXT)
        for length in range(len(wrapped.blob)):
            with pytest.raises(KeyEncryptionKeyError):
                kek.unwrap(wrapped.blob[:length], CONTEXT)

    def test_what_an_earlier_version_wrapped_opens(self, tmp_path: Path) -> None:
        kek = FileKek(write_key(tmp_path / "kek"))
        assert kek.unwrap(KNOWN_ANSWER, CONTEXT) == bytes(range(32))


class TestHealth:
    def test_a_file_that_was_replaced_is_not_healthy(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        assert kek.health() == kek.id
        write_key(tmp_path / "kek")
        with pytest.raises(KeyEncryptionKeyError, match="was replaced while the program ran"):
            kek.health()

    def test_a_file_that_is_gone_is_not_healthy(self, tmp_path: Path) -> None:
        kek = FileKek(tmp_path / "kek")
        (tmp_path / "kek").unlink()
        with pytest.raises(KeyEncryptionKeyError, match="Put the original file back"):
            kek.health()
