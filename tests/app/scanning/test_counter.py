"""At the counter: what a code shows, what validating does, and that a code opens something once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.passes.models import ScanCount
from app.perks import using
from app.perks.errors import AlreadyUsedError, CodeUnknownError, WrongPlaceError
from app.perks.models import Channel, Holding, HoldingState, PerkPlace, Redemption
from app.perks.terms import RedemptionType
from app.scanning import answers, looking, queries, redeeming, tickets
from app.scanning.errors import (
    TicketOverError,
    TokenExpiredError,
    TokenForgedError,
    TokenNotYetValidError,
)
from app.scanning.looking import FoundPerk
from app.scanning.scanner import Scanner
from core.db import unit_of_work
from core.ids import new_id
from core.types import HoldingId
from minting.models import MembershipPass, PassState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant, make_pass_contract
from tests.factories.passes import make_code, make_pass
from tests.factories.perks import code_of, hold, load, make_place, perk_of
from tests.factories.scanning import code_for, make_device, make_holding

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def scanner(session: Session) -> Scanner:
    """A paired device."""
    return make_device(session)[0]


def read(session: Session, scanner: Scanner, text: str, at: datetime = NOW) -> FoundPerk:
    found = looking.read(session, scanner, text, at=at)
    assert isinstance(found, FoundPerk)
    return found


def redeem(session: Session, scanner: Scanner, found: FoundPerk, at: datetime = NOW) -> Redemption:
    return redeeming.redeem(session, scanner, found, uses=1, channel=Channel.STAFF, at=at)


def uses(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Redemption)) or 0


class TestSameCode:
    """Two pools have the same code, and each of them is somebody's."""

    def both(self, session: Session, *titles: str) -> list[Holding]:
        found = []
        for title in titles:
            perk = perk_of(session, RedemptionType.UNIQUE_CODE, title=title, uses_per_holding=1)
            load(session, perk, "SAME\n", name="c.txt")
            found.append(hold(session, perk, f"{title}@example.com"))
        return found

    def test_the_screen_asks_which_perk_is_meant(self, session: Session, scanner: Scanner) -> None:
        _, tea = self.both(session, "Coffee", "Tea")
        asked = answers.look_up(scanner, "SAME", at=NOW)
        assert (asked.colour, asked.word) == ("yellow", "several")
        assert [it.title for it in asked.offers] == ["Coffee", "Tea"]
        done = answers.validate(scanner, asked.offers[1].ticket, uses=1, at=NOW)
        assert (done.word, done.title) == ("validated", "Tea")
        session.refresh(tea)
        assert tea.state is HoldingState.USED

    def test_only_one_that_can_be_used_is_meant(self, session: Session, scanner: Scanner) -> None:
        coffee, tea = self.both(session, "Coffee", "Tea")
        using.revoke(session, coffee, reason="leaked", at=NOW)
        found = answers.look_up(scanner, "SAME", at=NOW)
        assert (found.colour, found.word) == ("green", "found")
        assert [it.title for it in found.offers] == ["Tea"]
        using.revoke(session, tea, reason="leaked", at=NOW)
        assert answers.look_up(scanner, "SAME", at=NOW).word == "revoked"


