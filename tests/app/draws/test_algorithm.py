"""The algorithm against its description: numbers, boxes, trees, winners, and its test vectors."""

import json
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draws import algorithm
from app.draws.algorithm import NO_NONCE, Mode, Opening, Params, ParamsError
from tests.app.draws import independent
from tests.app.draws.made import DRAW_AT, SEED, VECTORS, some

CHI_SQUARED_999 = {1: 10.828, 2: 13.816, 3: 16.266, 9: 27.877, 19: 43.820}
"""The value that a sound draw exceeds once in a thousand times, by degrees of freedom."""


def chi_squared(counts: Counter[int], expected: dict[int, float]) -> float:
    """Pearson's statistic."""
    return sum((counts[cell] - wanted) ** 2 / wanted for cell, wanted in expected.items())


class TestCanonical:
    @pytest.mark.parametrize(
        ("value", "spelled"),
        [
            ({"b": 1, "a": None}, b'{"a":null,"b":1}'),
            ({"z": [True, False], "A": "é€😀"}, '{"A":"é€😀","z":[true,false]}'.encode()),
            ('"\\/\b\f\n\r\t\x0f\x7f', b'"\\"\\\\/\\b\\f\\n\\r\\t\\u000f\x7f"'),
            (-(2**53) + 1, b"-9007199254740991"),
        ],
    )
    def test_spells_as_rfc_8785_says(self, value: object, spelled: bytes) -> None:
        assert algorithm.canonical(value) == spelled

    @pytest.mark.parametrize("value", [1.5, 2**53, {"é": 1}, {1: 2}, b"", [{"a": [0.0]}], "\ud800"])
    def test_refuses_what_other_readers_would_spell_otherwise(self, value: object) -> None:
        with pytest.raises(ValueError):
            algorithm.canonical(value)


class TestParams:
    INSTANT = Params(Mode.INSTANT, (("a", 2), ("b", 3)), 9, "cmp_1")
    RAFFLE = Params(Mode.RAFFLE, (("a", 2),), None, None, DRAW_AT, 1, 2, "eip155:1")

    @pytest.mark.parametrize("params", [INSTANT, RAFFLE])
    def test_are_read_as_they_were_written(self, params: Params) -> None:
        assert Params.read(params.document()) == params

    def test_name_everything_that_is_promised(self) -> None:
        assert self.INSTANT.document() == (
            b'{"algorithm":"draw-v1","beacon":null,"boxes":9,"campaignId":"cmp_1","drawAt":null,'
            b'"lines":[{"id":"a","quantity":2},{"id":"b","quantity":3}],"maxWinsPerUser":null,'
            b'"mode":"instant","reserves":null}'
        )

    @pytest.mark.parametrize("params", [INSTANT, RAFFLE])
    def test_one_changed_byte_is_another_commitment_or_no_params(self, params: Params) -> None:
        document = params.document()
        committed = algorithm.commitment(document, SEED)
        for place in range(len(document)):
            changed = bytearray(document)
            changed[place] ^= 1
            assert algorithm.commitment(bytes(changed), SEED) != committed

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"[]",
            b"null",
            b"[" * 5000,
            INSTANT.document() + b"\n",
            INSTANT.document().replace(b"draw-v1", b"draw-v2"),
            INSTANT.document().replace(b'"boxes":9', b'"boxes":9.0'),
            INSTANT.document().replace(b'"boxes":9', b'"boxes":4'),
            INSTANT.document().replace(b'"quantity":2', b'"quantity":true'),
            INSTANT.document().replace(b'"quantity":2', b'"quantity":0'),
            INSTANT.document().replace(b'"id":"b"', b'"id":"a"'),
            INSTANT.document().replace(b'"drawAt":null', b'"drawAt":"2026-07-01T18:00:00Z"'),
            RAFFLE.document().replace(b"07-01T", b"02-30T"),
            RAFFLE.document().replace(b"18:00:00Z", b"18:00Z"),
            RAFFLE.document().replace(b'"maxWinsPerUser":1', b'"maxWinsPerUser":null'),
            RAFFLE.document().replace(b'"reserves":2', b'"reserves":-1'),
            RAFFLE.document().replace(b"eip155:1", b"eip155:01"),
            RAFFLE.document().replace(b'"mode":"raffle"', b'"mode":"lottery"'),
        ],
    )
    def test_of_no_draw_are_refused(self, document: bytes) -> None:
        with pytest.raises(ParamsError):
            Params.read(document)


