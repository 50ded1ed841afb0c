"""Audience files: read to their end whatever happens, each row accepted or with its reason."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns import audiences, files, service
from app.campaigns.errors import AudienceNotFromFileError
from app.campaigns.models import (
    AudienceFile,
    AudienceKind,
    AudienceRow,
    Campaign,
    FileState,
)
from app.users.models import User, UserState
from chain.networks import register_contract
from core.db import unit_of_work
from core.types import AudienceFileId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import (
    ASSET_CONTRACT,
    give,
    make_asset,
    make_campaign,
    make_members,
    make_other_merchant,
    make_pass_contract,
)
from tests.factories.campaigns import choose, read
from tests.factories.chain import CHAIN_ID
from tests.factories.spreadsheets import day, number, text, workbook
from wallets.models import Wallet

FIRST, SECOND = "0x000000000000000000000000000000000000dEaD", "0x" + "22" * 20


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
    """A draft without a reward."""
    make_pass_contract(session)
    return make_campaign(session)


class TestRead:
    def test_knows_members_newcomers_and_addresses(
        self, session: Session, campaign: Campaign
    ) -> None:
        ada, bob, cyd = make_members(session, "ada@example.com", "bob@example.com", "c@example.com")
        session.get_one(User, cyd).state = UserState.BLOCKED
        wallet = session.scalars(select(Wallet.address).where(Wallet.owner_id == bob)).one()
        lines = ["ADA@example.com,", f",{wallet.lower()}", f",{FIRST}", "new@example.com,"]
        content = "\n".join(["Email,Wallet", *lines, "c@example.com,"])
        file = read(session, choose(session, campaign, content))
        assert (file.state, file.row_count, file.accepted_count) == (FileState.READY, 5, 5)
        reach = audiences.reach(session, campaign)
        assert (reach.known, reach.newcomers, reach.addresses, reach.inactive) == (2, 1, 1, 1)
        assert reach.total == 4
        assert set(session.scalars(audiences.members(campaign))) == {ada, bob}

    @pytest.mark.parametrize(
        "content",
        [
            "email\tkey\nzoë@example.com\t1\n".encode("utf-16"),
            "email;key\nzoë@example.com;1\n".encode("cp1252"),
            b"\xef\xbb\xbf" + "email|key\rzoë@example.com|1".encode(),
            "zoë@example.com,,,1".encode(),
            workbook(
                text("email") + text("quantity") + text("key"),
                text("zoë@example.com") + number(1.0) + number(1),
            ),
            workbook(text("email") + text("since"), text("zoë@example.com") + day(46023)),
        ],
        ids=["utf-16", "windows-1252", "utf-8 with mark", "no header", "numbers", "dates"],
    )
    def test_takes_what_people_upload(
        self, session: Session, campaign: Campaign, content: bytes
    ) -> None:
        file = read(session, choose(session, campaign, content))
        assert (file.state, file.failure, file.rejected) == (FileState.READY, None, {})
        [row] = session.scalars(select(AudienceRow).where(AudienceRow.file_id == file.id))
        assert (row.email, row.key) in (("zoë@example.com", "1"), ("zoë@example.com", None))

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "The file is empty."),
            (b"\n\n", "The file is empty."),
            (b"email,key\n", "has a header but no rows"),
            (b"name\nAda\n", "Name the columns in the first row"),
            (b'email\na@example.com\n"b@example.com\n', "Line 3: "),
            (b"email\n" + b"x" * 2_000_000, "Line 2: the row is longer"),
            (b"email\na@\0example.com\n", "NUL byte"),
            (b"PK\x03\x04", "damaged"),
            (workbook(text("email"), more='<row r="9"><c r="XFD1048576"/></row>'), "no rows"),
        ],
    )
    def test_that_cannot_go_on_says_why(
        self, session: Session, campaign: Campaign, content: bytes, sentence: str
    ) -> None:
        file = read(session, choose(session, campaign, content))
        assert (file.state, file.finished_at) == (FileState.FAILED, NOW)
        assert sentence in (file.failure or "")
        assert count(session, AudienceRow) == 0
        assert "audience_invalid" in service.failing_rules(session, campaign)
        assert not files.run_part(session, file.id, at=NOW)

    def test_of_a_lost_upload_says_so(self, session: Session, campaign: Campaign) -> None:
        file = choose(session, campaign, "email\na@example.com\n")
        files.file_path(file.id).unlink()
        assert read(session, file).failure == files.GONE

    def test_until_it_is_over_nothing_can_be_published(
        self, session: Session, campaign: Campaign
    ) -> None:
        file = choose(session, campaign, "email\nnobody\n")
        assert "audience_reading" in service.failing_rules(session, campaign)
        read(session, file)
        assert "audience_empty" in service.failing_rules(session, campaign)

    def test_tells_how_far_it_is(
        self, session: Session, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "ROWS_A_PART", 3)
        content = "".join(f"m{n}@example.com\n" for n in range(9))
        file = choose(session, campaign, f"email\n{content}")
        assert files.progress(file, at=NOW) == files.Progress(0, 0, None, None)
        for _ in range(2):
            files.run_part(session, file.id, at=NOW)
        found = files.progress(file, at=NOW.replace(second=2))
        assert found == files.Progress(done=4, total=11, rate=2, remaining=3)


class TestRejected:
    def test_by_what_other_rows_say(self, session: Session, campaign: Campaign) -> None:
        [ada] = make_members(session, "ada@example.com")
        wallet = session.scalars(select(Wallet.address).where(Wallet.owner_id == ada)).one()
        lines = ["ada@example.com,1", f"{wallet},2", "b@example.com,3", "B@Example.com,4"]
        lines += [f"{FIRST},5", f"{FIRST.lower()},6", "c@example.com,7", "d@example.com,7"]
        file = read(session, choose(session, campaign, "\n".join(["email,key", *lines, "x,8"])))
        doubled = "duplicate_row"
        assert rejected(session, file) == [
            *((line, doubled) for line in (3, 5, 7, 9)),
            (10, "email_invalid"),
        ]
        assert file.rejected == {doubled: 4, "email_invalid": 1}

    def test_by_a_contract_of_ours(self, session: Session, campaign: Campaign) -> None:
        register_contract(session, CHAIN_ID, ASSET_CONTRACT)  # type: ignore[arg-type]
        content = f"address\n{ASSET_CONTRACT}\n{FIRST}\n"
        file = read(session, choose(session, campaign, content))
        assert rejected(session, file) == [(2, "address_is_contract_of_ours")]

    def test_by_a_reward_that_is_not_the_campaigns(
        self, session: Session, campaign: Campaign
    ) -> None:
        content = "email,reward\na@example.com,mug\nb@example.com,\nc@example.com,cup\n"
        file = read(session, choose(session, campaign, content))
        assert file.rejected == {}
        for reference, lines in (("mug", [4]), ("cup", [2]), (None, [2, 4])):
            asset = make_asset(session, reference_id=reference)
            give(session, campaign, asset.id)
            assert file.state is FileState.CHECKING
            read(session, file)
            assert rejected(session, file) == [(line, "unknown_reward") for line in lines]

    def test_another_reward_checks_no_file_that_names_none(
        self, session: Session, campaign: Campaign
    ) -> None:
        file = read(session, choose(session, campaign, "email\na@example.com\n"))
        give(session, campaign, make_asset(session).id)
        assert file.state is FileState.READY

    def test_are_listed_for_a_spreadsheet(self, session: Session, campaign: Campaign) -> None:
        content = 'email\n=1+1\na@example.com\n"two\nlines"\nA@example.com\n'
        file = read(session, choose(session, campaign, content))
        assert "".join(files.rejected_as_csv(session, file)) == (
            "line,reason,row\r\n2,email_invalid,'=1+1\r\n"
            '4,email_invalid,"two\nlines"\r\n6,duplicate_row,A@example.com\r\n'
        )
        assert [row.line for row in files.sample_rejected(session, file)] == [2, 4, 6]


class TestReplaced:
    def test_by_another_file_it_is_read_no_further_and_deleted(
        self, session: Session, campaign: Campaign
    ) -> None:
        first = choose(session, campaign, "email\na@example.com\n")
        for _ in range(2):
            assert files.run_part(session, first.id, at=NOW)
        version = campaign.version
        second = choose(session, campaign, "email\nb@example.com\n")
        assert (first.state, campaign.audience_id) == (FileState.REPLACED, second.id)
        assert campaign.version > version
        assert not files.run_part(session, first.id, at=NOW)
        read(session, second)
        assert session.scalars(select(AudienceRow.email)).all() == ["b@example.com"]
        assert session.scalars(select(AudienceFile)).all() == [second]

    def test_by_every_member(self, session: Session, campaign: Campaign) -> None:
        file = read(session, choose(session, campaign, "email\na@example.com\n"))
        service.choose_audience(session, campaign, AudienceKind.ALL)
        assert files.find(session, campaign) is None
        with pytest.raises(AudienceNotFromFileError):
            files.get(session, campaign)
        files.run_part(session, file.id, at=NOW)
        assert count(session, AudienceFile) == count(session, AudienceRow) == 0


class TestTenants:
    def test_a_file_of_another_merchant_does_not_exist(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            file = read(session, choose(session, make_campaign(session), "email\na@b.example\n"))
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            assert not files.run_part(session, file.id, at=NOW)
            assert count(session, AudienceFile) == count(session, AudienceRow) == 0


class TestKilled:
    """A worker that dies inside a part; the next one goes on."""

    SIZE = 250

    @pytest.fixture
    def started(
        self, committed: None, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[tuple[MerchantId, AudienceFileId]]:
        """A file of three parts; its last line repeats the first."""
        monkeypatch.setattr(files, "ROWS_A_PART", 100)
        merchant = make_merchant().id
        emails = [f"m{number}@example.com" for number in range(self.SIZE)]
        with unit_of_work(merchant=merchant, actor="test") as session:
            content = "\n".join(["email", *emails, "M0@example.com"])
            file = choose(session, make_campaign(session), content)
        yield merchant, file.id
        assert not files.file_path(file.id).exists()

    def part(self, merchant: MerchantId, file: AudienceFileId) -> bool:
        with unit_of_work(merchant=merchant) as session:
            return files.run_part(session, file, at=NOW)

    def die_in_part(self, merchant: MerchantId, file: AudienceFileId) -> None:
        with pytest.raises(KeyboardInterrupt), unit_of_work(merchant=merchant) as session:
            files.run_part(session, file, at=NOW)
            raise KeyboardInterrupt

    @pytest.mark.parametrize("after", range(5))
    def test_repeats_nothing(self, started: tuple[MerchantId, AudienceFileId], after: int) -> None:
        for _ in range(after):
            assert self.part(*started)
        self.die_in_part(*started)
        while self.part(*started):
            pass
        with unit_of_work(merchant=started[0]) as session:
            file = session.get_one(AudienceFile, started[1])
            assert (file.state, file.row_count) == (FileState.READY, self.SIZE + 1)
            assert rejected(session, file) == [(self.SIZE + 2, "duplicate_row")]
            assert count(session, AudienceRow) == self.SIZE + 1
