"""An airdrop published while imported members still wait for wallet and pass serves them all."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.campaigns import runs, service
from app.campaigns.models import RunState
from app.rewards.lines import lines_of
from app.users.models import User
from minting import airdrops, passes
from minting.models import MembershipPass, PassState
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_pass_contract,
    make_preview,
)
from tests.factories.imports import run as run_import
from tests.factories.minting import activate_passes


class TestMembersWithoutPass:
    def test_are_waited_for_and_then_issued_together(self, session: Session) -> None:
        make_pass_contract(session)
        run_import(session, "email\n" + "".join(f"m{it}@example.com\n" for it in range(40)))
        users = session.scalars(select(User.id).order_by(User.id)).all()
        campaign = make_campaign(session)
        give(session, campaign, make_asset(session).id)
        passes.queue(session, users[:25], at=NOW)
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        [line] = lines_of(session, campaign.id)
        assert run.recipient_count == 40
        runs.advance(session, at=NOW)
        assert (run.state, run.started_at) == (RunState.PREPARING, None)
        assert set(session.scalars(select(MembershipPass.state))) == {PassState.QUEUED}
        passes.queue(session, users[25:], at=NOW)
        runs.advance(session, at=NOW)
        assert set(session.scalars(select(MembershipPass.batch_number))) == {0}
        activate_passes(session)
        assert airdrops.queue(session, line.id).ready == 40
        runs.advance(session, at=NOW)
        assert run.started_at == NOW
