"""Guessing codes: how many unknown ones a network may try.

Whoever tries ten unknown codes within ten minutes has to solve a challenge for every further one;
fifty within an hour are the end of it until they are an hour old. Only unknown codes count, so many
people behind one address disturb each other only when they mistype. The counter is raised by one
statement; what runs at the same moment may pass the check before it is raised, so there are as many
tries more as requests run at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.claims.models import ClaimGuess
from core.db import change
from core.secrets import fingerprint

FREE = 10
FREE_WITHIN = timedelta(minutes=10)
MOST = 50
MOST_WITHIN = timedelta(hours=1)
ALARM = 1_000
"""Unknown codes of one merchant within an hour: the team is told."""
KEPT = timedelta(days=30)
_BUCKET = timedelta(minutes=1)
_SUBSCRIBER = 64
"""Bits of an IPv6 address that name a subscriber."""


def network_of(address: str) -> bytes:
    """The keyed hash of a network address; of an IPv6 address its /64 counts."""
    try:
        name = str(_network(ip_address(address.partition("%")[0])))
    except ValueError:
        name = address
    return fingerprint("claim-network", name)


def _network(address: IPv4Address | IPv6Address) -> object:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ip_network((address, _SUBSCRIBER), strict=False)


@dataclass(frozen=True)
class Standing:
    """How many unknown codes came from a network: recently, and within the hour."""

    recent: int
    within_hour: int

    @property
    def needs_proof(self) -> bool:
        """Whether the next code is looked at only after a challenge."""
        return self.recent >= FREE

    @property
    def is_blocked(self) -> bool:
        """Whether no code is looked at."""
        return self.within_hour >= MOST


def standing(session: Session, network: bytes, *, at: datetime) -> Standing:
    """What the network may do now."""
    # A minute counts as long as anything of it does.
    is_recent = ClaimGuess.minute > at - FREE_WITHIN - _BUCKET
    total = func.coalesce(func.sum(ClaimGuess.guess_count), 0)
    recent = func.coalesce(func.sum(ClaimGuess.guess_count).filter(is_recent), 0)
    of_network = ClaimGuess.network == network
    within_hour = ClaimGuess.minute > at - MOST_WITHIN - _BUCKET
    found = session.execute(select(recent, total).where(of_network, within_hour)).one()
    return Standing(int(found[0]), int(found[1]))


def count(session: Session, network: bytes, *, at: datetime) -> None:
    """One more unknown code came from the network.

    Locks: the network's counter of this minute.
    """
    minute = at.replace(second=0, microsecond=0)
    row = insert(ClaimGuess).values(network=network, minute=minute, guess_count=1)
    raised = row.on_conflict_do_update(
        index_elements=[ClaimGuess.merchant_id, ClaimGuess.network, ClaimGuess.minute],
        set_={"guess_count": ClaimGuess.guess_count + 1},
    )
    session.execute(raised)


def within_hour(session: Session, *, at: datetime) -> int:
    """How many unknown codes were tried here, from wherever, within the hour."""
    since = ClaimGuess.minute > at - timedelta(hours=1)
    return int(session.scalar(select(func.sum(ClaimGuess.guess_count)).where(since)) or 0)


def is_old(at: datetime) -> ColumnElement[bool]:
    """Which counters are older than 30 days."""
    return ClaimGuess.minute < at - KEPT


def forget_old(session: Session, *, at: datetime) -> int:
    """Counters older than 30 days are deleted.

    Returns:
        How many there were.
    """
    return change(session, delete(ClaimGuess).where(is_old(at)))
