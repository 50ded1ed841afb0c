"""What the contracts should do, as plainly as it can be said: sets, dictionaries, no packing.

Every method either says with `Refused` why the contract must revert, or does what it should and
returns the `Transfer` events it must emit. Where several things are wrong with a call, any of their
messages will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

NOBODY = "0x" + "00" * 20
SINGLES = 1 << 32
OUTSIDE = 1 << 128
GROUP = 15
MAX_BATCH = 1228

Move = tuple[str, str, int]
"""Sender, receiver, token."""


class Refused(Exception):  # noqa: N818
    """The contract must revert with one of these messages."""

    def __init__(self, faults: set[str]) -> None:
        super().__init__(", ".join(sorted(faults)))
        self.faults = faults


def check(faults: dict[str, bool]) -> None:
    """
    Raises:
        Refused: some of these faults are there.
    """
    found = {message for message, is_there in faults.items() if is_there}
    if found:
        raise Refused(found)


def is_ascending(members: Sequence[str]) -> bool:
    """Whether addresses are strictly increasing from above zero."""
    return all(int(a, 16) < int(b, 16) for a, b in pairwise([NOBODY, *members]))


@dataclass(frozen=True)
class Signed:
    """What a permit says, and who signed it."""

    signer: str
    holder: str
    receiver: str
    token: int
    nonce: int
    is_expired: bool = False


@dataclass
class Tokens:
    """Who has what. A token that ended is there still, and nobody's."""

    owners: dict[int, str] = field(default_factory=dict)
    moves: dict[int, int] = field(default_factory=dict)

    def owner(self, token: int) -> str:
        return self.owners.get(token, NOBODY)

    def nonce(self, token: int) -> int:
        return self.moves.get(token, 0)

    def balance(self, account: str) -> int:
        return sum(owner == account for owner in self.owners.values())

    def living(self) -> list[int]:
        return sorted(token for token, owner in self.owners.items() if owner != NOBODY)

    def give(self, members: Sequence[str], tokens: Sequence[int]) -> list[Move]:
        assert not self.owners.keys() & set(tokens), "A token is given twice."
        self.owners.update(zip(tokens, members, strict=True))
        return [(NOBODY, member, token) for token, member in zip(tokens, members, strict=True)]

    def move(self, token: int, receiver: str) -> list[Move]:
        before = self.owners[token]
        self.owners[token] = receiver
        self.moves[token] = self.nonce(token) + 1
        return [(before, receiver, token)]

    def agrees(self, permit: Signed, token: int, receiver: str) -> bool:
        return (
            permit.signer == permit.holder == self.owner(token)
            and permit.receiver == receiver
            and permit.token == token
            and permit.nonce == self.nonce(token)
        )


@dataclass
class Registry(Tokens):
    """`MembershipPass`."""

    issuer: str = NOBODY
    minter: str = NOBODY
    batches: list[list[str]] = field(default_factory=list)
    singles: int = 0
    changed: set[int] = field(default_factory=set)

    def issue(self, by: str, batch: int, members: Sequence[str]) -> list[Move]:
        check(
            {
                "pass: not a minter": by != self.minter,
                "pass: batch exists": batch < len(self.batches),
                "pass: not the next batch": batch > len(self.batches),
                "pass: not ascending": not is_ascending(members),
            }
        )
        self.batches.append(list(members))
        return self.give(members, [batch << 16 | index for index in range(len(members))])

    def issue_one(self, by: str, number: int, member: str) -> list[Move]:
        check(
            {
                "pass: not a minter": by != self.minter,
                "pass: zero address": member == NOBODY,
                "pass: pass exists": number < self.singles,
                "pass: not the next pass": number > self.singles,
            }
        )
        self.singles += 1
        return self.give([member], [SINGLES | number])

    def reissue(self, by: str, token: int, receiver: str, permit: Signed) -> list[Move]:
        check(
            {
                "roles: not the owner": by not in (self.issuer, self.minter),
                "pass: zero address": receiver == NOBODY,
                "pass: permit expired": permit.is_expired,
                "pass: no such pass": self.owner(token) == NOBODY,
                "pass: permit invalid": not self.agrees(permit, token, receiver),
            }
        )
        return self._change(token, receiver)

    def recover(self, by: str, token: int, receiver: str) -> list[Move]:
        check({"pass: zero address": receiver == NOBODY} | self._owners_faults(by, token))
        return self._change(token, receiver)

    def revoke(self, by: str, token: int) -> list[Move]:
        check(self._owners_faults(by, token))
        return self._change(token, NOBODY)

    def burn(self, by: str, token: int) -> list[Move]:
        owner = self.owner(token)
        check({"pass: no such pass": owner == NOBODY, "pass: not the holder": by != owner})
        return self._change(token, NOBODY)

    def pass_of(self, account: str) -> int | None:
        """The first of the batches as issued, then of the singles, then of those received."""
        has = sorted(token for token, owner in self.owners.items() if owner == account)
        order = (
            [token for token in has if token < SINGLES and token not in self.changed],
            [token for token in has if token >= SINGLES],
            [token for token in has if token in self.changed],
        )
        return next((token for kind in order for token in kind), None)

    def _owners_faults(self, by: str, token: int) -> dict[str, bool]:
        return {
            "roles: not the owner": by != self.issuer,
            "pass: no such pass": self.owner(token) == NOBODY,
        }

    def _change(self, token: int, receiver: str) -> list[Move]:
        if token < SINGLES:
            self.changed.add(token)
        return self.move(token, receiver)


