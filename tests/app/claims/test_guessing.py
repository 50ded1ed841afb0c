"""Guessing: how many unknown codes are looked at, from where, and what a proof of work is worth."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.claims import challenge, claiming, guessing
from app.claims.claiming import Attempt, Claimed, Offer, claim, look
from app.claims.guessing import network_of
from app.claims.models import ChallengePolicy, ClaimGuess, ClaimProof
from app.claims.seeds import code_of
from app.users.models import User
from core.db import unit_of_work
from core.errors import AppError
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members
from tests.factories.claims import make_batch

GUESSES = int(os.environ.get("GUESSES", "6000"))
"""`GUESSES=100000 pytest tests/app/claims/test_guessing.py` takes minutes."""
HERE, THERE = network_of("192.0.2.1"), network_of("192.0.2.2")
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def solve(asked: str) -> str:
    """What a browser would answer."""
    nonce = asked.split(".")[0]
    found = next(it for it in count() if challenge.is_solution(nonce, str(it)))
    return f"{asked}:{found}"


def guess(session: Session, *, at: datetime, network: bytes = HERE, answer: str = "") -> str:
    outcome = look(session, Attempt("A" * 26, network, answer), at=at)
    assert isinstance(outcome, AppError)
    return outcome.code


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many codes were searched for so far."""
    seen: list[str] = []
    known = claiming.code_fingerprint

    def noting(code: str) -> bytes:
        seen.append(code)
        return known(code)

    monkeypatch.setattr(claiming, "code_fingerprint", noting)
    return lambda: len(seen)


