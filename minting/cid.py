"""Content identifiers, computed offline: the name of a file is a hash of its bytes.

The tree is the one a Kubo node builds with `cid-version=1&raw-leaves=true&chunker=size-262144`:
256 KiB raw leaves, at most 174 links a node, all leaves equally deep, sha2-256, base32. So every
node in the world that stores the same bytes knows them by the same name.

References:
    CID: https://github.com/multiformats/cid (version 1).
    DAG-PB: https://ipld.io/specs/codecs/dag-pb/spec/ (links before data, in this order).
    UnixFS: https://specs.ipfs.tech/unixfs/ (file nodes, `filesize` and `blocksizes`).
"""

import base64
import binascii
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 262_144
LINKS_A_NODE = 174

_RAW = 0x55
_DAG_PB = 0x70
_SHA2_256 = b"\x12\x20"
_UNIXFS_FILE = b"\x08\x02"
_TEXT_LENGTH = 59
_LENGTH_DELIMITED = 2


@dataclass(frozen=True)
class _Link:
    """A block as its parent sees it; sizes in bytes."""

    cid: bytes
    content_size: int
    """Bytes of the file below this block."""
    dag_size: int
    """Bytes of this block and of all blocks below it."""


def cid_of_bytes(data: bytes) -> str:
    """The CIDv1 of a file with these bytes."""
    return cid_of_stream(io.BytesIO(data))


def cid_of_file(path: Path) -> str:
    """The CIDv1 of the file, read in constant memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return cid_of_stream(stream)


def cid_of_stream(stream: BinaryIO) -> str:
    """The CIDv1 of everything the stream still holds, read in constant memory."""
    levels: list[list[_Link]] = [[]]
    for leaf in _leaves(stream):
        _append(levels, 0, leaf)
    return _text(_root(levels).cid)


def is_cid(text: str) -> bool:
    """True for what this module writes, and for nothing that merely looks like it.

    A name that passes has 59 characters of `a-z2-7`, so it is safe inside a path.
    """
    if len(text) != _TEXT_LENGTH or not text.startswith("b"):
        return False
    try:
        raw = base64.b32decode(text[1:].upper() + "======")
    except (binascii.Error, ValueError):
        return False
    known = (_prefix(_RAW), _prefix(_DAG_PB))
    return raw.startswith(known) and _text(raw) == text


def _leaves(stream: BinaryIO) -> Iterator[_Link]:
    """One link a chunk; an empty stream is one empty leaf."""
    chunk = _read_chunk(stream)
    while True:
        yield _Link(_cid(_RAW, chunk), len(chunk), len(chunk))
        chunk = _read_chunk(stream)
        if not chunk:
            return


def _read_chunk(stream: BinaryIO) -> bytes:
    """Exactly one chunk, or what is left: a pipe may hand over less than it was asked for."""
    parts: list[bytes] = []
    missing = CHUNK_BYTES
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _append(levels: list[list[_Link]], height: int, link: _Link) -> None:
    """Add a link; a level that was full first becomes one node of the level above.

    A full level stays open until the next link arrives: alone at the top, it is the root.
    """
    if height == len(levels):
        levels.append([])
    if len(levels[height]) == LINKS_A_NODE:
        full, levels[height] = levels[height], []
        _append(levels, height + 1, _node(full))
    levels[height].append(link)


def _root(levels: list[list[_Link]]) -> _Link:
    """Close all levels from the leaves up: every leaf ends equally deep."""
    height = 0
    while height + 1 < len(levels) or len(levels[height]) > 1:
        _append(levels, height + 1, _node(levels[height]))
        height += 1
    return levels[height][0]


def _node(links: list[_Link]) -> _Link:
    sizes = b"".join(b"\x20" + _varint(link.content_size) for link in links)
    content_size = sum(link.content_size for link in links)
    unixfs = _UNIXFS_FILE + b"\x18" + _varint(content_size) + sizes
    block = b"".join(_field(2, _pb_link(link)) for link in links) + _field(1, unixfs)
    dag_size = len(block) + sum(link.dag_size for link in links)
    return _Link(_cid(_DAG_PB, block), content_size, dag_size)


def _pb_link(link: _Link) -> bytes:
    """Hash, empty name, size: Kubo writes the empty name, so it is part of the hash."""
    return _field(1, link.cid) + _field(2, b"") + b"\x18" + _varint(link.dag_size)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _prefix(codec: int) -> bytes:
    return bytes((1, codec)) + _SHA2_256


def _cid(codec: int, block: bytes) -> bytes:
    return _prefix(codec) + hashlib.sha256(block).digest()


def _text(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode("ascii").rstrip("=").lower()