class TestRead:
    @pytest.mark.parametrize(
        "spell",
        [
            lambda token: token,
            lambda token: f"http://testserver/v/{token}",
            lambda token: f"  https://other.example/v/{token}\n",
        ],
    )
    def test_a_code_of_a_perk_however_it_was_sent(
        self, session: Session, scanner: Scanner, spell: Callable[[str], str]
    ) -> None:
        holding = make_holding(session)
        found = read(session, scanner, spell(code_for(session, holding)))
        assert found.holding.id == holding.id

    def test_a_code_of_a_pool(self, session: Session, scanner: Scanner) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, uses_per_holding=1)
        load(session, perk, "code\nSUMMER-1\n")
        holding = hold(session, perk)
        found = read(session, scanner, f" {code_of(session, holding)} ")
        assert (found.holding.id, found.claims) == (holding.id, None)

    @pytest.mark.parametrize("text", ["", "SUMMER-2", "x" * 4000, "a.b", "12.50"])
    def test_a_text_that_is_nothing_is_unknown(
        self, session: Session, scanner: Scanner, text: str
    ) -> None:
        with pytest.raises(CodeUnknownError):
            looking.read(session, scanner, text, at=NOW)

    def test_an_altered_code_is_forged_and_no_unknown_text(
        self, session: Session, scanner: Scanner
    ) -> None:
        token = code_for(session, make_holding(session))
        other = "A" if token[40] != "A" else "B"
        for text in (token[:-1], token + "=", f"/v/{token[5:]}", token[:40] + other + token[41:]):
            with pytest.raises(TokenForgedError):
                looking.read(session, scanner, text, at=NOW)

    def test_a_code_of_another_brand_is_forged_and_stays_theirs(
        self, merchant: Merchant, session: Session, scanner: Scanner
    ) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as theirs:
            token = code_for(theirs, make_holding(theirs))
        with pytest.raises(TokenForgedError):
            looking.read(session, scanner, token, at=NOW)
        assert session.info["merchant"] == merchant.id

    def test_an_old_one_and_one_of_the_future_are_refused(
        self, session: Session, scanner: Scanner
    ) -> None:
        token = code_for(session, make_holding(session))
        with pytest.raises(TokenExpiredError):
            looking.read(session, scanner, token, at=NOW + 91 * SECOND)
        with pytest.raises(TokenNotYetValidError):
            looking.read(session, scanner, token, at=NOW - 31 * SECOND)
        assert read(session, scanner, token, NOW + 89 * SECOND)

    def test_a_perk_nobody_has_is_unknown(self, session: Session, scanner: Scanner) -> None:
        token = make_code(session, NOW, holding=HoldingId(new_id()))
        with pytest.raises(CodeUnknownError):
            looking.read(session, scanner, token, at=NOW)

    def test_is_counted_by_hour_and_place(self, session: Session, scanner: Scanner) -> None:
        token = code_for(session, make_holding(session))
        for _ in range(2):
            read(session, scanner, token)
        rows = session.execute(select(ScanCount.place_id, ScanCount.scan_count)).all()
        assert rows == [(scanner.place_id, 2)]
        assert queries.count_scans(session, since=NOW - MINUTE) == {scanner.place_id: 2}
        assert queries.count_scans(session, since=NOW) == {}


class TestTryOut:
    def test_changes_nothing(self, session: Session, scanner: Scanner) -> None:
        holding = make_holding(session)
        found = read(session, scanner, code_for(session, holding))
        looking.try_out(session, scanner, found, channel=Channel.STAFF, at=NOW)
        assert uses(session) == 0
        session.refresh(holding)
        assert (holding.state, holding.uses_left) == (HoldingState.AVAILABLE, 1)
        redeem(session, scanner, found)
        assert uses(session) == 1

    def test_refuses_what_validating_would_refuse(self, session: Session, scanner: Scanner) -> None:
        found = read(session, scanner, code_for(session, make_holding(session)))
        redeem(session, scanner, found)
        with pytest.raises(AlreadyUsedError):
            looking.try_out(session, scanner, found, channel=Channel.STAFF, at=NOW)


class TestRedeem:
    def test_is_written_down_with_device_and_place(
        self, session: Session, scanner: Scanner
    ) -> None:
        found = read(session, scanner, code_for(session, make_holding(session)))
        row = redeem(session, scanner, found)
        assert (row.device, row.place_id) == (scanner.device_name, scanner.place_id)
        assert (row.actor, row.channel) == (scanner.actor, Channel.STAFF)

    def test_one_code_takes_one_use_however_many_are_left(
        self, session: Session, scanner: Scanner
    ) -> None:
        holding = make_holding(session, uses_per_holding=5)
        found = read(session, scanner, code_for(session, holding))
        redeem(session, scanner, found)
        with pytest.raises(AlreadyUsedError) as refused:
            redeem(session, scanner, found, at=NOW + SECOND)
        assert refused.value.first_at == NOW
        session.refresh(holding)
        assert holding.uses_left == 4
        redeem(session, scanner, read(session, scanner, code_for(session, holding)))
        assert holding.uses_left == 3

    def test_a_refused_use_leaves_the_code_unused(self, session: Session) -> None:
        here, there = make_device(session)[0], make_device(session, name="There")[0]
        holding = make_holding(session)
        session.add(PerkPlace(perk_id=holding.perk_id, place_id=there.place_id))
        session.flush()
        token = code_for(session, holding)
        with pytest.raises(WrongPlaceError), session.begin_nested():
            redeem(session, here, read(session, here, token))
        assert redeem(session, there, read(session, there, token))


