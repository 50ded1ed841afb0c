"""Reads for people: how far database and chain were compared, and what differs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain import discrepancies, reconciliation
from chain.models import Discrepancy, LaneReconciliation, Reconciliation
from minting.models import DigitalAsset, PassContract


@dataclass(frozen=True)
class ComparedContract:
    """A contract and what was counted on both sides.

    Args:
        minted: tokens that the chain says were ever made; None before the first comparison.
    """

    name: str
    cursor: Reconciliation
    minted: int | None
    differences: int


@dataclass(frozen=True)
class Integrity:
    """Everything the page shows."""

    contracts: list[ComparedContract]
    relayers: list[LaneReconciliation]
    differences: list[Discrepancy]
    names: dict[str, str]
    compared_at: datetime | None
    full_at: datetime | None

    @property
    def is_sound(self) -> bool:
        """Everything could be compared, and nothing differs."""
        return not self.differences and not self.problems

    @property
    def problems(self) -> list[tuple[str, str]]:
        """What could not be compared, and why."""
        unread = [(it.name, _problem(it.cursor)) for it in self.contracts if it.cursor.problem]
        relayers = [(row.lane.address, row.problem) for row in self.relayers if row.problem]
        return unread + [(str(address), problem) for address, problem in relayers]


def _problem(cursor: Reconciliation) -> str:
    if cursor.bad_first is None:
        return str(cursor.problem)
    return f"Blocks {cursor.bad_first} to {cursor.bad_last}: {cursor.problem}"


def integrity(session: Session) -> Integrity:
    """How the merchant's tables and contracts agree, as last compared."""
    names = _names(session)
    found = discrepancies.list_open(session)
    cursors = session.scalars(select(Reconciliation).order_by(Reconciliation.first_block)).all()
    relayers = reconciliation.progress(session)
    rows: list[Any] = [*cursors, *relayers]
    return Integrity(
        contracts=[
            ComparedContract(
                name=names.get(cursor.contract, cursor.contract),
                cursor=cursor,
                minted=None if cursor.supply is None else cursor.supply + cursor.burned,
                differences=sum(row.about == cursor.contract for row in found),
            )
            for cursor in cursors
        ],
        relayers=relayers,
        differences=found,
        names=names,
        compared_at=_oldest([row.compared_at for row in rows]),
        full_at=_oldest([row.full_at for row in rows]),
    )


def _names(session: Session) -> dict[str, str]:
    """What people call each contract."""
    passes = session.execute(select(PassContract.address, PassContract.name))
    assets = session.execute(select(DigitalAsset.address, DigitalAsset.title))
    return {str(address): name for address, name in (*passes, *assets) if address is not None}


def _oldest(times: list[datetime | None]) -> datetime | None:
    """None when anything was never compared, or there is nothing."""
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def grave_reasons(session: Session) -> list[str]:
    """What somebody else did on the chain, as sentences."""
    names = _names(session)
    return [
        f"{names.get(row.about, row.about)}: the chain says {row.found}; "
        f"here it says {row.expected}."
        for row in discrepancies.list_open(session)
        if row.severity == discrepancies.FOREIGN
    ]
