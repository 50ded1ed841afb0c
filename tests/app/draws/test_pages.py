"""The team's screens of draws, and the member's box: from the form to what was won."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, TeamRole
from app.draws import boxes, moving, odds, raffles, winners
from app.draws.algorithm import Mode, Params
from app.draws.models import Box, BoxOpening, Draw, DrawState, Ticket
from app.perks.models import Holding, Perk
from app.privacy.known import everything_of
from app.segments import rules
from app.segments import service as segments
from app.users import lists
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import BoxId, PerkId
from tests.app.conftest import Browse, browser_as
from tests.app.draws.made import some
from tests.app.web.client import HTML, ORIGIN, TestClient, submit, token_in
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant, make_perk
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

NEW = "/admin/draws/new"
AFTER = DRAW_AT + timedelta(minutes=5)


def address(draw: Draw) -> str:
    return f"/admin/draws/{encode_id('drw', draw.id)}"


def make(merchant: Merchant, **changes: object) -> Draw:
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        return make_draw(session, 1, **{"boxes": 10, **changes})


def perk(merchant: Merchant, title: str = "Coffee", **changes: object) -> PerkId:
    with unit_of_work(merchant=merchant.id) as session:
        return make_perk(session, title, **changes).id


class TestNew:
    def form(self, *perks: PerkId, **changes: object) -> dict[str, object]:
        values = {
            "name": "Summer",
            "mode": "instant",
            "boxes": "1,000",
            "reward": [encode_id("prk", it) for it in perks],
            "quantity": ["10"] * len(perks),
            "shows_odds": "1",
        }
        return {**values, **changes}

    def test_commits_to_a_draw_of_boxes(self, admin: TestClient, merchant: Merchant) -> None:
        one, two = perk(merchant, "Coffee"), perk(merchant, "Cake")
        answer = submit(admin, NEW, **self.form(one, two))
        assert answer.status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            draw = session.scalars(select(Draw)).one()
            assert answer.headers["location"] == address(draw)
            assert (draw.boxes, draw.mode, draw.shows_odds) == (1000, Mode.INSTANT, True)
            assert [line.quantity for line in draw.lines] == [10, 10]

    def test_commits_to_a_raffle(self, admin: TestClient, merchant: Merchant) -> None:
        fields = self.form(
            perk(merchant),
            mode="raffle",
            boxes="",
            draw_at="2099-01-01T18:30",
            max_wins_per_user="2",
            reserves="3",
            shows_odds="",
        )
        assert submit(admin, NEW, **fields).status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            params = Params.read(session.scalars(select(Draw.params)).one())
            assert (params.draw_at, params.boxes) == ("2099-01-01T18:30:00Z", None)
            assert (params.max_wins_per_user, params.reserves) == (2, 3)

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"name": ""}, "Enter a name"),
            ({"boxes": "many"}, "A whole number."),
            ({"boxes": "5"}, "There are 10 prizes"),
            ({"quantity": ["x"]}, "A quantity is a whole number."),
            ({"reward": [""]}, "Choose between 1 and 10 rewards."),
            ({"mode": "raffle"}, "Choose a time in the future."),
            ({"mode": "raffle", "draw_at": "tomorrow"}, "Choose a time in the future."),
        ],
    )
    def test_says_what_to_change_and_keeps_what_was_typed(
        self, admin: TestClient, merchant: Merchant, changes: dict[str, object], sentence: str
    ) -> None:
        answer = submit(admin, NEW, **self.form(perk(merchant), **changes))
        assert answer.status_code == 422
        assert sentence in answer.text
        assert f'value="{changes.get("name", "Summer")}"' in answer.text

    def test_says_when_there_is_too_little_in_stock(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        answer = submit(admin, NEW, **self.form(perk(merchant, total_quantity=4)))
        assert answer.status_code == 409
        assert "The draw promises 10 of “Coffee”, but 4 are left." in answer.text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(Draw)) == 0

    def test_is_for_admins(self, browse: Browse, merchant: Merchant) -> None:
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        assert editor.get(NEW, headers=HTML).status_code == 403
        assert editor.get("/admin/draws", headers=HTML).status_code == 200


class TestShow:
    def test_lists_draws(self, admin: TestClient, merchant: Merchant) -> None:
        assert "No draws yet" in admin.get("/admin/draws", headers=HTML).text
        draw = make(merchant)
        assert address(draw) in admin.get("/admin/draws", headers=HTML).text

    def test_says_commitment_and_odds(self, admin: TestClient, merchant: Merchant) -> None:
        draw = make(merchant)
        page = admin.get(address(draw), headers=HTML).text
        assert draw.commitment.hex() in page
        assert "10.0000 %" in page and "90.0000 %" in page

    def test_says_what_was_opened_and_who_had_the_seed_read(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session, 1, boxes=3)
            hand_out(session, draw, *make_members(session, "bo@example.com"))
            box = session.scalars(select(Box)).one()
            boxes.open_box(session, box, nonce=some(1, 32), at=NOW)
        page = admin.get(address(draw), headers=HTML).text
        assert "bo@example.com" in page and "opening 1" in page

    def test_never_says_the_seed(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session, 1, boxes=3)
            hand_out(session, draw, *make_members(session, "bo@example.com"))
            seed = moving.seeds.read(session, draw, purpose="test")
        for path in ("", "/simulation", "/hand-out"):
            assert seed.hex() not in admin.get(address(draw) + path, headers=HTML).text

    def test_of_another_merchant_is_not_there(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant), actor="test") as session:
            draw = make_draw(session)
        for path in ("", "/simulation", "/hand-out"):
            assert admin.get(address(draw) + path, headers=HTML).status_code == 404

    def test_simulates_boxes_and_no_raffle(self, admin: TestClient, merchant: Merchant) -> None:
        draw = make(merchant, boxes=100)
        page = admin.get(f"{address(draw)}/simulation", headers=HTML).text
        assert "Tenth 10" in page
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            raffle = make_raffle(session)
        page = admin.get(f"{address(raffle)}/simulation", headers=HTML).text
        assert "nothing to simulate" in page


class TestOdds:
    def test_are_what_is_left_of_what_is_closed(self) -> None:
        found = odds.chances([1, 2], 7)
        assert [(it.of, it.among) for it in found] == [(1, 7), (2, 7), (4, 7)]
        assert [it.share for it in found] == ["14.2857 %", "28.5714 %", "57.1428 %"]
        assert odds.chances([0], 0)[0].share == "0.0000 %"

    @pytest.mark.parametrize("size", [10, 30_000])
    def test_a_simulation_gives_every_prize(self, size: int) -> None:
        found = odds.simulate(Params(Mode.INSTANT, (("a", size // 10), ("b", size // 5)), size))
        totals = [sum(column) for column in zip(*found.stretches, strict=True)]
        assert found.boxes == min(size, odds.MOST_SIMULATED)
        assert totals == [found.boxes // 10, found.boxes // 5, found.boxes * 7 // 10]


class TestHandOut:
    def key(self, client: TestClient, draw: Draw) -> str:
        page = client.get(f"{address(draw)}/hand-out", headers=HTML).text
        found = re.search(r'name="key" value="(bxs_\w+)"', page)
        assert found is not None
        return found[1]

    def test_shows_how_many_then_does_it_once(self, admin: TestClient, merchant: Merchant) -> None:
        draw = make(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, "ada@example.com", "bo@example.com")
        path = f"{address(draw)}/hand-out"
        fields = {"key": self.key(admin, draw), "to": "emails"}
        fields["emails"] = "ada@example.com\nbo@example.com"
        shown = submit(admin, path, **fields)
        assert shown.status_code == 200 and "2 members receive one." in shown.text
        for _ in range(2):
            assert submit(admin, path, **fields, confirmed="1").status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(Box)) == 2

    def test_to_a_list_a_segment_or_everybody(self, admin: TestClient, merchant: Merchant) -> None:
        draw = make(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            ada, *_ = make_members(session, "ada@example.com", "bo@example.com", "cy@example.com")
            row = lists.create(session, "Friends", at=NOW)
            lists.add(session, row, select(User.id).where(User.id == ada), reason="t", at=NOW)
            asked = {"kind": "property", "field": "email", "op": "is_set"}
            rule = rules.load({"groups": [{"conditions": [asked]}]})
            segment = segments.create(session, rule, name="All", at=NOW)
        path = f"{address(draw)}/hand-out"
        for fields, count in (
            ({"to": "list", "list_id": encode_id("lst", row.id)}, "1 member receives one."),
            ({"to": "segment", "segment": encode_id("seg", segment.id)}, "0 members receive one."),
            ({"to": "all"}, "3 members receive one."),
        ):
            answer = submit(admin, path, key=self.key(admin, draw), **fields)
            assert count in answer.text

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"to": "emails", "emails": ""}, "Name between 1 and"),
            ({"to": "emails", "emails": "nobody@example.com"}, "No active member"),
            ({"to": "list"}, "Choose who receives one."),
            ({"to": "segment"}, "Choose who receives one."),
            ({"to": "moon"}, "Nothing can be handed out yet."),
        ],
    )
    def test_says_what_to_change(
        self, admin: TestClient, merchant: Merchant, fields: dict[str, str], sentence: str
    ) -> None:
        draw = make(merchant)
        path = f"{address(draw)}/hand-out"
        answer = submit(admin, path, key=self.key(admin, draw), **fields)
        assert answer.status_code == 422 and sentence in answer.text

    def test_refuses_more_than_there_are(self, admin: TestClient, merchant: Merchant) -> None:
        draw = make(merchant, boxes=1)
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, "ada@example.com", "bo@example.com")
        path = f"{address(draw)}/hand-out"
        answer = submit(admin, path, key=self.key(admin, draw), to="all", confirmed="1")
        assert answer.status_code == 409 and "has 1 left" in answer.text


class TestEnd:
    def test_ends_a_draw(self, admin: TestClient, merchant: Merchant) -> None:
        draw = make(merchant)
        assert submit(admin, f"{address(draw)}/end").status_code == 303
        assert submit(admin, f"{address(draw)}/end").status_code == 409
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Draw, draw.id).state is DrawState.VOID


class TestReplace:
    @pytest.fixture
    def draw(self, merchant: Merchant) -> Draw:
        """A raffle that was drawn, with two reserves."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_raffle(session, 1, reserves=2)
            users = make_members(session, *(f"m{number}@example.com" for number in range(5)))
            hand_out(session, draw, *users)
            raffles.close(session, draw, at=DRAW_AT)
            raffles.draw_winners(session, draw, at=AFTER)
            return draw

    def ticket(self, merchant: Merchant, draw: Draw) -> str:
        with unit_of_work(merchant=merchant.id) as session:
            [ticket] = winners.holders(session, session.get_one(Draw, draw.id))
            return encode_id("tkt", ticket)

    def test_names_who_follows(self, admin: TestClient, merchant: Merchant, draw: Draw) -> None:
        ticket = self.ticket(merchant, draw)
        path = f"{address(draw)}/replace"
        answer = submit(admin, path, ticket=ticket, reason="No address in time.")
        assert answer.status_code == 303
        assert self.ticket(merchant, draw) != ticket
        assert "No address in time." in admin.get(address(draw), headers=HTML).text

    def test_not_without_a_reason(self, admin: TestClient, merchant: Merchant, draw: Draw) -> None:
        ticket = self.ticket(merchant, draw)
        answer = submit(admin, f"{address(draw)}/replace", ticket=ticket, reason=" ")
        assert answer.status_code == 422
        assert self.ticket(merchant, draw) == ticket