class TestTwoDevices:
    """Both read the same code within the same moment."""

    @pytest.mark.parametrize("left", [1, 5])
    def test_one_succeeds_and_the_other_learns_when(self, committed: None, left: int) -> None:
        merchant, together = make_merchant().id, Barrier(2)
        with unit_of_work(merchant=merchant) as session:
            holding = make_holding(session, uses_per_holding=left)
            token = code_for(session, holding)
            place = make_place(session)
            scanners = [make_device(session, place, name)[0] for name in ("One", "Two")]

        def scan(number: int) -> tuple[datetime, datetime | None]:
            at = NOW + timedelta(milliseconds=25 * number)
            with unit_of_work(merchant=merchant) as session:
                read(session, scanners[number], token)
            try:
                with unit_of_work(merchant=merchant) as session:
                    held = session.get_one(Holding, holding.id)
                    perk = session.get_one(using.Perk, held.perk_id)
                    checked = looking.check_token(session, scanners[number], token, at=at)
                    together.wait(20)
                    redeem(session, scanners[number], FoundPerk(held, perk, checked.claims), at)
            except AlreadyUsedError as refused:
                return at, refused.first_at
            return at, None

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(scan, range(2)))
        [winner] = [at for at, first in found if first is None]
        assert [first for _, first in found if first is not None] == [winner]
        with unit_of_work(merchant=merchant) as session:
            assert uses(session) == 1
            assert session.get_one(Holding, holding.id).uses_left == left - 1


class TestTicket:
    def test_leads_back_to_what_was_found(self, session: Session, scanner: Scanner) -> None:
        found = read(session, scanner, code_for(session, make_holding(session)))
        ticket = tickets.write(scanner, found, at=NOW)
        again = tickets.read(session, scanner, ticket, at=NOW + 5 * MINUTE)
        assert again.holding.id == found.holding.id
        assert again.claims is not None and found.claims is not None
        assert again.claims.nonce == found.claims.nonce

    def test_is_over_after_five_minutes_for_others_and_when_altered(
        self, session: Session, scanner: Scanner
    ) -> None:
        other = make_device(session, name="Other")[0]
        found = read(session, scanner, code_for(session, make_holding(session)))
        ticket = tickets.write(scanner, found, at=NOW)
        altered = ticket[:30] + ("A" if ticket[30] != "A" else "B") + ticket[31:]
        for who, text, at in (
            (scanner, ticket, NOW + 5 * MINUTE + SECOND),
            (other, ticket, NOW),
            (scanner, altered, NOW),
            (scanner, "", NOW),
            (scanner, "é", NOW),
        ):
            with pytest.raises(TicketOverError):
                tickets.read(session, who, text, at=at)

    def test_of_a_pool_code_takes_uses_once_however_often_it_is_sent(
        self, session: Session, scanner: Scanner
    ) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, uses_per_holding=3)
        load(session, perk, "ABCD-1\n", name="c.txt")
        holding = hold(session, perk)
        [offer] = answers.look_up(scanner, "ABCD-1", at=NOW).offers
        assert answers.validate(scanner, offer.ticket, uses=1, at=NOW).word == "validated"
        assert answers.validate(scanner, offer.ticket, uses=1, at=NOW).word == "already_used"
        session.refresh(holding)
        assert holding.uses_left == 2
        [offer] = answers.look_up(scanner, "ABCD-1", at=NOW).offers
        assert answers.validate(scanner, offer.ticket, uses=2, at=NOW).word == "validated"


