"""The codes a member's page holds: of now and of the next minutes, each signed and of its own."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from app.passes import checking, codes
from app.passes.tokens import Reason
from core.ids import new_id
from core.types import HoldingId
from minting.models import PassState
from tests.conftest import NOW
from tests.factories.passes import make_pass


def token_of(code: codes.Code) -> str:
    return code.address.rpartition("/")[2]


class TestOfPass:
    def test_one_for_now_leads_to_its_verdict(self, session: Session) -> None:
        [code] = codes.of_pass(session, make_pass(session), at=NOW)
        assert code.address.startswith("http://testserver/v/")
        assert checking.check(session, token_of(code), at=NOW).reason is None

    def test_those_ahead_follow_every_half_minute_for_ten_minutes_and_more(
        self, session: Session
    ) -> None:
        made = codes.of_pass(session, make_pass(session), ahead=codes.AHEAD, at=NOW)
        starts = [code.starts_at - int(NOW.timestamp()) for code in made]
        assert starts == list(range(0, 930, 30))
        assert len({token_of(code) for code in made}) == len(made)

    def test_each_is_valid_when_it_is_shown_and_not_long_before(self, session: Session) -> None:
        made = codes.of_pass(session, make_pass(session), ahead=3, at=NOW)
        for place, code in enumerate(made):
            shown = NOW + timedelta(seconds=30 * place)
            assert checking.check(session, token_of(code), at=shown).reason is None
        early = checking.check(session, token_of(made[3]), at=NOW)
        assert early.reason is Reason.NOT_YET_VALID

    @pytest.mark.parametrize("state", [PassState.SUSPENDED, PassState.REVOKED])
    def test_none_of_one_that_is_not_to_be_shown(self, session: Session, state: PassState) -> None:
        assert codes.of_pass(session, make_pass(session, state=state), at=NOW) == []

    def test_none_without_a_number(self, session: Session) -> None:
        waiting = make_pass(session, state=PassState.QUEUED, batch_number=None, index=None)
        assert codes.of_pass(session, waiting, at=NOW) == []

    def test_one_that_is_being_registered_has_one(self, session: Session) -> None:
        assert codes.of_pass(session, make_pass(session, state=PassState.MINTING), at=NOW)


class TestOfHolding:
    def test_names_the_holding(self, session: Session) -> None:
        holding = HoldingId(new_id())
        [code] = codes.of_holding(session, holding, at=NOW)
        claims = checking.check(session, token_of(code), at=NOW).claims
        assert claims is not None and (claims.holding, claims.number) == (holding, None)
