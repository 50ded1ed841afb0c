"""Batches and events beside each other: recipients without an event, events without a recipient.

A batch that has a final transaction is known by the hash of the bytes that were mined; its
recipients are the rows of passes and tokens that name it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, LargeBinary, func, select, type_coerce
from sqlalchemy.orm import Session

from chain.bindings.digital_asset import outside_token_id
from chain.discrepancies import DIFFERENT, FOREIGN, Finding
from chain.models import Attempt, Outcome, Rule, Transaction
from chain.ranges import Place
from chain.witnesses import Move
from minting.models import (
    Batch,
    BatchState,
    MembershipPass,
    PassState,
    Plan,
    PlanKind,
    Token,
    TokenState,
)
from wallets.addresses import to_checksum

_NAMED = 3
"""Tokens named in a sentence; the others are counted."""

_UNTOLD_TOKENS = (TokenState.QUEUED, TokenState.MINTING)
_UNTOLD_PASSES = (PassState.QUEUED, PassState.MINTING)


@dataclass(frozen=True)
class Delivered:
    """A batch whose transaction is final and succeeded."""

    batch: Batch
    kind: PlanKind
    block_number: int
    block_hash: bytes


class _Recipient(NamedTuple):
    """Who has a token by the tables, and whether the row says that it was delivered."""

    owner: bytes
    is_told: bool


class _Difference(NamedTuple):
    rule: Rule
    expected: str
    found: str
    severity: int = DIFFERENT


def is_of(place: Place) -> tuple[ColumnElement[bool], ...]:
    """Batches that mint in this contract."""
    return (
        Plan.chain_id == place.chain_id,
        Plan.contract == place.contract,
        Plan.kind.in_((PlanKind.PASSES, PlanKind.DROP)),
    )


def delivered(session: Session, place: Place, first: int, last: int) -> dict[bytes, Delivered]:
    """The contract's batches whose final transactions are in these blocks, by transaction hash."""
    rows = session.execute(
        select(Transaction, Batch, Plan.kind)
        .join(Batch, Batch.id == Transaction.batch_id)
        .join(Plan, Plan.id == Batch.plan_id)
        .where(
            *is_of(place),
            Transaction.outcome == Outcome.SUCCESS,
            Transaction.block_number.between(first, last),
        )
        .order_by(Transaction.block_number)
    )
    return {
        row.mined_hash or b"": Delivered(batch, kind, row.block_number or 0, row.block_hash or b"")
        for row, batch, kind in rows
    }


def compare(
    session: Session, batches: Mapping[bytes, Delivered], events: Iterable[Move]
) -> list[Finding]:
    """What differs between these batches and these events: at most one finding a rule and call."""
    there: dict[bytes, list[Move]] = defaultdict(list)
    for move in events:
        there[move.tx_hash].append(move)
    findings = [
        finding
        for tx_hash, batch in batches.items()
        for finding in _findings(
            tx_hash, batch.block_number, list(_differences(session, batch, there.get(tx_hash, [])))
        )
    ]
    for tx_hash, moves in there.items():
        if tx_hash not in batches:
            difference = _unknown(session, tx_hash, moves)
            findings += _findings(tx_hash, moves[0].block_number, [difference])
    return findings


def _findings(tx_hash: bytes, block: int, differences: Sequence[_Difference]) -> Iterator[Finding]:
    for rule in dict.fromkeys(difference.rule for difference in differences):
        some = [difference for difference in differences if difference.rule is rule]
        yield Finding(
            rule,
            "0x" + tx_hash.hex(),
            "; ".join(dict.fromkeys(difference.expected for difference in some)),
            "; ".join(difference.found for difference in some),
            min(difference.severity for difference in some),
            block,
        )


def _differences(
    session: Session, batch: Delivered, moves: Sequence[Move]
) -> Iterator[_Difference]:
    recipients = _recipients(session, batch)
    yield from _untold(batch, recipients)
    yield from _missing(recipients, moves)
    yield from _misplaced(batch, moves)
    yield from _strange(recipients, moves)
    planned = batch.batch.recipient_count
    if not planned == len(recipients) == len(moves):
        expected = f"{planned} recipients in the frozen batch and {len(recipients)} rows"
        yield _Difference(Rule.TOTALS, expected, f"{len(moves)} events")


