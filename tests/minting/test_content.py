"""The content store: whole or absent, checked on every read, deaf to strange names."""

import threading
from pathlib import Path

import pytest

from minting.cid import cid_of_bytes
from minting.content import OTHER, ContentStore, content_store, media_type_of
from minting.errors import ContentCorruptError, ContentNotFoundError, IpfsMismatchError

DATA = b"hello world\n"
CID = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """A store in an empty directory that does not exist yet."""
    return ContentStore(tmp_path / "content")


def only_file(folder: Path) -> Path:
    """The single file below the folder."""
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


class TestPut:
    def test_stores_under_the_cid(self, store: ContentStore) -> None:
        assert store.put(DATA) == CID
        assert store.read(CID) == DATA

    def test_twice_changes_nothing(self, store: ContentStore, tmp_path: Path) -> None:
        store.put(DATA)
        before = only_file(tmp_path).stat().st_mtime_ns
        store.put(DATA)
        assert only_file(tmp_path).stat().st_mtime_ns == before

    def test_heals_a_damaged_file(self, store: ContentStore, tmp_path: Path) -> None:
        store.put(DATA)
        only_file(tmp_path).write_bytes(b"hello w")
        store.put(DATA)
        assert store.read(CID) == DATA

    def test_leaves_no_temporary_file_when_the_disk_refuses(
        self, store: ContentStore, tmp_path: Path
    ) -> None:
        # A folder stands where the file should go, so the final rename fails.
        blocked = tmp_path / "content" / CID[-3:-1] / CID
        blocked.mkdir(parents=True)
        with pytest.raises(OSError, match=CID):
            store.put(DATA)
        assert list(blocked.parent.iterdir()) == [blocked]

    def test_by_many_at_once_stores_it_once(self, store: ContentStore, tmp_path: Path) -> None:
        data = b"x" * 500_000
        threads = [threading.Thread(target=store.put, args=(data,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert only_file(tmp_path).read_bytes() == data


class TestRead:
    def test_of_what_is_not_there_is_refused(self, store: ContentStore) -> None:
        with pytest.raises(ContentNotFoundError):
            store.read(CID)

    def test_of_changed_bytes_is_refused(self, store: ContentStore, tmp_path: Path) -> None:
        store.put(DATA)
        only_file(tmp_path).write_bytes(b"hello wOrld\n")
        with pytest.raises(ContentCorruptError, match=CID):
            store.read(CID)

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "../secret", "/etc/passwd", "..%2fsecret", "a/b", "a\0b", "b" + "a" * 58],
    )
    def test_of_a_name_that_is_no_cid_touches_no_file(
        self, store: ContentStore, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        with pytest.raises(ContentNotFoundError):
            store.read(name)
        assert not store.has(name)


class TestHas:
    def test_says_what_is_stored(self, store: ContentStore) -> None:
        assert not store.has(CID)
        store.put(DATA)
        assert store.has(CID)


class _Remote:
    """A node that remembers what it was given, or disagrees about its name."""

    def __init__(self, *, honest: bool = True) -> None:
        self.pinned: list[bytes] = []
        self._honest = honest

    def add(self, data: bytes) -> str:
        """Remember the bytes."""
        if not self._honest:
            raise IpfsMismatchError("http://node", expected=CID, found="other")
        self.pinned.append(data)
        return cid_of_bytes(data)


class TestPin:
    def test_without_a_node_reads_the_content_back(self, store: ContentStore) -> None:
        store.pin(store.put(DATA))

    def test_sends_the_bytes_to_the_node(self, tmp_path: Path) -> None:
        remote = _Remote()
        store = ContentStore(tmp_path, remote)  # type: ignore[arg-type]
        store.pin(store.put(DATA))
        assert remote.pinned == [DATA]

    def test_is_refused_for_what_is_not_stored(self, tmp_path: Path) -> None:
        remote = _Remote()
        with pytest.raises(ContentNotFoundError):
            ContentStore(tmp_path, remote).pin(CID)  # type: ignore[arg-type]
        assert remote.pinned == []

    def test_is_refused_when_the_node_disagrees(self, tmp_path: Path) -> None:
        store = ContentStore(tmp_path, _Remote(honest=False))  # type: ignore[arg-type]
        with pytest.raises(IpfsMismatchError):
            store.pin(store.put(DATA))


class TestMediaTypeOf:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"\x89PNG\r\n\x1a\n....", "image/png"),
            (b"\xff\xd8\xff\xe0....", "image/jpeg"),
            (b"GIF89a....", "image/gif"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
            (b'{"name":"First Tide"}', "application/json"),
        ],
    )
    def test_knows_what_we_store(self, data: bytes, expected: str) -> None:
        assert media_type_of(data) == expected

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"<html><script>alert(1)</script>",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"%PDF-1.7",
            b"{ not json",
            b'{"a":' * 90_000,
            b"\xff\xfe{",
            b"RIFF....WAVE",
        ],
    )
    def test_calls_everything_else_a_download(self, data: bytes) -> None:
        assert media_type_of(data) == OTHER


class TestContentStore:
    def test_of_the_installation_is_one(self) -> None:
        assert content_store() is content_store()
