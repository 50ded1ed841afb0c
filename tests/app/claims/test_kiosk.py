"""A code on a screen: one at a time, each for one person, for whoever has the link."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.claims import kiosk, service
from app.claims.errors import KioskMissingError
from app.claims.models import ClaimBatch, ClaimCode
from app.claims.paths import base_of
from app.claims.seeds import code_of
from core.db import unit_of_work
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW, make_merchant
from tests.factories.claims import make_batch

HALF, WHOLE = timedelta(seconds=15), timedelta(seconds=30)


def screen(session: Session, codes: int = 4) -> ClaimBatch:
    return make_batch(session, codes=codes, kiosk_seconds=30)


def use(session: Session, batch: ClaimBatch, position: int) -> None:
    is_it = (ClaimCode.batch_id == batch.id) & (ClaimCode.position == position)
    session.execute(update(ClaimCode).where(is_it).values(uses_left=0))


class TestCode:
    def test_is_another_after_its_time(self, session: Session) -> None:
        batch = screen(session)
        shown = [
            kiosk.shown_code(session, batch, at=NOW + it)
            for it in (0 * HALF, HALF, WHOLE, WHOLE + HALF, 2 * WHOLE)
        ]
        codes = [code_of(batch, it) for it in (1, 1, 2, 2, 3)]
        assert shown == codes

    def test_is_another_at_once_when_it_was_used(self, session: Session) -> None:
        batch = screen(session)
        assert kiosk.shown_code(session, batch, at=NOW) == code_of(batch, 1)
        use(session, batch, 1)
        assert kiosk.shown_code(session, batch, at=NOW) == code_of(batch, 2)
        assert kiosk.shown_code(session, batch, at=NOW + HALF) == code_of(batch, 2)

    def test_is_none_that_is_used_or_disabled(self, session: Session) -> None:
        batch = screen(session)
        use(session, batch, 1)
        service.disable(session, batch, 2, is_disabled=True, at=NOW)
        assert kiosk.shown_code(session, batch, at=NOW) == code_of(batch, 3)

    def test_is_shown_once_and_then_there_are_none(self, session: Session) -> None:
        batch = screen(session, codes=2)
        shown = [kiosk.shown_code(session, batch, at=NOW + it * WHOLE) for it in range(4)]
        assert shown == [code_of(batch, 1), code_of(batch, 2), None, None]

    def test_is_none_of_a_closed_batch(self, session: Session) -> None:
        batch = screen(session)
        service.close(session, batch, at=NOW)
        assert kiosk.shown_code(session, batch, at=NOW) is None


class TestTogether:
    def test_screens_with_one_link_show_one_code_at_the_same_time(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            batch_id = screen(session, codes=20).id

        def ask(moment: int) -> tuple[int, str | None]:
            with unit_of_work(merchant=merchant) as session:
                batch = session.get_one(ClaimBatch, batch_id)
                return moment, kiosk.shown_code(session, batch, at=NOW + moment * WHOLE)

        for moment in range(3):
            with ThreadPoolExecutor(8) as pool:
                shown = set(pool.map(ask, [moment] * 8))
            with unit_of_work(merchant=merchant) as session:
                code = code_of(session.get_one(ClaimBatch, batch_id), moment + 1)
            assert shown == {(moment, code)}


class TestLink:
    def test_opens_the_screen_until_there_is_a_new_one(self, session: Session) -> None:
        batch = screen(session)
        first = kiosk.open_link(session, batch)
        assert kiosk.find(session, first) is batch
        second = kiosk.open_link(session, batch)
        assert kiosk.find(session, second) is batch
        for token in (first, "", "x"):
            with pytest.raises(KioskMissingError):
                kiosk.find(session, token)

    def test_is_only_for_codes_of_a_screen_that_can_be_shown(self, session: Session) -> None:
        with pytest.raises(KioskMissingError):
            kiosk.open_link(session, make_batch(session))
        batch = screen(session)
        token = kiosk.open_link(session, batch)
        service.seal_batch(session, batch, at=NOW)
        with pytest.raises(KioskMissingError):
            kiosk.find(session, token)


class TestPage:
    def test_shows_a_code_to_whoever_has_the_link(
        self, admin: TestClient, stranger: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            batch = screen(session)
        page = submit(admin, f"{base_of(batch)}/kiosk")
        assert page.status_code == 200
        link = page.text.split('href="http://testserver/kiosk/')[1].split('"')[0]
        path = f"/kiosk/{link}"
        assert 'class="qr"' not in stranger.get(path, headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(ClaimBatch.kiosk_position)).one() == 0
        shown = submit(stranger, path, page=path)
        assert 'class="qr"' in shown.text and "<html" not in shown.text
        assert submit(stranger, path, page=path).text == shown.text
        submit(admin, f"{base_of(batch)}/close")
        assert "no codes at the moment" in submit(stranger, path, page=path).text

    def test_does_not_exist_without_it(self, stranger: TestClient) -> None:
        assert stranger.get("/kiosk/nothing", headers=HTML).status_code == 404
        assert submit(stranger, "/kiosk/nothing", page="/claim").status_code == 404
