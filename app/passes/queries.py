"""Reads of passes by what their codes say."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from minting.models import MembershipPass
from minting.numbers import split_pass_number


def find_pass(session: Session, number: str) -> MembershipPass | None:
    """The merchant's pass with this number, or None."""
    place = split_pass_number(number)
    if place is None:
        return None
    batch_number, index = place
    return session.scalar(
        select(MembershipPass).where(
            MembershipPass.batch_number == batch_number, MembershipPass.index == index
        )
    )
