"""A second reading of the algorithm, written from its description alone.

It shares no code with the product and goes about it in another way where there is one: whole lists
instead of generators, recursion instead of levels, a shuffled array instead of a dictionary.
"""

import hashlib
import hmac
import json
from typing import Any


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def uniform(key: bytes, message: bytes, size: int) -> int:
    block = 0
    while True:
        data = hmac.new(key, message + block.to_bytes(4, "big"), hashlib.sha256).digest()
        for start in range(0, 32, 8):
            word = int.from_bytes(data[start : start + 8], "big")
            if word < (2**64 // size) * size:
                return word % size
        block += 1


def commitment(params: bytes, seed: bytes) -> bytes:
    return sha(b"draw-v1/commit", b"\x00", sha(params), seed)


def instant(
    seed: bytes, lines: list[tuple[str, int]], boxes: int, opened: list[tuple[bytes, bytes]]
) -> list[str | None]:
    """The outcome of each opening; `opened` are box ids and nonces, in order."""
    pool: list[str | None] = [name for name, quantity in lines for _ in range(quantity)]
    pool += [None] * (boxes - len(pool))
    outcomes = []
    for k, (box, nonce) in enumerate(opened, 1):
        message = b"draw-v1/open" + b"\x00" + box + nonce + k.to_bytes(8, "big")
        # What is left stands in line order, then "no reward": the number is its place there.
        outcomes.append(pool.pop(uniform(seed, message, len(pool))))
    return outcomes


def log(end: bytes, openings: list[dict[str, Any]]) -> list[str]:
    """The hash of the log after each opening; `end` is the commitment, before the first."""
    hashes = []
    for it in openings:
        entry = {name: it[name] for name in ("boxId", "clientNonce", "flag", "k", "outcome")}
        spelled = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        end = sha(b"draw-v1/log", b"\x00", end, sha(spelled))
        hashes.append(end.hex())
    return hashes


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha(b"\x01", root(leaves[:split]), root(leaves[split:]))


def tickets_root(tickets: list[tuple[bytes, int, bytes]]) -> bytes:
    """`tickets` are id, number and tag."""
    return root([sha(b"\x00", ticket, seq.to_bytes(8, "big"), tag) for ticket, seq, tag in tickets])


def raffle(
    seed: bytes,
    tickets: list[tuple[bytes, int, bytes]],
    beacon: bytes,
    lines: list[tuple[str, int]],
    *,
    most: int,
    reserves: int,
) -> list[tuple[str | None, bytes]]:
    """Line and ticket of every place; reserves have no line."""
    message = b"draw-v1/raffle" + b"\x00" + tickets_root(tickets) + beacon
    key = hmac.new(seed, message, hashlib.sha256).digest()
    order = list(range(len(tickets)))
    for i in range(len(order)):
        j = i + uniform(key, i.to_bytes(8, "big"), len(order) - i)
        order[i], order[j] = order[j], order[i]
    prizes: list[str | None] = [name for name, quantity in lines for _ in range(quantity)]
    free = prizes + [None] * reserves
    held: dict[bytes, int] = {}
    taken: list[tuple[str | None, bytes]] = []
    for index in order:
        ticket, _, tag = tickets[index]
        if len(taken) < len(free) and held.get(tag, 0) < most:
            held[tag] = held.get(tag, 0) + 1
            taken.append((free[len(taken)], ticket))
    return taken
