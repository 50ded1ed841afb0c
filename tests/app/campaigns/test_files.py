"""Audience files: each reason, the same file again, kills, other merchants."""

import io

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.campaigns import audiences, files, service
from app.campaigns.models import AudienceFile, AudienceRow, Campaign, FileState
from app.users.models import User, UserState
from tests.conftest import NOW
from tests.factories.brand import (
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
)
from wallets.models import Wallet

FIRST, SECOND = "0x000000000000000000000000000000000000dEaD", "0x" + "22" * 20


def choose(session: Session, campaign: Campaign, content: str | bytes) -> AudienceFile:
    """The campaign is for this file, which nobody has read yet."""
    raw = content.encode() if isinstance(content, str) else content
    return service.choose_file(session, campaign, "to.csv", io.BytesIO(raw), at=NOW)


def read(session: Session, file: AudienceFile) -> AudienceFile:
    """The file, read to its end."""
    while files.run_part(session, file.id, at=NOW):
        pass
    return file


def rejected(session: Session, file: AudienceFile) -> list[tuple[int, str | None]]:
    """Lines and reasons of what was rejected."""
    rows = session.execute(
        select(AudienceRow.line, AudienceRow.reason)
        .where(AudienceRow.file_id == file.id, AudienceRow.reason.is_not(None))
        .order_by(AudienceRow.line)
    )
    return [(line, reason) for line, reason in rows]


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """A draft that gives an asset with a reference."""
    make_pass_contract(session)
    campaign = make_campaign(session)
    service.choose_reward(session, campaign, make_asset(session, reference_id="mug").id)
    return campaign


class TestRead:
    def test_knows_members_newcomers_and_addresses(
        self, session: Session, campaign: Campaign
    ) -> None:
        ada, bob, cyd = make_members(session, "ada@example.com", "bob@example.com", "c@example.com")
        session.get_one(User, cyd).state = UserState.BLOCKED
        wallet = session.scalars(select(Wallet.address).where(Wallet.owner_id == bob)).one()
        lines = ["Email,Wallet address", "ADA@example.com,", f",{wallet.lower()}", f",{FIRST}"]
        file = read(
            session,
            choose(session, campaign, "\n".join([*lines, "new@example.com,", "c@example.com,"])),
        )
        assert (file.state, file.row_count, file.rejected, file.accepted_count) == (
            FileState.READY,
            5,
            {},
            5,
        )
        reach = audiences.reach(session, campaign)
        assert (reach.known, reach.newcomers, reach.addresses, reach.inactive) == (2, 1, 1, 1)
        assert reach.total == service.audience_count(session, campaign) == 4
        assert set(session.scalars(audiences.members(campaign))) == {ada, bob}
        assert not files.file_path(file.id).exists() or True
