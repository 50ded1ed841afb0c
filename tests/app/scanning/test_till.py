"""The API of tills: by a device's key, the codes and statuses of errors, once for each number."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.accounts.models import Merchant
from app.perks import using
from app.perks.models import Holding, PerkPlace, Redemption
from app.perks.terms import RedemptionType, parse_hours
from app.scanning import devices, redeeming
from app.scanning.deps import _LIMIT, _limiter
from app.scanning.redeeming import Asked
from app.scanning.scanner import Scanner
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import utc_now
from minting.models import PassState
from tests.app.conftest import Browse
from tests.app.web.client import HTML, ORIGIN, TestClient
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant, make_pass_contract
from tests.factories.passes import make_code, make_pass
from tests.factories.perks import code_of, hold, load, make_place, perk_of
from tests.factories.scanning import code_for, make_device, make_holding

PATH = "/v1/redemptions"
CANARY = "ada-canary@example.com"


class Till:
    """A till with its key."""

    def __init__(self, client: TestClient, merchant: Merchant) -> None:
        self.client, self.merchant = client, merchant
        with unit_of_work(merchant=merchant.id) as session:
            name = f"Till {new_id()}"
            self.scanner, self.key = make_device(session, name=name, at=utc_now())

    def post(self, path: str = "", **body: Any) -> Any:
        headers = {"authorization": f"Bearer {self.key}"}
        return self.client.post(f"{PATH}{path}", json=body, headers=headers)

    def holding(self, **changes: Any) -> Holding:
        with unit_of_work(merchant=self.merchant.id) as session:
            return make_holding(session, CANARY, title="Coffee", **changes)

    def code(self, holding: Holding, **changes: Any) -> str:
        with unit_of_work(merchant=self.merchant.id) as session:
            return code_for(session, holding, changes.get("at", utc_now()))


@pytest.fixture
def till(browse: Browse, merchant: Merchant) -> Iterator[Till]:
    """A paired till."""
    _limiter.cache_clear()
    yield Till(browse(), merchant)
    _limiter.cache_clear()


class TestLookup:
    def test_says_what_it_is_and_never_whose(self, till: Till) -> None:
        holding = till.holding(uses_per_holding=3, conditions="One a day")
        answer = till.post("/lookup", token=till.code(holding))
        assert answer.status_code == 200
        body = answer.json()
        assert (body["kind"], body["usesLeft"], body["state"]) == ("perk", 3, "available")
        assert body["holdingId"] == encode_id("hld", holding.id)
        for personal in (CANARY, str(holding.user_id), encode_id("usr", holding.user_id)):
            assert personal not in answer.text

    def test_changes_nothing(self, till: Till) -> None:
        token = till.code(till.holding())
        for _ in range(3):
            assert till.post("/lookup", token=token).json()["usesLeft"] == 1
        assert till.post(token=token, externalId="1").status_code == 200

    def test_of_a_pass_answers_its_verdict_and_perks(self, till: Till) -> None:
        with unit_of_work(merchant=till.merchant.id) as session:
            make_pass_contract(session)
            make_pass(session, CANARY, state=PassState.MINTING)
            perk = perk_of(session, RedemptionType.SCAN, title="Tea", uses_per_holding=1)
            hold(session, perk, CANARY)
            token = make_code(session, utc_now())
        answer = till.post("/lookup", token=token)
        body = answer.json()
        assert (body["kind"], body["valid"], body["registered"]["status"]) == (
            *("pass", True, "pending"),
        )
        assert [perk["title"] for perk in body["perks"]] == ["Tea"]
        assert CANARY not in answer.text

    def test_of_a_suspended_pass_names_no_perks(self, till: Till) -> None:
        with unit_of_work(merchant=till.merchant.id) as session:
            make_pass_contract(session)
            make_pass(session, CANARY, state=PassState.SUSPENDED)
            hold(session, perk_of(session, RedemptionType.SCAN, uses_per_holding=1), CANARY)
            token = make_code(session, utc_now())
        body = till.post("/lookup", token=token).json()
        assert (body["valid"], body["reason"], body["perks"]) == (False, "suspended", [])


class TestSameCode:
    def both(self, till: Till) -> tuple[Holding, Holding]:
        with unit_of_work(merchant=till.merchant.id) as session:
            found = []
            for title in ("Coffee", "Tea"):
                perk = perk_of(session, RedemptionType.UNIQUE_CODE, title=title, uses_per_holding=1)
                load(session, perk, "SAME\n", name="c.txt")
                found.append(hold(session, perk, f"{title}@example.com"))
            return found[0], found[1]

    def test_a_till_says_which_perk_it_means(self, till: Till) -> None:
        _, tea = self.both(till)
        for answer in (till.post("/lookup", code="SAME"), till.post(code="SAME", externalId="1")):
            assert (answer.status_code, answer.json()["code"]) == (409, "code_ambiguous")
            assert "Coffee" in answer.json()["detail"] and "Tea" in answer.json()["detail"]
        named = {"code": "SAME", "perkId": encode_id("prk", tea.perk_id)}
        assert till.post("/lookup", **named).json()["title"] == "Tea"
        assert till.post(externalId="1", **named).json()["holdingId"] == encode_id("hld", tea.id)
        # The other one is the only one left.
        assert till.post(code="SAME", externalId="2").json()["title"] == "Coffee"
        assert till.post(code="SAME", externalId="3").json()["code"] == "already_used"

    def test_a_perk_that_has_another_code_is_refused(self, till: Till) -> None:
        self.both(till)
        other = encode_id("prk", new_id())
        answer = till.post("/lookup", code="SAME", perkId=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "code_unknown")
        assert till.post("/lookup", code="SAME", perkId="tea").status_code == 404


class TestRedeem:
    def test_takes_the_uses(self, till: Till) -> None:
        holding = till.holding(uses_per_holding=3)
        answer = till.post(token=till.code(holding), uses=2, externalId="sale-1")
        assert answer.status_code == 200
        body = answer.json()
        assert (body["uses"], body["usesLeft"], body["state"]) == (2, 1, "available")
        assert body["placeId"] == encode_id("plc", till.scanner.place_id)  # type: ignore[arg-type]
        assert body["id"].startswith("rdm_") and body["externalId"] == "sale-1"

    def test_again_under_the_same_number_answers_the_same_and_takes_nothing(
        self, till: Till
    ) -> None:
        holding = till.holding(uses_per_holding=3)
        asked = {"token": till.code(holding), "uses": 1, "externalId": "sale-1"}
        first, second = till.post(**asked), till.post(**asked)
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json() == second.json()
        with unit_of_work(merchant=till.merchant.id) as session:
            assert session.get_one(Holding, holding.id).uses_left == 2

    def test_another_request_under_the_same_number_is_refused(self, till: Till) -> None:
        holding = till.holding(uses_per_holding=3)
        till.post(token=till.code(holding), externalId="sale-1")
        answer = till.post(token=till.code(holding), externalId="sale-1")
        assert (answer.status_code, answer.json()["code"]) == (409, "external_id_reused")

    def test_a_number_is_free_again_after_a_refusal(self, till: Till) -> None:
        holding = till.holding()
        answer = till.post(token=till.code(holding), uses=2, externalId="sale-1")
        assert answer.json()["code"] == "too_few_uses"
        answer = till.post(token=till.code(holding), uses=1, externalId="sale-1")
        assert answer.status_code == 200

    def test_a_code_of_a_pool(self, till: Till) -> None:
        with unit_of_work(merchant=till.merchant.id) as session:
            perk = perk_of(session, RedemptionType.UNIQUE_CODE, uses_per_holding=1)
            load(session, perk, "code\nSUMMER-1\n")
            code = code_of(session, hold(session, perk))
        assert till.post("/lookup", code=code).json()["title"] == "Coffee"
        assert till.post(code=code, externalId="1").status_code == 200

    def test_undone_by_the_same_till(self, till: Till) -> None:
        holding = till.holding()
        row = till.post(token=till.code(holding), externalId="1").json()
        answer = till.post(f"/{row['id']}/undo")
        assert (answer.status_code, answer.json()["undoOf"]) == (200, row["id"])
        again = till.post(f"/{row['id']}/undo")
        assert (again.status_code, again.json()["code"]) == (409, "already_undone")

    def test_not_by_another_till(self, till: Till, browse: Browse) -> None:
        row = till.post(token=till.code(till.holding()), externalId="1").json()
        with unit_of_work(merchant=till.merchant.id) as session:
            _, till.key = make_device(session, name="Till 2", at=utc_now())
        answer = till.post(f"/{row['id']}/undo")
        assert (answer.status_code, answer.json()["code"]) == (403, "undo_forbidden")

    def test_of_many_at_once_under_one_number_one_redeems(self, committed: None) -> None:
        merchant, together = make_merchant().id, Barrier(6)
        with unit_of_work(merchant=merchant) as session:
            holding = make_holding(session, uses_per_holding=6)
            asked = Asked(code_for(session, holding), 1, None, "sale-1")
            scanner: Scanner = make_device(session)[0]

        def redeem(_: int) -> str:
            with unit_of_work(merchant=merchant) as session:
                together.wait(20)
                return str(redeeming.redeem_for_till(session, scanner, asked, at=NOW)["id"])

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(redeem, range(6)))) == 1
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(Redemption)) == 1
            assert session.get_one(Holding, holding.id).uses_left == 5


class TestTwoTills:
    """Both send the same code within the same moment, each over its own connection."""

    @pytest.mark.parametrize("left", [1, 3])
    def test_one_redeems_and_the_other_is_told_when(
        self, whole_app: FastAPI, committed: None, left: int
    ) -> None:
        merchant, together = make_merchant(), Barrier(2)
        tills = [Till(TestClient(whole_app), merchant) for _ in range(2)]
        token = tills[0].code(tills[0].holding(uses_per_holding=left))

        def send(till: Till) -> Any:
            together.wait(20)
            return till.post(token=token, externalId=till.key[:8])

        with ThreadPoolExecutor(2) as pool:
            answers = sorted(pool.map(send, tills), key=lambda it: it.status_code)
        first, second = answers
        assert (first.status_code, second.status_code) == (200, 409)
        assert second.json()["code"] == "already_used"
        assert second.json()["firstAt"] == first.json()["at"]
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(Redemption)) == 1
            assert session.scalars(select(Holding.uses_left)).one() == left - 1


class TestErrors:
    """Every code and status that tills know."""

    def refused(self, answer: Any) -> tuple[int, str]:
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["code"]

    def test_code_unknown(self, till: Till) -> None:
        assert self.refused(till.post("/lookup", code="NOTHING")) == (404, "code_unknown")
        assert self.refused(till.post(code="NOTHING", externalId="1")) == (404, "code_unknown")

    def test_already_used_with_the_first_ones_time(self, till: Till) -> None:
        holding = till.holding()
        first = till.post(token=till.code(holding), externalId="1").json()
        answer = till.post(token=till.code(holding), externalId="2")
        assert self.refused(answer) == (409, "already_used")
        assert answer.json()["firstAt"] == first["at"]
        lookup = till.post("/lookup", token=till.code(holding))
        assert self.refused(lookup) == (409, "already_used")

    def test_expired(self, till: Till) -> None:
        holding = till.holding()
        with unit_of_work(merchant=till.merchant.id) as session:
            session.get_one(Holding, holding.id).valid_until = utc_now()
        answer = till.post(token=till.code(holding), externalId="1")
        assert self.refused(answer) == (409, "expired")

    def test_revoked(self, till: Till) -> None:
        holding = till.holding()
        with unit_of_work(merchant=till.merchant.id) as session:
            using.revoke(session, session.get_one(Holding, holding.id), reason="x", at=NOW)
        answer = till.post(token=till.code(holding), externalId="1")
        assert self.refused(answer) == (409, "revoked")

    def test_outside_hours(self, till: Till) -> None:
        day = (utc_now() + timedelta(days=3)).weekday()
        hours = parse_hours(["10:00-11:00" if it == day else "" for it in range(7)]).dump()
        holding = till.holding(usable_hours=hours)
        answer = till.post(token=till.code(holding), externalId="1")
        assert self.refused(answer) == (409, "outside_hours")

    def test_wrong_place(self, till: Till) -> None:
        holding = till.holding()
        with unit_of_work(merchant=till.merchant.id) as session:
            place = make_place(session, "Elsewhere")
            session.add(PerkPlace(perk_id=holding.perk_id, place_id=place.id))
        answer = till.post(token=till.code(holding), externalId="1")
        assert self.refused(answer) == (409, "wrong_place")

    def test_a_till_that_believes_to_stand_elsewhere(self, till: Till) -> None:
        token = till.code(till.holding())
        elsewhere = encode_id("plc", new_id())
        answer = till.post(token=token, externalId="1", placeRef=elsewhere)
        assert self.refused(answer) == (409, "wrong_place")
        assert till.scanner.place_id is not None
        here = encode_id("plc", till.scanner.place_id)
        assert till.post(token=token, externalId="1", placeRef=here).status_code == 200

    def test_token_expired(self, till: Till) -> None:
        token = till.code(till.holding(), at=utc_now() - timedelta(seconds=92))
        assert self.refused(till.post("/lookup", token=token)) == (410, "token_expired")
        assert self.refused(till.post(token=token, externalId="1")) == (410, "token_expired")

    def test_token_forged(self, till: Till) -> None:
        token = till.code(till.holding())
        forged = f"{token[:-4]}{'AAAA' if not token.endswith('AAAA') else 'BBBB'}"
        assert self.refused(till.post("/lookup", token=forged)) == (401, "token_forged")

    def test_of_another_brand_is_forged(self, till: Till) -> None:
        with unit_of_work(merchant=make_other_merchant(till.merchant)) as session:
            token = code_for(session, make_holding(session), utc_now())
        assert self.refused(till.post(token=token, externalId="1")) == (401, "token_forged")

    @pytest.mark.parametrize(
        "body",
        [
            {"externalId": "1"},
            {"code": "a", "token": "b", "externalId": "1"},
            {"code": "a"},
            {"code": "", "externalId": "1"},
            {"code": "a", "externalId": ""},
            {"code": "a", "externalId": "a b"},
            {"code": "a", "externalId": "x" * 101},
            {"code": "a", "externalId": "1", "uses": 0},
            {"code": "a", "externalId": "1", "uses": 1001},
        ],
    )
    def test_validation_failed(self, till: Till, body: dict[str, Any]) -> None:
        assert self.refused(till.post(**body)) == (422, "validation_failed")

    def test_an_unknown_redemption_is_not_undone(self, till: Till) -> None:
        answer = till.post(f"/{encode_id('rdm', new_id())}/undo")
        assert self.refused(answer) == (404, "redemption_not_found")

    def test_too_many(self, till: Till) -> None:
        for _ in range(600):
            assert _limiter().hit(_LIMIT, "scan", till.scanner.actor)
        answer = till.post("/lookup", code="NOTHING")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        till.client.cookies.set("cohort_scan", till.key)
        assert till.client.get("/scan", headers=HTML).status_code == 429


class TestPairing:
    PATH = "/v1/public/devices/pair"

    def test_a_code_brings_the_key_once(self, till: Till) -> None:
        with unit_of_work(merchant=till.merchant.id) as session:
            device = devices.add(session, "Till 2", make_place(session), at=NOW)
            code = devices.invite(session, device, at=utc_now())
        answer = till.client.post(self.PATH, json={"code": code})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        body = answer.json()
        assert (body["deviceId"], body["name"]) == (encode_id("dev", device.id), "Till 2")
        till.key = body["key"]
        assert till.post("/lookup", code="x").json()["code"] == "code_unknown"
        again = till.client.post(self.PATH, json={"code": code})
        assert (again.status_code, again.json()["code"]) == (404, "pairing_over")

    @pytest.mark.parametrize(("body", "status"), [({"code": "x"}, 404), ({"code": ""}, 422)])
    def test_anything_else_brings_none(self, till: Till, body: dict[str, str], status: int) -> None:
        assert till.client.post(self.PATH, json=body).status_code == status


class TestKey:
    @pytest.mark.parametrize("path", ["", "/lookup", f"/{encode_id('rdm', new_id())}/undo"])
    def test_without_one_nothing_works(
        self, whole_app: FastAPI, till: Till, admin: TestClient, path: str
    ) -> None:
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Basic {till.key}"}):
            answer = till.client.post(
                f"{PATH}{path}", json={"code": "a"}, headers={**headers, "origin": ORIGIN}
            )
            assert answer.status_code in (401, 403)

    def test_a_revoked_one_is_refused_at_once(self, till: Till) -> None:
        assert till.post("/lookup", code="x").status_code == 404
        with unit_of_work(merchant=till.merchant.id) as session:
            assert till.scanner.device is not None
            device = devices.get(session, till.scanner.device.id)
            devices.revoke(session, device, at=utc_now())
        answer = till.post("/lookup", code="x")
        assert (answer.status_code, answer.json()["code"]) == (401, "device_key_refused")

    def test_in_a_cookie_is_none(self, till: Till) -> None:
        till.client.cookies.set("cohort_scan", till.key)
        answer = till.client.post(f"{PATH}/lookup", json={"code": "x"}, headers={"origin": ORIGIN})
        assert answer.status_code == 403