@dataclass
class Asset(Tokens):
    """`DigitalAsset`.

    Attributes:
        data: of a round and fifteen batches, the number of the data contract they share.
        directory: what of a round and batch is not in storage: "whole", "data" or "list".
    """

    registry: Registry = field(default_factory=Registry)
    soulbound: bool = False
    max_supply: int = 0
    rounds: int = 0
    contracts: int = 0
    claimed: set[tuple[int, int]] = field(default_factory=set)
    data: dict[tuple[int, int], int] = field(default_factory=dict)
    directory: dict[tuple[int, int], str] = field(default_factory=dict)
    approved: dict[int, str] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)

    @property
    def burned(self) -> int:
        return sum(owner == NOBODY for owner in self.owners.values())

    def drop(
        self, by: str, round: int, parts: Sequence[tuple[int, frozenset[int]]], nonce: int
    ) -> list[Move]:
        directory, data, makes = dict(self.directory), dict(self.data), False
        faults = {"asset: lengths": not parts} | self._common_faults(by, round, parts)
        given: set[tuple[int, int]] = set()
        here: set[int] = set()
        for batch, places in parts:
            named = {(batch, place) for place in places}
            faults["asset: already dropped"] |= bool(given & named) or batch in here
            given |= named
            faults["asset: no bits"] = faults.get("asset: no bits", False) or not places
            group = round, batch // GROUP
            if (round, batch) in directory:
                faults["asset: already dropped"] |= directory[round, batch] == "whole"
                continue
            if len(places) == self._size(batch):
                directory[round, batch] = "whole"
            elif nonce != 0 and data.get(group, nonce) == nonce:
                directory[round, batch], data[group], makes = "data", nonce, True
                here.add(batch)
        is_wrong = faults["asset: wrong nonce"] = makes and nonce != self.contracts + 1
        # the bits of an earlier data contract may end before those of this batch would
        faults[""] = is_wrong and nonce <= self.contracts and len(dict(parts)) != len(parts)
        check(faults)
        self.directory, self.data = directory, data
        self.contracts += makes
        return self._dropped(round, parts)

    def drop_lists(
        self, by: str, round: int, parts: Sequence[tuple[int, Sequence[int]]], nonce: int
    ) -> list[Move]:
        sets = [(batch, frozenset(places)) for batch, places in parts]
        faults = {"asset: lengths": not parts} | self._common_faults(by, round, sets)
        groups = [batch // GROUP for batch, _ in parts]
        runs = [group for place, group in enumerate(groups) if groups[place - 1 : place] != [group]]
        batches = [batch for batch, _ in parts]
        faults["asset: wrong nonce"] = nonce != self.contracts + 1
        faults["asset: not ascending"] = any(
            not places or any(a >= b for a, b in pairwise(places)) for _, places in parts
        )
        faults["asset: group has data"] = len(set(runs)) != len(runs) or any(
            (round, group) in self.data for group in groups
        )
        faults["asset: already dropped"] |= len(set(batches)) != len(batches) or any(
            (round, batch) in self.directory for batch in batches
        )
        check(faults)
        self.contracts += 1
        for batch in batches:
            self.directory[round, batch], self.data[round, batch // GROUP] = "list", nonce
        return self._dropped(round, sets)

    def mint(self, by: str, nonce: int, members: Sequence[str]) -> list[Move]:
        check(
            {
                "asset: not a minter": by != self.registry.minter,
                "asset: wrong nonce": nonce != self.contracts + 1,
                "asset: not ascending": not is_ascending(members),
                "asset: above the maximum supply": self._is_above(len(members)),
            }
        )
        self.contracts += 1
        return self.give(members, [OUTSIDE | nonce << 16 | i for i in range(len(members))])

    def transfer(self, by: str, sender: str, receiver: str, token: int) -> list[Move]:
        owner = self.owner(token)
        check(
            {
                "asset: soulbound": self.soulbound,
                "asset: no such token": owner == NOBODY,
                "asset: not the owner": sender != owner,
                "asset: not allowed": by not in (sender, self.approved.get(token))
                and (sender, by) not in self.operators,
                "asset: zero address": receiver == NOBODY,
            }
        )
        return self._moved(token, receiver)

    def transfer_with_permit(
        self, sender: str, receiver: str, token: int, permit: Signed
    ) -> list[Move]:
        faults = self._permit_faults(token, receiver, permit)
        faults["asset: soulbound"] = self.soulbound
        faults["asset: not the owner"] = sender != self.owner(token)
        check(faults)
        return self._moved(token, receiver)

    def reissue(self, by: str, token: int, receiver: str, permit: Signed) -> list[Move]:
        faults = {
            "roles: not the owner": by not in (self.registry.issuer, self.registry.minter),
            "asset: not soulbound": not self.soulbound,
        }
        check(faults | self._permit_faults(token, receiver, permit))
        return self._moved(token, receiver)

    def approve(self, by: str, approved: str, token: int) -> list[Move]:
        owner = self.owner(token)
        check(
            {
                "asset: soulbound": self.soulbound,
                "asset: no such token": owner == NOBODY,
                "asset: not allowed": by != owner and (owner, by) not in self.operators,
            }
        )
        self.approved[token] = approved
        return []

    def set_operator(self, by: str, operator: str, allowed: bool) -> list[Move]:
        check({"asset: soulbound": self.soulbound})
        (self.operators.add if allowed else self.operators.discard)((by, operator))
        return []

    def burn(self, by: str, token: int) -> list[Move]:
        owner = self.owner(token)
        check({"asset: no such token": owner == NOBODY, "asset: not the owner": by != owner})
        return self._moved(token, NOBODY)

    def revoke(self, by: str, token: int) -> list[Move]:
        """Soulbound editions of the tests are revocable."""
        check(
            {
                "roles: not the owner": by != self.registry.issuer,
                "asset: not revocable": not self.soulbound,
                "asset: no such token": self.owner(token) == NOBODY,
            }
        )
        return self._moved(token, NOBODY)

    def lower(self, by: str, supply: int) -> list[Move]:
        is_lower = supply != 0 and (self.max_supply == 0 or supply < self.max_supply)
        check(
            {
                "roles: not the owner": by != self.registry.issuer,
                "asset: not lower, or more minted": not is_lower or len(self.owners) > supply,
            }
        )
        self.max_supply = supply
        return []

    def _common_faults(
        self, by: str, round: int, parts: Sequence[tuple[int, frozenset[int]]]
    ) -> dict[str, bool]:
        named = [(batch, place) for batch, places in parts for place in places]
        passes = {batch << 16 | place for batch, place in named}
        return {
            "asset: not a minter": by != self.registry.minter,
            "asset: no such batch": any(self._size(batch) == 0 for batch, _ in parts),
            "asset: beyond the batch": any(p >= self._size(b) for b, p in named),
            "asset: pass changed": bool(passes & self.registry.changed),
            "asset: already dropped": any((round, it) in self.claimed for it in passes),
            "asset: round skipped": round > self.rounds,
            "asset: above the maximum supply": self._is_above(len(named)),
        }

    def _permit_faults(self, token: int, receiver: str, permit: Signed) -> dict[str, bool]:
        return {
            "asset: permit expired": permit.is_expired,
            "asset: no such token": self.owner(token) == NOBODY,
            "asset: permit invalid": not self.agrees(permit, token, receiver),
            "asset: zero address": receiver == NOBODY,
        }

    def _is_above(self, more: int) -> bool:
        return self.max_supply != 0 and len(self.owners) + more > self.max_supply

    def _size(self, batch: int) -> int:
        return len(self.registry.batches[batch]) if batch < len(self.registry.batches) else 0

    def _dropped(self, round: int, parts: Sequence[tuple[int, frozenset[int]]]) -> list[Move]:
        self.rounds = max(self.rounds, round + 1)
        passes = [batch << 16 | place for batch, places in parts for place in sorted(places)]
        self.claimed |= {(round, it) for it in passes}
        members = [self.registry.batches[it >> 16][it & 65535] for it in passes]
        return self.give(members, [round << 32 | it for it in passes])

    def _moved(self, token: int, receiver: str) -> list[Move]:
        self.approved.pop(token, None)
        return self.move(token, receiver)
