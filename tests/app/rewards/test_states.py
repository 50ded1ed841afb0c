"""The machine of grants: each act takes the grants it is for, and leaves every other as it is.

Grants move in sets, so what is not listed is passed over instead of refused; whoever asks for one
grant (`app.rewards.granting`) is told why there is none.
"""

from collections.abc import Callable
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.perks import using
from app.perks.models import Holding
from app.rewards import revoking, service
from app.rewards.closing import close_delivered
from app.rewards.lines import Choice, make_line
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from app.users.models import User
from minting.models import BatchState, DigitalAsset, Token, TokenState
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_perk
from tests.factories.minting import make_plan

Act = Callable[[Session, RewardLine], object]


def _settle(session: Session, line: RewardLine) -> int:
    """Its token is on the chain for good."""
    asset = session.get_one(DigitalAsset, line.asset_id)
    [batch] = make_plan(session, b"\x01", contract=asset.address).batches
    token = session.scalars(select(Token)).one()
    token.state, token.pass_number, token.batch_id = TokenState.OWNED, 7, batch.id
    batch.state, batch.settled_at = BatchState.FINAL, NOW
    session.flush()
    return close_delivered(session, at=NOW)


def _withdraw(session: Session, line: RewardLine) -> int:
    """Nothing was signed for its token, which is withdrawn with the run."""
    session.execute(delete(Token))
    return service.cancel_open(session, line, reason="cancelled")


def _cancel(session: Session, line: RewardLine) -> int:
    return service.cancel_open(session, line, reason="cancelled")


def _again(session: Session, line: RewardLine) -> int:
    chosen = service.members(select(User.id))
    source = service.Source(GrantSource.AIRDROP, UUID(int=1))
    return service.grant_many(session, line, chosen, source=source, at=NOW)


def _take_back(session: Session, line: RewardLine) -> int:
    """Its holding, if there is one, is revoked; the sweep makes the grant follow."""
    is_revoked = select(func.count()).where(Grant.state == GrantState.REVOKED)
    before = session.scalar(is_revoked) or 0
    for holding in session.scalars(select(Holding)).all():
        using.revoke(session, holding, reason="refunded", at=NOW)
    while revoking.revoke_taken_back(session, NOW):
        pass
    return (session.scalar(is_revoked) or 0) - before


PERK: dict[str, Act] = {
    "give again": _again,
    "hand over": lambda session, line: service.hand_over(session, line, at=NOW),
    "cancel": _cancel,
    "take back": _take_back,
}
ASSET: dict[str, Act] = {
    "give again": _again,
    "settle": _settle,
    "cancel": _cancel,
    "withdraw": _withdraw,
}
LISTED_OF_PERKS = {
    ("pending", "hand over"): "delivered",
    ("pending", "cancel"): "cancelled",
    ("delivered", "take back"): "revoked",
}
LISTED_OF_ASSETS = {
    ("pending", "settle"): "delivered",
    ("pending", "withdraw"): "cancelled",
    ("delivering", "settle"): "delivered",
    ("delivering", "withdraw"): "cancelled",
}
"""Nobody cancels what is on its way: its token has to be withdrawn first. A perk never is."""


def _granted(session: Session, choice: Choice, state: GrantState) -> tuple[RewardLine, Grant]:
    """A grant that was promised like any other, and is in this state."""
    make_members(session, "ada@example.com")
    line = make_line(session, choice)
    _again(session, line)
    if state is not GrantState.PENDING:
        service.hand_over(session, line, at=NOW)
    grant = session.scalars(select(Grant)).one()
    session.refresh(grant)
    grant.state = state
    session.flush()
    return line, grant


def _facts(session: Session, grant: Grant) -> tuple[object, ...]:
    session.expire_all()
    line = session.scalars(select(RewardLine)).one()
    held = session.scalar(select(func.count()).select_from(Holding))
    counts = (line.granted_count, line.delivered_count, held)
    return (grant.state, grant.reason, grant.delivered_at, *counts)


@pytest.mark.parametrize(
    ("state", "act"), product([it for it in GrantState if it != "delivering"], PERK)
)
def test_of_perks_only_what_is_listed_happens(
    session: Session, state: GrantState, act: str
) -> None:
    line, grant = _granted(session, Choice(perk_id=make_perk(session).id), state)
    _check(session, grant, lambda: PERK[act](session, line), LISTED_OF_PERKS.get((state, act)))


@pytest.mark.parametrize(("state", "act"), product(GrantState, ASSET))
def test_of_assets_only_what_is_listed_happens(
    session: Session, state: GrantState, act: str
) -> None:
    line, grant = _granted(session, Choice(make_asset(session).id), state)
    _check(session, grant, lambda: ASSET[act](session, line), LISTED_OF_ASSETS.get((state, act)))


def _check(session: Session, grant: Grant, act: Callable[[], object], target: str | None) -> None:
    before = _facts(session, grant)
    done = act()
    after = _facts(session, grant)
    if target is None:
        assert (done, after) == (0, before)
    else:
        assert (done, grant.state) == (1, target)