@pytest.fixture
def easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenge that is solved at once."""
    solved = challenge.is_solution
    monkeypatch.setattr(
        challenge, "is_solution", lambda nonce, number: solved(nonce, number, bits=4)
    )


class TestNetwork:
    def test_is_a_hash_of_the_address(self) -> None:
        assert b"192" not in HERE and HERE != THERE
        assert network_of("192.0.2.1") == HERE == network_of("::ffff:192.0.2.1")

    def test_of_the_newer_protocol_is_the_subscribers(self) -> None:
        home = network_of("2001:db8:1:2::1")
        assert network_of("2001:db8:1:2:ffff::9") == home == network_of("2001:db8:1:2::1%eth0")
        assert network_of("2001:db8:1:3::1") != home

    def test_whatever_stands_there_has_one(self) -> None:
        assert network_of("unknown") != network_of("") != HERE


class TestLimits:
    def test_ten_within_ten_minutes_then_a_proof(
        self, session: Session, looked_up: Callable[[], int]
    ) -> None:
        answers = [guess(session, at=NOW + it * SECOND) for it in range(12)]
        assert answers == [*["code_unknown"] * 10, *["proof_needed"] * 2]
        assert looked_up() == 10
        assert guess(session, at=NOW, network=THERE) == "code_unknown"
        assert guess(session, at=NOW + timedelta(minutes=12)) == "code_unknown"

    def test_fifty_within_an_hour_are_the_end(
        self, session: Session, looked_up: Callable[[], int], easy: None
    ) -> None:
        answers = []
        for it in range(55):
            at = NOW + it * SECOND
            asked = challenge.new_challenge(HERE, at=at)
            answers.append(guess(session, at=at, answer=solve(asked)))
        assert answers == [*["code_unknown"] * 50, *["too_many_guesses"] * 5]
        assert looked_up() == 50
        late = NOW + HOUR - timedelta(minutes=1)
        assert guess(session, at=late) == "too_many_guesses"
        assert guess(session, at=NOW + HOUR + timedelta(minutes=2)) == "code_unknown"

    def test_many_thousands_from_many_machines_are_stopped(self, committed: None) -> None:
        """Ten networks, two machines in each that solve no challenge: a hundred are looked at."""
        merchant, each = make_merchant().id, GUESSES // 20

        def attack(machine: int) -> Counter[str]:
            network = network_of(f"198.51.100.{machine % 10}")
            answers: Counter[str] = Counter()
            for it in range(each):
                at = NOW + it * timedelta(minutes=9) / each
                with unit_of_work(merchant=merchant) as session:
                    answers[guess(session, at=at, network=network)] += 1
            return answers

        with ThreadPoolExecutor(20) as pool:
            answers = sum(pool.map(attack, range(20)), Counter[str]())
        looked_at = answers["code_unknown"]
        assert 100 <= looked_at <= 110  # where both machines of a network asked for the tenth
        assert answers == {"code_unknown": looked_at, "proof_needed": 20 * each - looked_at}
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.sum(ClaimGuess.guess_count))) == looked_at

    def test_who_knows_a_code_is_not_counted(self, session: Session) -> None:
        batch = make_batch(session)
        for _ in range(20):
            assert isinstance(look(session, Attempt(code_of(batch, 1), HERE), at=NOW), Offer)
        assert session.scalars(select(ClaimGuess)).all() == []

    def test_a_good_code_waits_for_the_proof_like_any(self, session: Session, easy: None) -> None:
        batch = make_batch(session)
        for _ in range(10):
            guess(session, at=NOW)
        good = Attempt(code_of(batch, 1), HERE)
        refused = look(session, good, at=NOW)
        assert isinstance(refused, AppError) and refused.status == 429
        answer = solve(challenge.new_challenge(HERE, at=NOW))
        assert isinstance(look(session, Attempt(good.typed, HERE, answer), at=NOW), Offer)

    def test_the_team_hears_of_a_thousand_an_hour(self, session: Session) -> None:
        for it in range(30):
            for _ in range(10):
                guess(session, at=NOW, network=network_of(f"203.0.113.{it}"))
        assert guessing.within_hour(session, at=NOW) == 300
        assert guessing.within_hour(session, at=NOW + HOUR) == 0

    def test_nothing_is_kept_beyond_thirty_days(self, session: Session) -> None:
        guess(session, at=NOW)
        assert guessing.forget_old(session, at=NOW + timedelta(days=30)) == 0
        assert guessing.forget_old(session, at=NOW + timedelta(days=31)) == 1

    def test_those_at_the_same_moment_are_all_counted(self, committed: None) -> None:
        merchant = make_merchant().id

        def one(_: int) -> str:
            with unit_of_work(merchant=merchant) as session:
                return guess(session, at=NOW)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(one, range(200)))
        unknown = answers.count("code_unknown")
        assert 10 <= unknown <= 10 + 16  # what ran when the limit was reached
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.sum(ClaimGuess.guess_count))) == unknown


class TestWithoutProof:
    """Codes of a batch that never takes a proof."""

    def test_are_looked_at_and_claimed_whatever_was_guessed_before(self, session: Session) -> None:
        batch = make_batch(session, challenge=ChallengePolicy.OFF)
        user = session.get_one(User, make_members(session, "ada@example.com")[0])
        for _ in range(12):
            guess(session, at=NOW)
        good = Attempt(code_of(batch, 1), HERE)
        offer = look(session, good, at=NOW)
        assert isinstance(offer, Offer) and not offer.needs_proof
        assert isinstance(claim(session, user, good, at=NOW), Claimed)

    def test_make_no_other_code_free(self, session: Session) -> None:
        make_batch(session, challenge=ChallengePolicy.OFF)
        careful = make_batch(session)
        answers = [guess(session, at=NOW) for _ in range(12)]
        assert answers == [*["code_unknown"] * 10, *["proof_needed"] * 2]
        refused = look(session, Attempt(code_of(careful, 1), HERE), at=NOW)
        assert isinstance(refused, AppError) and refused.code == "proof_needed"

    def test_guessing_them_ends_at_fifty(
        self, session: Session, looked_up: Callable[[], int]
    ) -> None:
        batch = make_batch(session, challenge=ChallengePolicy.OFF)
        answers = [guess(session, at=NOW) for _ in range(55)]
        assert answers[10:] == [*["proof_needed"] * 40, *["too_many_guesses"] * 5]
        assert looked_up() == 50
        refused = look(session, Attempt(code_of(batch, 1), HERE), at=NOW)
        assert isinstance(refused, AppError) and refused.code == "too_many_guesses"


class TestProof:
    def test_is_worth_one_try_of_its_network(self, session: Session) -> None:
        answer = solve(challenge.new_challenge(HERE, at=NOW))
        assert not challenge.is_proven(session, THERE, answer, at=NOW)
        assert challenge.is_proven(session, HERE, answer, at=NOW)
        assert not challenge.is_proven(session, HERE, answer, at=NOW)

    @pytest.mark.parametrize(
        "answer",
        ["", ":", "a.b.c:1", "0" * 16 + ".9999999999.aa:1", "é.1.2:3", "x" * 10_000, "....:"],
    )
    def test_what_we_did_not_ask_is_none(self, session: Session, answer: str) -> None:
        assert not challenge.is_proven(session, HERE, answer, at=NOW)

    def test_a_number_that_does_not_solve_it_is_none(self, session: Session) -> None:
        asked = challenge.new_challenge(HERE, at=NOW)
        nonce = asked.split(".")[0]
        wrong = next(it for it in count() if not challenge.is_solution(nonce, str(it)))
        assert not challenge.is_proven(session, HERE, f"{asked}:{wrong}", at=NOW)

    def test_too_late_it_is_none(self, session: Session, easy: None) -> None:
        answer = solve(challenge.new_challenge(HERE, at=NOW))
        assert not challenge.is_proven(session, HERE, answer, at=NOW + challenge.LIFETIME)

    def test_its_expiry_cannot_be_moved(self, session: Session, easy: None) -> None:
        nonce, expires, signature = challenge.new_challenge(HERE, at=NOW).split(".")
        moved = f"{nonce}.{int(expires) + 600}.{signature}"
        assert not challenge.is_proven(session, HERE, solve(moved), at=NOW)

    def test_what_was_used_is_forgotten_when_it_is_void(self, session: Session, easy: None) -> None:
        answer = solve(challenge.new_challenge(HERE, at=NOW))
        assert challenge.is_proven(session, HERE, answer, at=NOW)
        assert challenge.forget_old(session, at=NOW + challenge.LIFETIME) == 0
        assert challenge.forget_old(session, at=NOW + 2 * challenge.LIFETIME) == 1
        assert session.scalars(select(ClaimProof)).all() == []

    def test_a_batch_may_ask_for_one_always(self, session: Session, easy: None) -> None:
        batch = make_batch(session, challenge=ChallengePolicy.ALWAYS)
        user = session.get_one(User, make_members(session, "ada@example.com")[0])
        typed = code_of(batch, 1)
        offer = look(session, Attempt(typed, HERE), at=NOW)
        assert isinstance(offer, Offer) and offer.needs_proof
        refused = claim(session, user, Attempt(typed, HERE), at=NOW)
        assert isinstance(refused, AppError) and refused.code == "proof_needed"
        answer = solve(challenge.new_challenge(HERE, at=NOW))
        assert isinstance(claim(session, user, Attempt(typed, HERE, answer), at=NOW), Claimed)