class TestUniform:
    def test_passes_over_words_in_the_incomplete_stretch(self) -> None:
        limit = 2**64 // 10 * 10
        assert algorithm.uniform(iter([limit, 2**64 - 1, limit - 1]), 10) == 9
        assert algorithm.uniform(iter([limit - 10, 3]), 10) == 0

    @pytest.mark.parametrize("size", [1, 2, 2**32, 2**64])
    def test_a_power_of_two_wastes_nothing(self, size: int) -> None:
        assert algorithm.uniform(iter([2**64 - 1, 0]), size) == (2**64 - 1) % size

    def test_half_of_the_words_are_passed_over_where_it_is_worst(self) -> None:
        size = 2**63 + 1
        words = list(islice(algorithm.words(SEED, b"worst"), 64))
        accepted = [word for word in words if word < size]
        assert 16 < len(accepted) < 48
        numbers = iter(words)
        assert [algorithm.uniform(numbers, size) for _ in accepted] == accepted

    def test_asks_for_another_block_when_four_words_are_not_enough(self) -> None:
        def needs_a_fifth() -> Iterator[bytes]:
            for number in range(10_000):
                key = some(number, 32, "key")
                if all(word >= 2**63 + 1 for word in islice(algorithm.words(key, b""), 4)):
                    yield key

        key = next(needs_a_fifth())
        mine = algorithm.uniform(algorithm.words(key, b""), 2**63 + 1)
        assert mine == independent.uniform(key, b"", 2**63 + 1)

    @given(st.binary(min_size=1, max_size=40), st.binary(max_size=40), st.integers(1, 2**64))
    def test_agrees_with_the_second_reading(self, key: bytes, message: bytes, size: int) -> None:
        mine = algorithm.uniform(algorithm.words(key, message), size)
        assert 0 <= mine < size
        assert mine == independent.uniform(key, message, size)


def open_all(seed: bytes, quantities: list[int], ids: list[bytes]) -> list[int | None]:
    """The outcomes of boxes opened in this order."""
    left, found = list(quantities), []
    for number, box in enumerate(ids, 1):
        opening = Opening(box, some(number, 32, "nonce"), number)
        line = algorithm.outcome(seed, opening, boxes=len(ids), left=left)
        if line is not None:
            left[line] -= 1
        found.append(line)
    return found


class TestBoxes:
    @given(
        st.lists(st.integers(1, 12), min_size=1, max_size=10),
        st.integers(0, 30),
        st.binary(min_size=32, max_size=32),
        st.randoms(use_true_random=False),
    )
    def test_every_prize_is_won_whatever_the_order(
        self, quantities: list[int], blanks: int, seed: bytes, order: object
    ) -> None:
        ids = [some(number, 16) for number in range(sum(quantities) + blanks)]
        order.shuffle(ids)  # type: ignore[attr-defined]
        won = Counter(open_all(seed, quantities, ids))
        assert [won[line] for line in range(len(quantities))] == quantities
        assert won[None] == blanks

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=10), st.integers(0, 20))
    def test_agree_with_the_second_reading(self, quantities: list[int], blanks: int) -> None:
        ids = [some(number, 16) for number in range(sum(quantities) + blanks)]
        mine = open_all(SEED, quantities, ids)
        opened = [(box, some(number, 32, "nonce")) for number, box in enumerate(ids, 1)]
        lines = [(str(place), quantity) for place, quantity in enumerate(quantities)]
        theirs = independent.instant(SEED, lines, len(ids), opened)
        assert [None if line is None else str(line) for line in mine] == theirs

    @pytest.mark.parametrize("part", ["seed", "box", "nonce", "number"])
    def test_depend_on_every_part(self, part: str) -> None:
        """Each has ten outcomes that are as likely, so fifty different ones are never one."""
        found = set()
        for n in range(1, 51):
            seed = some(n, 32) if part == "seed" else SEED
            box = some(n, 16) if part == "box" else some(1, 16)
            nonce = some(n, 32, "nonce") if part == "nonce" else NO_NONCE
            opening = Opening(box, nonce, n if part == "number" else 1)
            found.add(algorithm.outcome(seed, opening, boxes=10**8, left=[10**7 - 10] * 10))
        assert len(found) > 5

    def test_a_slice_of_the_benchmark_is_not_rejected(self) -> None:
        """With a fixed seed; `make bench BENCH=draws` draws a million."""
        counts: Counter[int] = Counter()
        for draw in range(2_000):
            won = open_all(some(draw, 32), [1, 2], [some(n, 16, str(draw)) for n in range(10)])
            counts.update(place for place, line in enumerate(won) if line is not None)
        expected = dict.fromkeys(range(10), 2_000 * 3 / 10)
        assert chi_squared(counts, expected) < CHI_SQUARED_999[9]


class TestTree:
    def test_of_nothing_is_the_hash_of_nothing(self) -> None:
        assert algorithm.merkle_root([]) == sha256().digest()

    def test_has_the_roots_of_rfc_6962(self) -> None:
        """Its shape for three: the first two together, and then the third."""
        one, two, three = (algorithm.leaf(some(n, 16), n, some(n, 16, "t")) for n in (1, 2, 3))
        left = sha256(b"\1" + one + two).digest()
        assert algorithm.merkle_root([one, two, three]) == sha256(b"\1" + left + three).digest()

    @pytest.mark.parametrize("size", [*range(1, 34), 100, 257])
    def test_agrees_with_the_second_reading_and_proves_every_leaf(self, size: int) -> None:
        leaves = [some(number, 32) for number in range(size)]
        root = algorithm.merkle_root(leaves)
        assert root == independent.root(leaves)
        for index, leaf in enumerate(leaves):
            path = algorithm.merkle_path(leaves, index)
            assert algorithm.climb(leaf, path) == root
            assert algorithm.climb(some(index, 32, "other"), path) != root

    def test_a_node_is_no_leaf(self) -> None:
        one, two = some(1, 16), some(2, 16)
        assert algorithm.leaf(one, 1, two) != sha256(one + (1).to_bytes(8) + two).digest()


