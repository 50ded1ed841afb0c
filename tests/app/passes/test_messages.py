"""What a brand says to whoever checks a pass: kept, shown below a valid one, told to programs."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, TeamRole
from app.passes import keys, messages
from app.passes.models import VerifierMessage
from app.verification.deps import _limiter
from core.db import unit_of_work
from core.errors import InvalidError
from core.types import utc_now
from minting.models import PassState
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant, make_pass_contract
from tests.factories.passes import make_code, make_pass
from tests.factories.perks import make_place
from tests.factories.scanning import make_device

SETTINGS = "/admin/settings/pass"
COFFEE = "Free coffee on Mondays"


class TestSave:
    def test_keeps_a_text_a_language(self, session: Session) -> None:
        messages.save(session, {"en": f"  {COFFEE} ", "de": "Montags Kaffee frei"}, at=NOW)
        assert messages.texts_of(session) == {"de": "Montags Kaffee frei", "en": COFFEE}
        messages.save(session, {"de": "Kaffee", "en": " "}, at=NOW)
        assert messages.texts_of(session) == {"de": "Kaffee"}

    def test_takes_as_many_characters_as_it_says(self, session: Session) -> None:
        messages.save(session, {"en": "é" * messages.LONGEST}, at=NOW)
        with pytest.raises(InvalidError) as refused:
            messages.save(session, {"en": "é" * (messages.LONGEST + 1)}, at=NOW)
        assert refused.value.fields == {"message-en": "At most 120 characters."}
        with pytest.raises(InvalidError):
            messages.save(session, {"xx": "hello"}, at=NOW)
        assert messages.texts_of(session) == {"en": "é" * messages.LONGEST}

    def test_is_the_brands_own(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            messages.save(session, {"en": COFFEE}, at=NOW)
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            assert messages.texts_of(session) == {}


class TestSettings:
    def test_are_saved_and_shown_again(self, admin: TestClient, merchant: Merchant) -> None:
        page = admin.get(SETTINGS, headers=HTML).text
        assert 'name="message-en"' in page and "Membership pass" in page
        answer = submit(
            admin, SETTINGS, **{"message-en": COFFEE, "language": "de", "message-new": "Kaffee"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, SETTINGS)
        page = admin.get(SETTINGS, headers=HTML).text
        assert f'value="{COFFEE}"' in page and 'name="message-de"' in page
        submit(admin, SETTINGS, **{"message-en": "", "message-de": ""})
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(VerifierMessage)).all() == []

    def test_what_is_too_long_comes_back_as_typed(self, admin: TestClient) -> None:
        long = "x" * 121
        answer = submit(admin, SETTINGS, **{"message-en": long})
        assert answer.status_code == 422
        assert long in answer.text and "At most 120 characters." in answer.text

    def test_are_read_by_analysts_and_changed_by_admins(
        self, browse: Browse, admin: TestClient, merchant: Merchant
    ) -> None:
        submit(admin, SETTINGS, **{"message-en": COFFEE})
        for role in (TeamRole.EDITOR, TeamRole.ANALYST):
            client = browser_as(browse, merchant, role)
            page = client.get(SETTINGS, headers=HTML).text
            assert COFFEE in page and 'name="message-en"' not in page
            assert submit(client, SETTINGS, **{"message-en": "x"}).status_code == 403


class TestShown:
    @pytest.fixture
    def code(self, merchant: Merchant) -> str:
        """The code of a pass that is on its way to the chain."""
        _limiter.cache_clear()
        now = utc_now()
        with unit_of_work(merchant=merchant.id) as session:
            messages.save(session, {"en": COFFEE}, at=now)
            make_pass_contract(session)
            make_pass(session, state=PassState.MINTING)
            keys.current(session, at=now)
            return make_code(session, now)

    def ask(self, client: TestClient, code: str) -> object:
        answer = client.post("/v1/public/passes/verify", json={"token": code})
        return answer.json()["message"]

    def test_below_a_valid_pass(self, stranger: TestClient, code: str) -> None:
        assert COFFEE in stranger.get(f"/v/{code}", headers=HTML).text
        assert self.ask(stranger, code) == {"en": COFFEE}

    def test_on_the_scanner(self, browse: Browse, merchant: Merchant, code: str) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            _, key = make_device(session, make_place(session), at=utc_now())
        client = browse()
        client.cookies.set("cohort_scan", key)
        answer = submit(client, "/scan/lookup", page="/scan", code=code)
        assert "VALID PASS" in answer.text and COFFEE in answer.text

    def test_not_where_the_pass_does_not_stand(
        self, stranger: TestClient, merchant: Merchant, code: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_pass(session, "bob@example.com", index=346, state=PassState.SUSPENDED)
            refused = make_code(session, utc_now(), number="12-0346")
        for token in (refused, "nonsense"):
            assert COFFEE not in stranger.get(f"/v/{token}", headers=HTML).text
            assert self.ask(stranger, token) is None

    def test_is_nothing_without_one(
        self, stranger: TestClient, merchant: Merchant, code: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            messages.save(session, {}, at=utc_now())
        assert self.ask(stranger, code) is None
        assert "verdict-message" not in stranger.get(f"/v/{code}", headers=HTML).text
