"""Content identifiers, against vectors of other programs and a slow second implementation."""

import base64
import hashlib
import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minting import cid
from minting.cid import CHUNK_BYTES, cid_of_bytes, cid_of_file, cid_of_stream, is_cid

HELLO = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


class _Pattern(io.RawIOBase):
    """`size` bytes that repeat no chunk: byte i is 7i + 13(i >> 8) + 29(i >> 16), modulo 256."""

    def __init__(self, size: int) -> None:
        self._at, self._size = 0, size

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._at + size, self._size)
        span = range(self._at, end)
        self._at = end
        return bytes((i * 7 + (i >> 8) * 13 + (i >> 16) * 29) & 255 for i in span)


class _Zeros(io.RawIOBase):
    """`size` zero bytes, handed over in odd portions as a pipe would."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        given = min(self._left, size, 99_991)
        self._left -= given
        return bytes(given)


# Written by the JavaScript package ipfs-unixfs-importer 17.1 with rawLeaves, cidVersion 1,
# fixedSize({chunkSize: 262144}) and balanced({maxChildrenPerNode: 174}).
VECTORS = [
    (0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    (1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu"),
    (CHUNK_BYTES - 1, "bafkreibogol4w4pwxanonxd2skzuf4kgh4nfp7qlkvzis6wdkvsixdf6cm"),
    (CHUNK_BYTES, "bafkreidifqj635khgnp6vwi7y5wabpf552hmtvurjcfra3jh7ct2zom6ca"),
    (CHUNK_BYTES + 1, "bafybeie35emzp5zof7p4r7lcj4aunqciuiqidn3gapo3ywjwr4pg42ltru"),
    (2 * CHUNK_BYTES, "bafybeidhr2qztrcf3xvwrhwwkknjdarj3dhvvibzho7abssvl7mg2ptfwu"),
    (1_000_000, "bafybeif3nvbclfksxxxkxlmtoky2omq6cvpe4p23amqpuowozqilqdgnca"),
]


class TestCidOfBytes:
    def test_names_a_short_file_as_every_node_does(self) -> None:
        assert cid_of_bytes(b"hello world\n") == HELLO

    @pytest.mark.parametrize(("size", "expected"), VECTORS)
    def test_agrees_with_an_unrelated_implementation(self, size: int, expected: str) -> None:
        assert cid_of_bytes(_Pattern(size).read()) == expected

    def test_differs_for_one_changed_bit(self) -> None:
        assert cid_of_bytes(b"hello world\x0b") != HELLO


ZEROS = [
    # one full node, one leaf more (two levels), two full nodes
    (174 * CHUNK_BYTES, "bafybeibxsa3ioclowpaq7b6gxl65gzqneopfr3fnhedak6sqr4bjz5lnyq"),
    (174 * CHUNK_BYTES + 1, "bafybeihqwzd3o6q6v3pmwhzjy22vokhr767burokmqemg63hptx2nqd7ym"),
    (348 * CHUNK_BYTES, "bafybeigbbtzlzpitbdkziebtgdtwklm754jbnqz5hdbbc5apukpdbgqdte"),
]


class TestCidOfStream:
    @pytest.mark.parametrize(("size", "expected"), ZEROS)
    def test_grows_a_second_level_after_174_links(self, size: int, expected: str) -> None:
        assert cid_of_stream(_Zeros(size)) == expected  # type: ignore[arg-type]

    def test_needs_the_same_memory_for_any_size(self) -> None:
        tracemalloc.start()
        try:
            cid_of_stream(_Zeros(60_000_000))  # type: ignore[arg-type]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * CHUNK_BYTES

    def test_reads_only_what_is_left(self) -> None:
        stream = io.BytesIO(b"skip this hello world\n")
        stream.seek(10)
        assert cid_of_stream(stream) == HELLO


class TestCidOfFile:
    def test_is_the_cid_of_its_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"hello world\n")
        assert cid_of_file(path) == HELLO

    def test_refuses_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            cid_of_file(tmp_path / "none")


class TestIsCid:
    @given(st.binary(max_size=64))
    def test_knows_its_own(self, data: bytes) -> None:
        assert is_cid(cid_of_bytes(data))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "b",
            "../../etc/passwd",
            HELLO[:-1],
            HELLO + "a",
            HELLO.upper(),
            "B" + HELLO[1:],
            "z" + HELLO[1:],
            HELLO[:-1] + "5",  # surplus bits that base32 decoders drop
            HELLO[:-1] + "\n",
            HELLO[:-1] + "é",
            "bafk" + "a" * 55,
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
        ],
    )
    def test_refuses_what_only_looks_alike(self, text: str) -> None:
        assert not is_cid(text)


def _slow_varint(value: int) -> bytes:
    if value < 128:
        return bytes([value])
    return bytes([value % 128 + 128]) + _slow_varint(value // 128)


def _slow_field(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + _slow_varint(len(value)) + value


def _slow_tree(chunks: list[bytes], width: int) -> str:
    """The whole tree in memory, level by level, straight from the specifications."""
    level: list[dict[str, Any]] = []
    for chunk in chunks:
        name = b"\x01\x55\x12\x20" + hashlib.sha256(chunk).digest()
        level.append({"cid": name, "file": len(chunk), "all": len(chunk)})
    while len(level) > 1:
        level = [_slow_node(level[at : at + width]) for at in range(0, len(level), width)]
    return "b" + base64.b32encode(level[0]["cid"]).decode().lower().replace("=", "")


def _slow_node(children: list[dict[str, Any]]) -> dict[str, Any]:
    links = b""
    unixfs = b"\x08\x02\x18" + _slow_varint(sum(child["file"] for child in children))
    for child in children:
        size = b"\x18" + _slow_varint(child["all"])
        links += _slow_field(0x12, _slow_field(0x0A, child["cid"]) + b"\x12\x00" + size)
        unixfs += b"\x20" + _slow_varint(child["file"])
    block = links + _slow_field(0x0A, unixfs)
    name = b"\x01\x70\x12\x20" + hashlib.sha256(block).digest()
    return {
        "cid": name,
        "file": sum(child["file"] for child in children),
        "all": len(block) + sum(child["all"] for child in children),
    }


class TestAgainstASlowTree:
    @settings(deadline=None)
    @given(data=st.binary(max_size=900), chunk=st.integers(1, 40), width=st.integers(2, 5))
    def test_builds_the_same_tree_of_any_shape(self, data: bytes, chunk: int, width: int) -> None:
        chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)] or [b""]
        with pytest.MonkeyPatch.context() as patch:
            # Small chunks and narrow nodes make deep trees of little data.
            patch.setattr(cid, "CHUNK_BYTES", chunk)
            patch.setattr(cid, "LINKS_A_NODE", width)
            assert cid_of_bytes(data) == _slow_tree(chunks, width)

    def test_gives_the_vectors_too(self) -> None:
        data = _Pattern(1_000_000).read()
        chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        assert _slow_tree(chunks, 174) == dict(VECTORS)[1_000_000]
