"""A pass by its number: the brand says whether it stands, the chain whose it is."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.accounts.service import first_merchant
from app.passes import checking
from app.passes.queries import find_pass
from app.passes.tokens import Reason
from app.users.models import User
from app.verification import service
from app.verification.errors import PassUnknownError
from app.verification.service import Proof
from core.db import choose_merchant, unit_of_work
from minting.models import MembershipPass, PassContract, PassState
from minting.numbers import pass_number, split_pass_number, token_id_of
from minting.passes import find_contract

_MOST_IN_BATCH = 1 << 16
_WAITING = (PassState.QUEUED, PassState.MINTING)


@dataclass(frozen=True)
class PassRecord:
    """What the brand says of a pass; whose it is is not said.

    Args:
        refusal: suspended or revoked; None while it stands.
        is_waiting: it is on its way to the chain.
        is_moving: it is on its way to another wallet of its holder.
    """

    number: str
    refusal: Reason | None = None
    is_waiting: bool = False
    is_moving: bool = False


def prove_pass(number: str, *, claimed: str | None) -> tuple[PassRecord, Proof]:
    """The pass of the brand with this number, with its owner at one named block.

    The unit of work ends before the node is asked, as in `service.prove`.

    Raises:
        PassUnknownError: no number of a pass, or the brand's passes are on no chain yet.
        ChainUnavailableError: no node answers; no owner is named then.
    """
    place = split_pass_number(number)
    if place is None or place[1] >= _MOST_IN_BATCH:
        raise PassUnknownError(number)
    with unit_of_work() as session:
        choose_merchant(session, first_merchant(session).id)
        contract = find_contract(session)
        if contract is None or contract.address is None:
            raise PassUnknownError(number)
        record = _record(session, pass_number(*place), find_pass(session, number))
        where = _where(contract)
    return record, service.prove(*where, str(token_id_of(*place)), claimed=claimed)


def _where(contract: PassContract) -> tuple[int, str]:
    assert contract.address is not None  # as asked for
    return contract.chain_id, contract.address


def _record(session: Session, number: str, found: MembershipPass | None) -> PassRecord:
    """Of a number that nobody has the chain alone speaks."""
    if found is None:
        return PassRecord(number)
    return PassRecord(
        number,
        refusal=checking.refusal_of(found, session.get_one(User, found.user_id)),
        is_waiting=found.state in _WAITING,
        is_moving=found.state is PassState.REISSUING,
    )