class TestBox:
    @pytest.fixture
    def box(self, merchant: Merchant, member: TestClient) -> str:
        """The signed-in member's, in a draw in which everybody wins."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session, 2, boxes=2)
            ada = session.scalars(select(User.id)).one()
            hand_out(session, draw, ada)
            return encode_id("box", session.scalars(select(Box.id)).one())

    def test_is_on_the_home_page_and_opens(
        self, member: TestClient, merchant: Merchant, box: str
    ) -> None:
        path = f"/space/boxes/{box}"
        assert path in member.get("/space/home", headers=HTML).text
        page = member.get(path, headers=HTML).text
        assert "Open it" in page and "data-open-box" in page
        nonce = some(1, 32).hex()
        answer = submit(member, f"{path}/open", page="/space/home", nonce=nonce)
        assert answer.status_code == 303
        page = member.get(path, headers=HTML).text
        assert "You won: Prize" in page and nonce in page
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(Holding)) == 1

    def test_opens_once_whatever_is_pressed(
        self, member: TestClient, merchant: Merchant, box: str
    ) -> None:
        for number in (1, 2):
            nonce = some(number, 32).hex()
            submit(member, f"/space/boxes/{box}/open", page="/space/home", nonce=nonce)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(BoxOpening.client_nonce)).all() == [some(1, 32)]

    def test_opens_without_a_script_too(
        self, member: TestClient, merchant: Merchant, box: str
    ) -> None:
        submit(member, f"/space/boxes/{box}/open", page="/space/home")
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(BoxOpening.flag)).all() == ["no_nonce"]

    def test_refuses_a_nonce_that_is_none(
        self, member: TestClient, merchant: Merchant, box: str
    ) -> None:
        answer = submit(member, f"/space/boxes/{box}/open", page="/space/home", nonce="xyz")
        assert answer.status_code == 422
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(BoxOpening)) == 0

    def test_gives_programs_the_receipt(self, member: TestClient, box: str) -> None:
        token = token_in(member.get("/space/home", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, "accept": "application/json"}
        path, body = f"/space/api/boxes/{box}/open", {"clientNonce": some(3, 32).hex()}
        first, again = (member.post(path, json=body, headers=headers) for _ in range(2))
        assert first.status_code == 200
        assert first.json()["clientNonce"] == some(3, 32).hex()
        assert set(first.json()) == {
            *("k", "boxId", "clientNonce", "flag", "outcome", "previousLogHash", "logHash")
        }
        assert again.json() == first.json()

    def test_of_another_member_is_not_there(
        self, member: TestClient, merchant: Merchant, box: str
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            [other] = make_members(session, "eve@example.com")
            session.execute(update(Draw).values(shows_odds=False))
            draw = make_draw(session, boxes=3)
            hand_out(session, draw, other)
            theirs = session.scalars(select(Box.id).where(Box.user_id == other)).one()
        for identifier in (theirs, BoxId(new_id())):
            path = f"/space/boxes/{encode_id('box', identifier)}"
            assert member.get(path, headers=HTML).status_code == 404
            assert submit(member, f"{path}/open", page="/space/home").status_code == 404
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(BoxOpening)) == 0


class TestTicket:
    def open(self, member: TestClient, session: Session) -> str:
        ticket = session.scalars(select(Ticket)).one()
        path = f"/space/boxes/{encode_id('tkt', ticket.id)}"
        answer = member.get(path, headers=HTML)
        assert answer.status_code == 200
        assert ticket.id.hex in answer.text and ticket.tag.hex() in answer.text
        return answer.text

    def test_waits_for_its_date_and_says_what_was_won(
        self, member: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_raffle(session, 1)
            hand_out(session, draw, session.scalars(select(User.id)).one())
            assert "Your ticket is number 1." in self.open(member, session)
            raffles.close(session, draw, at=DRAW_AT)
            raffles.draw_winners(session, draw, at=AFTER)
            session.flush()
            assert "You won: Prize" in self.open(member, session)
            assert session.scalars(select(Perk.granted_count)).all() == [1]

    def test_of_another_member_is_not_there(self, member: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_raffle(session)
            hand_out(session, draw, *make_members(session, "eve@example.com"))
            ticket = session.scalars(select(Ticket.id)).one()
        path = f"/space/boxes/{encode_id('tkt', ticket)}"
        assert member.get(path, headers=HTML).status_code == 404


class TestCopy:
    def test_of_everything_known_tells_of_boxes_and_tickets(self, session: Session) -> None:
        [user] = make_members(session, "ada@example.com")
        box_draw, raffle = make_draw(session, boxes=9), make_raffle(session)
        hand_out(session, box_draw, user, times=2)
        hand_out(session, raffle, user)
        told = everything_of(session, session.get_one(User, user), at=NOW)
        assert [it["state"] for it in told["boxes"]] == ["sealed", "sealed"]
        [ticket] = told["tickets"]
        assert (ticket["draw"], ticket["number"]) == ("Summer", 1)
        assert ticket["tag"] == session.scalars(select(Ticket.tag)).one().hex()
