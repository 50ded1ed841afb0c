"""Differences between database and chain: kept while they last, resolved when they are gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from eth_typing import ChecksumAddress
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from chain.models import Discrepancy, Rule
from core.ids import new_id
from core.types import DiscrepancyId

log = structlog.get_logger(__name__)

_LOOKED_AT_AGAIN = 20
"""Blocks with known differences that a short pass reads again."""

FOREIGN = 1
"""Severity of what somebody else did on the chain."""

DIFFERENT = 2
"""Severity of records that differ."""


@dataclass(frozen=True)
class Finding:
    """One difference as a pass found it; the fields are those of `Discrepancy`."""

    rule: Rule
    subject: str
    expected: str
    found: str
    severity: int = DIFFERENT
    block_number: int | None = None


@dataclass(frozen=True)
class Looked:
    """Where a pass looked: what it did not find there any more is resolved.

    Args:
        blocks: first and last; None for what concerns no block.
    """

    chain_id: int
    about: ChecksumAddress
    rules: tuple[Rule, ...]
    blocks: tuple[int, int] | None = None

    def covers(self, block: int | None) -> bool:
        """Whether a difference in this block would have been found again."""
        if self.blocks is None or block is None:
            return self.blocks is None and block is None
        return self.blocks[0] <= block <= self.blocks[1]


def record(session: Session, looked: Looked, findings: Sequence[Finding], *, at: datetime) -> None:
    """What is new is stored, what is known gets its present words, what is gone is resolved.

    Locks: the open differences that the pass looked at.
    """
    subjects = [finding.subject for finding in findings]
    query = select(Discrepancy).where(
        is_open(looked.chain_id, looked.about),
        Discrepancy.rule.in_(looked.rules),
        _is_in(looked) | Discrepancy.subject.in_(subjects),
    )
    known = {(row.rule, row.subject): row for row in session.scalars(query.with_for_update())}
    for finding in findings:
        row = known.pop((finding.rule, finding.subject), None)
        if row is None:
            _add(session, looked, finding, at=at)
        else:
            row.expected, row.found, row.severity = (
                finding.expected,
                finding.found,
                finding.severity,
            )
            row.block_number = finding.block_number
    for row in known.values():
        if looked.covers(row.block_number):
            row.resolved_at = at
            log.info("difference_resolved", rule=row.rule, about=row.about, subject=row.subject)


def _is_in(looked: Looked) -> ColumnElement[bool]:
    if looked.blocks is None:
        return Discrepancy.block_number.is_(None)
    return Discrepancy.block_number.between(*looked.blocks)


def is_open(chain_id: int, about: ChecksumAddress) -> ColumnElement[bool]:
    """The differences of this contract or relayer that last."""
    return (
        (Discrepancy.chain_id == chain_id)
        & (Discrepancy.about == about)
        & Discrepancy.resolved_at.is_(None)
    )


def _add(session: Session, looked: Looked, finding: Finding, *, at: datetime) -> None:
    row = Discrepancy(
        id=DiscrepancyId(new_id()),
        chain_id=looked.chain_id,
        about=looked.about,
        rule=finding.rule,
        severity=finding.severity,
        subject=finding.subject,
        block_number=finding.block_number,
        expected=finding.expected,
        found=finding.found,
        first_seen=at,
    )
    session.add(row)
    session.flush()
    log.error("difference_found", rule=row.rule, about=row.about, subject=row.subject)


@dataclass(frozen=True)
class Standing:
    """The differences of a contract or relayer that last.

    Args:
        blocks: the newest blocks with one, ascending.
    """

    count: int
    blocks: tuple[int, ...]


def standing(session: Session, chain_id: int, about: ChecksumAddress) -> Standing:
    """What lasts of this contract or relayer."""
    lasting = is_open(chain_id, about)
    count = session.scalar(select(func.count()).select_from(Discrepancy).where(lasting))
    number = Discrepancy.block_number
    query = select(number).distinct().where(lasting, number.is_not(None))
    blocks = session.scalars(query.order_by(number.desc()).limit(_LOOKED_AT_AGAIN))
    return Standing(count or 0, tuple(sorted(it for it in blocks if it is not None)))


def list_open(session: Session) -> list[Discrepancy]:
    """Every difference of the merchant that lasts, the gravest and oldest first."""
    query = select(Discrepancy).where(Discrepancy.resolved_at.is_(None))
    return list(session.scalars(query.order_by(Discrepancy.severity, Discrepancy.id)))
