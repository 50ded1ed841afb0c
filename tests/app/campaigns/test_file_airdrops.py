"""Airdrops to whom a file names: members are made, addresses reached, nobody is served twice."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.campaigns import queries, runs, service
from app.campaigns.errors import (
    CampaignNotPublishableError,
    FileNotReadyError,
    InvalidTransitionError,
    PreviewStaleError,
)
from app.campaigns.models import AirdropRun, AudienceFile, Campaign, RunState
from app.campaigns.progress import progress
from app.rewards.errors import StockExhaustedError
from app.rewards.models import Grant, RewardLine
from app.users.models import User, UserState
from core.events import Event
from core.types import UserId
from minting.models import MembershipPass, Token
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)
from tests.factories.campaigns import choose, read, upload
from tests.factories.minting import activate_passes
from wallets.models import Wallet, WalletKind

FIRST, SECOND = "0x000000000000000000000000000000000000dEaD", "0x" + "22" * 20
CONTENT = f"email,key\nada@example.com,1\nNew@Example.com,2\n{FIRST},3\n"


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def ada(session: Session) -> UserId:
    """A member who is known."""
    make_pass_contract(session)
    return make_members(session, "ada@example.com", "bob@example.com")[0]


@pytest.fixture
def campaign(session: Session, ada: UserId) -> Campaign:
    """A draft for a member, a newcomer and an address."""
    campaign = make_campaign(session)
    give(session, campaign, make_asset(session).id)
    read(session, choose(session, campaign, CONTENT))
    return campaign


@pytest.fixture
def run(session: Session, campaign: Campaign) -> AirdropRun:
    """The same, published."""
    return service.publish(session, campaign, make_preview(session, campaign), at=NOW)


def add(session: Session, run: AirdropRun, content: str) -> int:
    campaign = session.get_one(Campaign, run.campaign_id)
    return service.add_rows(session, run, read(session, upload(session, campaign, content)), at=NOW)


class TestPublish:
    def test_gives_to_members_newcomers_and_addresses(
        self, session: Session, run: AirdropRun, ada: UserId
    ) -> None:
        assert run.recipient_count == 3
        new = session.scalars(select(User).where(User.email_key == "new@example.com")).one()
        assert (new.email, new.source, new.state) == (
            "New@Example.com",
            "airdrop",
            UserState.ACTIVE,
        )
        found = session.execute(
            select(Grant.recipient_key, Grant.user_id, Grant.address).order_by(Grant.recipient_key)
        ).all()
        assert [tuple(row) for row in found] == [
            ("key:1", ada, None),
            ("key:2", new.id, None),
            ("key:3", None, FIRST),
        ]
        tokens = session.execute(select(Token.user_id, Token.address)).all()
        assert {tuple(row) for row in tokens} == {(ada, None), (new.id, None), (None, FIRST)}

    def test_a_newcomer_has_a_wallet_a_pass_and_an_event(
        self, session: Session, run: AirdropRun
    ) -> None:
        new = session.scalars(select(User).where(User.source == "airdrop")).one()
        wallet = session.scalars(select(Wallet).where(Wallet.owner_id == new.id)).one()
        held = session.scalars(select(MembershipPass).where(MembershipPass.user_id == new.id)).one()
        assert wallet.kind is WalletKind.MEMBER
        assert (held.wallet_id, held.address) == (wallet.id, wallet.address)
        event = session.scalars(
            select(Event).where(Event.type == "cohort.user.created", Event.user_id == new.id)
        )
        assert len(event.all()) == 1

    def test_again_makes_nobody_twice(
        self, session: Session, run: AirdropRun, campaign: Campaign
    ) -> None:
        before = [count(session, table) for table in (User, Wallet, MembershipPass, Grant, Token)]
        preview = make_preview(session, campaign)
        assert service.publish(session, campaign, preview, at=NOW) is run
        assert before == [
            count(session, table) for table in (User, Wallet, MembershipPass, Grant, Token)
        ]

    def test_a_member_who_was_blocked_since_receives_nothing(
        self, session: Session, campaign: Campaign, ada: UserId
    ) -> None:
        preview = make_preview(session, campaign, recipient_count=2)
        session.get_one(User, ada).state = UserState.BLOCKED
        run = service.publish(session, campaign, preview, at=NOW)
        assert run.recipient_count == 2
        assert ada not in session.scalars(select(Grant.user_id))

    def test_an_email_that_became_a_members_since_is_that_member(
        self, session: Session, campaign: Campaign
    ) -> None:
        [new] = make_members(session, "new@example.com")
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        assert new in session.scalars(select(Grant.user_id)).all()
        assert session.get_one(User, new).source == "test"

    def test_runs_to_its_end(self, session: Session, run: AirdropRun) -> None:
        activate_passes(session)
        runs.advance(session, at=NOW)
        assert run.state is RunState.RUNNING
        assert progress(session, run, at=NOW).transactions_total >= 1
        address = session.scalars(select(Token).where(Token.address.is_not(None))).one()
        assert address.token_id is not None

    def test_a_file_that_changed_since_the_preview_is_refused(
        self, session: Session, campaign: Campaign
    ) -> None:
        preview = make_preview(session, campaign)
        read(session, choose(session, campaign, CONTENT))
        with pytest.raises(PreviewStaleError, match="changed since"):
            service.publish(session, campaign, preview, at=NOW)

    def test_a_file_that_is_still_read_is_refused(
        self, session: Session, campaign: Campaign
    ) -> None:
        choose(session, campaign, CONTENT)
        with pytest.raises(CampaignNotPublishableError) as error:
            service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        assert list(error.value.fields) == ["audience_reading"]

    def test_the_file_of_a_published_campaign_stays(
        self, session: Session, run: AirdropRun, campaign: Campaign
    ) -> None:
        with pytest.raises(InvalidTransitionError):
            choose(session, campaign, CONTENT)


class TestAddRows:
    def test_of_the_same_file_adds_nothing(self, session: Session, run: AirdropRun) -> None:
        assert add(session, run, CONTENT) == 0
        assert (run.recipient_count, count(session, Grant), count(session, User)) == (3, 3, 3)

    def test_of_a_longer_one_adds_what_is_new(self, session: Session, run: AirdropRun) -> None:
        longer = f"{CONTENT}bob@example.com,4\n{SECOND},5\nmore@example.com,6\n"
        assert add(session, run, longer) == 3
        assert (run.recipient_count, count(session, Grant), count(session, Token)) == (6, 6, 6)
        assert add(session, run, longer) == 0

    @pytest.mark.parametrize(
        "row",
        [
            "bob@example.com,1",
            "ada@example.com,9",
            f"{FIRST},",
            f"{FIRST.lower()},9",
            "NEW@example.com,",
        ],
        ids=["a key again", "a member", "an address", "its other spelling", "a newcomer"],
    )
    def test_whose_key_or_recipient_is_known_adds_nothing(
        self, session: Session, run: AirdropRun, row: str
    ) -> None:
        assert add(session, run, f"email,key\n{row}\n") == 0
        assert count(session, Grant) == count(session, Token) == 3

    def test_beyond_the_stock_adds_none(self, session: Session, run: AirdropRun) -> None:
        line = session.scalars(select(RewardLine)).one()
        line.quantity = 4
        with pytest.raises(StockExhaustedError), session.begin_nested():
            add(session, run, f"{CONTENT}bob@example.com,4\n{SECOND},5\n")
        assert count(session, Grant) == 3

    def test_before_they_are_read_is_refused(
        self, session: Session, run: AirdropRun, campaign: Campaign
    ) -> None:
        file = upload(session, campaign, CONTENT)
        with pytest.raises(FileNotReadyError):
            service.add_rows(session, run, file, at=NOW)

    def test_of_another_campaign_is_refused(self, session: Session, run: AirdropRun) -> None:
        other = read(session, upload(session, make_campaign(session, "Other"), CONTENT))
        with pytest.raises(FileNotReadyError):
            service.add_rows(session, run, other, at=NOW)

    def test_to_an_airdrop_that_is_over_is_refused(
        self, session: Session, run: AirdropRun, campaign: Campaign
    ) -> None:
        file: AudienceFile = read(session, upload(session, campaign, CONTENT))
        run.state = RunState.COMPLETED
        session.flush()
        with pytest.raises(InvalidTransitionError):
            service.add_rows(session, run, file, at=NOW)
        assert queries.get_run(session, campaign.id) is run
