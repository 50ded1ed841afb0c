"""Chooses how a drop is sent: in which form, and cut into which transactions.

Pure: recipients in, calls out. Four forms reach a member of the registry: a mark for a whole
batch, bits or lists in a data contract, and bits in storage words; the contract takes marks, bits
and words in one call. Whichever costs least by `minting.costs` is chosen, a group of fifteen
batches at a time, because a group has one data contract a round.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from chain.bindings import digital_asset as binding
from core.types import Gas
from minting import costs
from minting.costs import Ground, PassPlaces

GAS_CEILING = Gas(15_000_000)
"""Planned gas of one transaction; the protocol's cap is 2^24 (EIP-7825)."""

_A_NONCE = 1
"""Stands for the nonce of the data contract, known when the plan is frozen; so does round 0."""


class Form(StrEnum):
    """Which function of the contract a call uses."""

    BITS = "bits"
    LISTS = "lists"


@dataclass(frozen=True)
class DropCall:
    """One transaction of a drop.

    Args:
        in_words: batches whose bits are kept in storage words.
        gas: the forecast.
    """

    form: Form
    parts: tuple[PassPlaces, ...]
    in_words: frozenset[int]
    gas: Gas

    @property
    def has_data(self) -> bool:
        """Whether it creates a data contract, and so takes a nonce of the contract."""
        is_kept = (not part.is_whole and part.number not in self.in_words for part in self.parts)
        return self.form is Form.LISTS or any(is_kept)

    def encode(self, round_number: int, nonce: int) -> bytes:
        """The calldata.

        Args:
            nonce: of the data contract, if it has one.
        """
        if self.form is Form.LISTS:
            places = [(part.number, part.places) for part in self.parts]
            return binding.encode_drop_lists(round=round_number, places=places, nonce=nonce)
        return binding.encode_drop(
            round=round_number,
            batches=[part.number for part in self.parts],
            bits=[binding.bitmap(part.places) for part in self.parts],
            nonce=nonce if self.has_data else 0,
        )


def plan_calls(
    parts: Iterable[PassPlaces], ground: Ground, *, ceiling: Gas = GAS_CEILING
) -> list[DropCall]:
    """The calls that drop one round to these members, cheapest form first found, in order.

    Args:
        parts: each batch once.
        ground: what the round finds on the chain.
        ceiling: gas of one transaction; a pass batch is in one, whatever it costs.
    """
    ordered = sorted(parts, key=lambda part: part.number)
    if not ordered:
        return []
    calls = _with_data(ordered, ground, ceiling)
    words = _in_words(ordered, ground, ceiling)
    if words is not None and words.gas < sum(call.gas for call in calls):
        return [words]
    return calls


def _with_data(parts: Sequence[PassPlaces], ground: Ground, ceiling: Gas) -> list[DropCall]:
    listed: list[PassPlaces] = []
    others: list[PassPlaces] = []
    for group, found in groupby(parts, key=lambda part: part.group):
        members = list(found)
        partial = [part for part in members if not part.is_whole]
        if group not in ground.used_groups and _is_cheaper_listed(partial, ground):
            listed += partial
            others += [part for part in members if part.is_whole]
        else:
            others += members
    calls = _cut(Form.BITS, others, ground, ceiling)
    marked = ground.used_groups | {part.group for part in others}
    after = replace(ground, is_first=ground.is_first and not calls, used_groups=marked)
    return calls + _cut(Form.LISTS, listed, after, ceiling)


def _is_cheaper_listed(partial: Sequence[PassPlaces], ground: Ground) -> bool:
    if not partial or any(len(part.places) > binding.MAX_LIST for part in partial):
        return False
    lists, bits = (_call(form, partial, ground) for form in (Form.LISTS, Form.BITS))
    return lists.gas < bits.gas


def _in_words(parts: Sequence[PassPlaces], ground: Ground, ceiling: Gas) -> DropCall | None:
    """Everything in one call without a data contract, if it fits."""
    if len(parts) > binding.MAX_BATCHES_A_CALL:
        return None
    numbers = frozenset(part.number for part in parts if not part.is_whole)
    call = _call(Form.BITS, parts, ground, in_words=numbers)
    return call if call.gas <= ceiling else None


def _cut(form: Form, parts: Sequence[PassPlaces], ground: Ground, ceiling: Gas) -> list[DropCall]:
    """Neighbours together as far as the limits go.

    A group that does not fit into one transaction has its data contract in the first; what is left
    of it is kept in words, as the contract does by itself.
    """
    calls: list[DropCall] = []
    used = set(ground.used_groups)
    rest = list(parts)
    while rest:
        now = replace(ground, is_first=ground.is_first and not calls, used_groups=frozenset(used))
        call = _longest(form, rest, now, ceiling)
        calls.append(call)
        rest = rest[len(call.parts) :]
        used |= {part.group for part in call.parts}
    return calls


def _longest(form: Form, parts: Sequence[PassPlaces], ground: Ground, ceiling: Gas) -> DropCall:
    """The first of these parts, as many as one transaction takes; one at least."""
    limit = binding.MAX_BATCHES_A_CALL if form is Form.BITS else binding.MAX_LISTED_BATCHES
    low, high = 1, min(limit, len(parts))
    while low < high:
        middle = (low + high + 1) // 2
        if _fits(form, parts[:middle], ground, ceiling):
            low = middle
        else:
            high = middle - 1
    if form is Form.LISTS:
        low = _at_a_group(parts, low)
    return _call(form, parts[:low], ground)


def _at_a_group(parts: Sequence[PassPlaces], count: int) -> int:
    """The largest number up to `count` that leaves no group of lists in two calls."""
    if count == len(parts):
        return count
    while count > 1 and parts[count - 1].group == parts[count].group:
        count -= 1
    return count


def _fits(form: Form, parts: Sequence[PassPlaces], ground: Ground, ceiling: Gas) -> bool:
    if form is Form.LISTS:
        size = len(parts) + 2 * sum(len(part.places) for part in parts)
        if size > binding.MAX_LISTS_SIZE:
            return False
    return _call(form, parts, ground).gas <= ceiling


def _call(
    form: Form,
    parts: Sequence[PassPlaces],
    ground: Ground,
    *,
    in_words: frozenset[int] | None = None,
) -> DropCall:
    if in_words is None:
        late = (part for part in parts if part.group in ground.used_groups and not part.is_whole)
        in_words = frozenset(part.number for part in late)
    call = DropCall(form, tuple(parts), in_words, Gas(0))
    calldata = call.encode(0, _A_NONCE)
    if form is Form.LISTS:
        return replace(call, gas=costs.lists_gas(calldata, parts, ground))
    return replace(call, gas=costs.bits_gas(calldata, parts, ground, in_words=in_words))