class TestShuffle:
    @given(st.binary(min_size=32, max_size=32), st.integers(0, 80))
    def test_holds_every_ticket_once(self, key: bytes, size: int) -> None:
        assert sorted(algorithm.shuffled(key, size)) == list(range(size))

    def test_a_slice_of_the_benchmark_is_not_rejected(self) -> None:
        firsts: Counter[int] = Counter()
        for number in range(4_000):
            firsts[next(algorithm.shuffled(some(number, 32, "key"), 20))] += 1
        assert chi_squared(firsts, dict.fromkeys(range(20), 200.0)) < CHI_SQUARED_999[19]


class TestWinners:
    @given(
        st.binary(min_size=32, max_size=32),
        st.lists(st.integers(0, 8), max_size=40),
        st.lists(st.integers(1, 4), min_size=1, max_size=4),
        st.integers(1, 3),
        st.integers(0, 4),
    )
    def test_agree_with_the_second_reading(
        self, seed: bytes, owners: list[int], quantities: list[int], most: int, reserves: int
    ) -> None:
        tickets = [
            (some(seq, 16, "ticket"), seq, some(owner, 16, "tag"))
            for seq, owner in enumerate(owners, 1)
        ]
        beacon = some(len(owners), 32, "beacon")
        root = algorithm.merkle_root([algorithm.leaf(*it) for it in tickets])
        assert root == independent.tickets_root(tickets)
        key = algorithm.draw_key(seed, root, beacon)
        places = sum(quantities) + reserves
        mine = algorithm.winners(key, [tag for _, _, tag in tickets], places=places, most=most)
        lines = [(str(place), number) for place, number in enumerate(quantities)]
        theirs = independent.raffle(seed, tickets, beacon, lines, most=most, reserves=reserves)
        assert [tickets[ticket][0] for ticket in mine] == [ticket for _, ticket in theirs]
        assert max(Counter(owners[ticket] for ticket in mine).values(), default=0) <= most

    def test_change_with_a_ticket_with_the_beacon_and_with_the_seed(self) -> None:
        keys = {
            algorithm.draw_key(seed, root, beacon)
            for seed in (SEED, some(1, 32))
            for root in (some(2, 32), some(3, 32))
            for beacon in (some(4, 32), algorithm.NO_BEACON)
        }
        assert len(keys) == 8


class TestVectors:
    """What is published in `docs/`, for those who write a verifier of their own."""

    vectors = json.loads(VECTORS.read_bytes())

    def test_commitments(self) -> None:
        for it in self.vectors["commitment"]:
            params, seed = it["params"].encode(), bytes.fromhex(it["serverSeed"])
            assert algorithm.commitment(params, seed).hex() == it["commitment"]
            assert independent.commitment(params, seed).hex() == it["commitment"]

    def test_uniform_numbers(self) -> None:
        for it in self.vectors["uniform"]:
            key, message = bytes.fromhex(it["key"]), bytes.fromhex(it["message"])
            size = int(it["n"])
            assert algorithm.uniform(algorithm.words(key, message), size) == int(it["result"])
            assert independent.uniform(key, message, size) == int(it["result"])
        assert any(it["rejected"] for it in self.vectors["uniform"])

    def test_openings(self) -> None:
        it = self.vectors["instant"]
        lines = [(line["id"], line["quantity"]) for line in json.loads(it["params"])["lines"]]
        opened = [
            (bytes.fromhex(row["boxId"]), bytes.fromhex(row["clientNonce"]))
            for row in it["openings"]
        ]
        found = independent.instant(
            bytes.fromhex(it["serverSeed"]), lines, json.loads(it["params"])["boxes"], opened
        )
        assert found == [row["outcome"] for row in it["openings"]]

    def test_raffles(self) -> None:
        it = self.vectors["raffle"]
        params = json.loads(it["params"])
        tickets = [
            (bytes.fromhex(row["ticketId"]), row["seq"], bytes.fromhex(row["tag"]))
            for row in it["tickets"]
        ]
        assert independent.tickets_root(tickets).hex() == it["ticketsRoot"]
        taken = independent.raffle(
            bytes.fromhex(it["serverSeed"]),
            tickets,
            bytes.fromhex(it["beacon"]),
            [(line["id"], line["quantity"]) for line in params["lines"]],
            most=params["maxWinsPerUser"],
            reserves=params["reserves"],
        )
        assert [[line, ticket.hex()] for line, ticket in taken] == it["places"]