def _untold(batch: Delivered, recipients: Mapping[int, _Recipient]) -> Iterator[_Difference]:
    """The chain delivered, but the tables say that it has not."""
    if batch.batch.state is not BatchState.FINAL:
        yield _Difference(Rule.BACKWARD, f"its batch is {batch.batch.state}", "it was delivered")
        return
    untold = [token for token, recipient in recipients.items() if not recipient.is_told]
    if untold:
        yield _Difference(Rule.BACKWARD, f"{_named(untold)} on the way", "delivered")


def _missing(recipients: Mapping[int, _Recipient], moves: Sequence[Move]) -> Iterator[_Difference]:
    made = {move.token_id for move in moves}
    missing = [token for token in recipients if token not in made]
    if missing:
        yield _Difference(Rule.FORWARD, f"it delivered {_named(missing)}", "no such event")


def _misplaced(batch: Delivered, moves: Sequence[Move]) -> Iterator[_Difference]:
    if moves and moves[0].block_hash != batch.block_hash:
        expected = f"it is in block {batch.block_number}, 0x{batch.block_hash.hex()}"
        found = f"it is in block {moves[0].block_number}, 0x{moves[0].block_hash.hex()}"
        yield _Difference(Rule.FORWARD, expected, found)


def _strange(recipients: Mapping[int, _Recipient], moves: Sequence[Move]) -> Iterator[_Difference]:
    """Events that no recipient of the batch stands for: another token, another owner, a repeat."""
    unknown = [move.token_id for move in moves if move.token_id not in recipients]
    if unknown:
        expected = f"{len(recipients)} recipients"
        yield _Difference(Rule.BACKWARD, expected, f"also {_named(unknown)}", FOREIGN)
    wrong = [
        move
        for move in moves
        if move.token_id in recipients and recipients[move.token_id].owner != move.receiver
    ]
    for move in wrong[:_NAMED]:
        owner = to_checksum(recipients[move.token_id].owner)
        expected = f"token {move.token_id} went to {owner}"
        yield _Difference(Rule.BACKWARD, expected, f"it went to {to_checksum(move.receiver)}")
    if len(moves) > len({move.token_id for move in moves}):
        yield _Difference(Rule.BACKWARD, "every token once", "a token twice")


def _unknown(session: Session, tx_hash: bytes, moves: Sequence[Move]) -> _Difference:
    """Events of no final batch: of one on its way, or of a stranger."""
    found = f"it made {_named([move.token_id for move in moves])}"
    row = session.scalar(select(Transaction).join(Attempt).where(Attempt.tx_hash == tx_hash))
    if row is None:
        return _Difference(Rule.BACKWARD, "no such transaction", found, FOREIGN)
    said = f"this transaction is {row.outcome or row.state}, in block {row.block_number}"
    return _Difference(Rule.BACKWARD, said, f"{found} in block {moves[0].block_number}")


def _named(tokens: Sequence[int]) -> str:
    """`token 7`, or the first few of many."""
    if len(tokens) == 1:
        return f"token {tokens[0]}"
    some = ", ".join(str(token) for token in tokens[:_NAMED])
    rest = f" and {len(tokens) - _NAMED} more" if len(tokens) > _NAMED else ""
    return f"{len(tokens)} tokens ({some}{rest})"


def _recipients(session: Session, batch: Delivered) -> dict[int, _Recipient]:
    """The tokens of the batch by the tables, in no order."""
    if batch.kind is PlanKind.PASSES:
        return _passes(session, batch)
    rows = session.execute(
        select(
            *(Token.round, Token.pass_number, Token.mint_nonce, Token.mint_index, Token.state),
            type_coerce(func.coalesce(Token.address, MembershipPass.address), LargeBinary),
        )
        .outerjoin(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(Token.batch_id == batch.batch.id)
    )
    return {
        _token_id(number, pass_number, nonce, index): _Recipient(owner, state not in _UNTOLD_TOKENS)
        for number, pass_number, nonce, index, state, owner in rows
    }


def _token_id(
    number: int | None, pass_number: int | None, nonce: int | None, index: int | None
) -> int:
    if nonce is not None and index is not None:
        return outside_token_id(nonce, index)
    return (number or 0) << 32 | (pass_number or 0)


def _passes(session: Session, batch: Delivered) -> dict[int, _Recipient]:
    rows = session.execute(
        select(
            *(MembershipPass.batch_number, MembershipPass.index, MembershipPass.state),
            type_coerce(MembershipPass.address, LargeBinary),
        ).where(MembershipPass.batch_id == batch.batch.id)
    )
    return {
        (number or 0) << 16 | (index or 0): _Recipient(owner, state not in _UNTOLD_PASSES)
        for number, index, state, owner in rows
    }