class TestAnswers:
    def test_from_code_to_validated_and_back(self, session: Session, scanner: Scanner) -> None:
        holding = make_holding(session, uses_per_holding=3, conditions="One a day")
        answer = answers.look_up(scanner, code_for(session, holding), at=NOW)
        assert (answer.colour, answer.word) == ("green", "found")
        [offer] = answer.offers
        assert (offer.uses_left, offer.conditions) == (3, "One a day")
        done = answers.validate(scanner, offer.ticket, uses=2, at=NOW)
        assert (done.colour, done.word, done.uses_left) == ("green", "validated", 1)
        [row] = queries.list_validations(session, scanner)
        assert queries.count_today(session, scanner, at=NOW) == 1
        assert answers.take_back(scanner, row.redemption.id, at=NOW).word == "undone"
        assert queries.count_today(session, scanner, at=NOW) == 0
        session.refresh(holding)
        assert holding.uses_left == 3

    def test_what_was_used_is_red_with_its_time(self, session: Session, scanner: Scanner) -> None:
        token = code_for(session, make_holding(session))
        [offer] = answers.look_up(scanner, token, at=NOW).offers
        answers.validate(scanner, offer.ticket, uses=1, at=NOW)
        again = answers.look_up(scanner, token, at=NOW)
        assert (again.colour, again.word) == ("red", "already_used")
        assert "01 Jun 2026, 12:00 UTC" in again.sentence
        twice = answers.validate(scanner, offer.ticket, uses=1, at=NOW)
        assert (twice.colour, twice.word) == ("red", "already_used")

    def test_what_is_refused_is_counted_all_the_same(
        self, session: Session, scanner: Scanner
    ) -> None:
        holding = make_holding(session)
        using.revoke(session, holding, reason="Gone", at=NOW)
        token = code_for(session, holding)
        assert answers.look_up(scanner, token, at=NOW).word == "revoked"
        assert session.scalar(select(ScanCount.scan_count)) == 1

    def test_taking_back_after_the_window_is_refused(
        self, session: Session, scanner: Scanner
    ) -> None:
        token = code_for(session, make_holding(session))
        [offer] = answers.look_up(scanner, token, at=NOW).offers
        answers.validate(scanner, offer.ticket, uses=1, at=NOW)
        [row] = queries.list_validations(session, scanner)
        assert row.is_undoable(NOW + 15 * MINUTE) and not row.is_undoable(NOW + 16 * MINUTE)
        late = answers.take_back(scanner, row.redemption.id, at=NOW + 16 * MINUTE)
        assert (late.colour, late.word) == ("red", "undo_window_over")

    def test_another_device_neither_sees_nor_takes_back(
        self, session: Session, scanner: Scanner
    ) -> None:
        other = make_device(session, name="Other")[0]
        token = code_for(session, make_holding(session))
        [offer] = answers.look_up(scanner, token, at=NOW).offers
        answers.validate(scanner, offer.ticket, uses=1, at=NOW)
        assert queries.list_validations(session, other) == []
        [row] = queries.list_validations(session, scanner)
        assert answers.take_back(other, row.redemption.id, at=NOW).word == "undo_forbidden"


class TestPass:
    @pytest.fixture
    def membership(self, session: Session) -> MembershipPass:
        """A pass on its way to the chain, whose holder has two perks."""
        make_pass_contract(session)
        membership = make_pass(session, state=PassState.MINTING)
        for title in ("Coffee", "Tea"):
            perk = perk_of(session, RedemptionType.SCAN, title=title, uses_per_holding=1)
            hold(session, perk, "ada@example.com")
        return membership

    def test_shows_what_its_holder_can_use_by_title_alone(
        self, session: Session, scanner: Scanner, membership: MembershipPass
    ) -> None:
        answer = answers.look_up(scanner, make_code(session, NOW), at=NOW)
        assert (answer.colour, answer.word) == ("green", "pass")
        assert [offer.title for offer in answer.offers] == ["Tea", "Coffee"]

    def test_opens_each_of_them_once(
        self, session: Session, scanner: Scanner, membership: MembershipPass
    ) -> None:
        answer = answers.look_up(scanner, make_code(session, NOW), at=NOW)
        for offer in answer.offers:
            assert answers.validate(scanner, offer.ticket, uses=1, at=NOW).word == "validated"
            assert answers.validate(scanner, offer.ticket, uses=1, at=NOW).word == "already_used"

    def test_of_a_suspended_one_is_red_and_offers_nothing(
        self, session: Session, scanner: Scanner, membership: MembershipPass
    ) -> None:
        membership.state = PassState.SUSPENDED
        session.flush()
        answer = answers.look_up(scanner, make_code(session, NOW), at=NOW)
        assert (answer.colour, answer.word, list(answer.offers)) == ("red", "suspended", [])
