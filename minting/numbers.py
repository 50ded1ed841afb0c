"""The number of a membership pass, as people see it and as tables keep it."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, case, cast, func

SINGLES = 1 << 16
"""Batch numbers from here hold passes that were issued alone, so that every pass id is
`batch number << 16 | index`; the contract numbers them `1 << 32 | n`."""

_LONGEST_NUMBER = 11


def pass_number(batch_number: int, index: int) -> str:
    """The number people see: `12-0345` for a place in a batch, `S-0007` for a pass issued alone."""
    if batch_number < SINGLES:
        return f"{batch_number}-{index:04d}"
    return f"S-{(batch_number - SINGLES) << 16 | index:04d}"


def sql_pass_number(
    batch_number: ColumnElement[int | None], index: ColumnElement[int | None]
) -> ColumnElement[str]:
    """`pass_number` of columns."""
    alone = (cast(batch_number, BigInteger) - SINGLES) * 2**16 + index
    of_batch = func.concat(batch_number, "-", _at_least_four(index))
    return case((batch_number < SINGLES, of_batch), else_=func.concat("S-", _at_least_four(alone)))


def _at_least_four(number: ColumnElement[Any]) -> ColumnElement[str]:
    text_of = cast(number, Text)
    return func.lpad(text_of, func.greatest(4, func.length(text_of)), "0")


def token_id_of(batch_number: int, index: int) -> int:
    """The token that the pass with this number is on chain."""
    return batch_number << 16 | index


def split_pass_number(text: str) -> tuple[int, int] | None:
    """Batch number and index of a number as people write it; None for any other text."""
    first, dash, second = text.strip().partition("-")
    if not dash or not second.isdecimal() or len(text) > _LONGEST_NUMBER:
        return None
    if first.upper() == "S":
        return SINGLES + (int(second) >> 16), int(second) & 0xFFFF
    return (int(first), int(second)) if first.isdecimal() else None
