"""How a draw looks: what is typed is what members see, at most so long, in their language."""

import re
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, TeamRole
from app.draws import boxes, looks, moving, raffles, service, winners
from app.draws.errors import LookInvalidError
from app.draws.looks import Look
from app.draws.models import Animation, Box, Draw, Ticket
from app.rewards.lines import Choice
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id
from core.types import DrawId
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, submit, token_in
from tests.conftest import NOW
from tests.factories.brand import make_members, make_perk
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

TEXTS = {
    "name": "Golden chest",
    "text": "One of us has the key.",
    "winning": "Bring it to the counter.",
    "losing": "Come back on Friday.",
    "waiting": "Be here on {{drawDate}}!",
    "open_label": "Turn the key",
    "prize_label": "To my cupboard",
}


class TestChange:
    @pytest.mark.parametrize(("name", "most"), looks.MOST.items())
    def test_takes_each_text_up_to_its_length(self, session: Session, name: str, most: int) -> None:
        draw = make_draw(session)
        looks.change(session, draw, Look(**{name: f"  {'é' * most} "}), language="en")
        assert getattr(looks.look_of(draw, "en"), name) == "é" * most
        with pytest.raises(LookInvalidError) as refused:
            looks.change(session, draw, Look(**{name: "x" * (most + 1)}), language="en")
        assert refused.value.fields == {name: f"At most {most} characters."}
        assert refused.value.status == 422
        assert getattr(looks.look_of(draw, "en"), name) == "é" * most

    def test_knows_one_placeholder_in_one_text(self, session: Session) -> None:
        draw = make_raffle(session)
        with pytest.raises(LookInvalidError) as refused:
            look = Look(waiting="{{drawDate}} {{name}}", winning="{{drawDate}}")
            looks.change(session, draw, look, language="en")
        assert refused.value.fields == {
            "waiting": "{{name}} is no placeholder here. The only placeholder is {{drawDate}}.",
            "winning": "{{drawDate}} is no placeholder here. There are none.",
        }
        looks.change(session, draw, Look(waiting="{{drawDate}}, {{drawDate}}"), language="en")
        assert looks.look_of(draw, "en").waiting_until("1 May") == "1 May, 1 May"

    @pytest.mark.parametrize(("text", "is_fine"), [("a\nb", True), ("a\x00b", False)])
    def test_takes_lines_and_nothing_invisible(
        self, session: Session, text: str, is_fine: bool
    ) -> None:
        draw = make_draw(session)
        if is_fine:
            looks.change(session, draw, Look(text=text), language="en")
            assert looks.look_of(draw, "en").text == text
            return
        with pytest.raises(LookInvalidError):
            looks.change(session, draw, Look(text=text), language="en")

    def test_leaves_other_languages_alone(self, session: Session) -> None:
        draw = make_draw(session)
        looks.change(session, draw, Look(name="Box", text="Only English"), language="en")
        looks.change(session, draw, Look(Animation.WHEEL, name="Boîte"), language="fr")
        shown = [looks.look_of(draw, it) for it in ("en", "fr", "de", None)]
        assert [it.name for it in shown] == ["Box", "Boîte", "Box", "Box"]
        assert shown[1].text == "Only English"  # better than nothing
        assert {it.animation for it in shown} == {Animation.WHEEL}

    def test_may_happen_at_any_time_and_changes_no_promise(self, session: Session) -> None:
        draw = make_draw(session, 1, boxes=1)
        [user] = make_members(session, "ada@example.com")
        hand_out(session, draw, user)
        boxes.open_box(session, session.scalars(select(Box)).one(), nonce=None, at=NOW)
        before = (draw.params, draw.commitment, draw.log_end)
        looks.change(session, draw, Look(winning="Well done."), language="en")
        session.refresh(draw)
        assert (draw.params, draw.commitment, draw.log_end) == before
        assert looks.look_of(draw, "en").winning == "Well done."

    def test_of_a_draw_nobody_described_is_empty(self, session: Session) -> None:
        assert looks.look_of(make_draw(session), "en") == Look()


class TestForm:
    @pytest.fixture
    def draw(self, merchant: Merchant) -> Draw:
        """A draw of boxes."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            return make_draw(session)

    def address(self, draw: Draw) -> str:
        return f"/admin/draws/{encode_id('drw', draw.id)}/box"

    def look(self, merchant: Merchant, draw: Draw) -> Look:
        with unit_of_work(merchant=merchant.id) as session:
            return looks.look_of(service.get(session, DrawId(draw.id)), merchant.language)

    def test_keeps_what_is_typed(self, admin: TestClient, merchant: Merchant, draw: Draw) -> None:
        answer = submit(admin, self.address(draw), **TEXTS, animation="scratch")
        assert (answer.status_code, answer.headers["location"]) == (303, self.address(draw))
        assert self.look(merchant, draw) == Look(Animation.SCRATCH, **TEXTS)
        page = admin.get(self.address(draw), headers=HTML).text
        assert all(it in page for name, it in TEXTS.items() if name != "waiting")
        assert re.search(r'value="scratch"[^>]* checked', page)

    def test_says_what_to_change_and_loses_nothing(
        self, admin: TestClient, merchant: Merchant, draw: Draw
    ) -> None:
        typed = {**TEXTS, "winning": "x" * 301}
        answer = submit(admin, self.address(draw), **typed)
        assert answer.status_code == 422
        assert "At most 300 characters." in answer.text and "Golden chest" in answer.text
        assert self.look(merchant, draw) == Look()

    def test_takes_an_unknown_animation_for_the_first(
        self, admin: TestClient, merchant: Merchant, draw: Draw
    ) -> None:
        submit(admin, self.address(draw), animation="explode")
        assert self.look(merchant, draw).animation is Animation.FADE

    def test_previews_without_keeping_anything(
        self, admin: TestClient, merchant: Merchant, draw: Draw
    ) -> None:
        path = f"{self.address(draw)}/preview"
        token = token_in(admin.get("/admin", headers=HTML).text)
        fields = {"csrf": token, **TEXTS, "name": "<b>Chest</b>", "animation": "wheel"}
        headers = {"origin": ORIGIN, **HTML}
        htmx = {**headers, "HX-Request": "true"}
        part = admin.post(path, data=fields, headers=htmx)
        still = admin.post(path, data={**fields, "shown": "wheel"}, headers=htmx)
        whole = admin.post(path, data=fields, headers=headers)
        assert (part.status_code, whole.status_code) == (200, 200)
        for text in ("&lt;b&gt;Chest&lt;/b&gt;", "Turn the key", 'data-animation="wheel"'):
            assert text in part.text and text in whole.text
        assert "data-animation" not in still.text  # it was played already
        assert "<form" not in part.text and "<html" in whole.text
        assert self.look(merchant, draw) == Look()

    def test_of_a_raffle_shows_the_date_in_the_text(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_raffle(session)
        submit(admin, self.address(draw), waiting="Until {{drawDate}}.")
        page = admin.get(self.address(draw), headers=HTML).text
        assert re.search(r"Until [^{}<]*4[^{}<]*\.", page)
        assert "Button that opens it" not in page

    def picture(self, side: int = 480) -> bytes:
        file = BytesIO()
        Image.new("RGB", (side, side), "#b8563a").save(file, "PNG")
        return file.getvalue()

    def upload(self, admin: TestClient, draw: Draw, content: bytes) -> Any:
        page = admin.get(self.address(draw), headers=HTML).text
        return admin.post(
            f"{self.address(draw)}/visual",
            data={"csrf": token_in(page)},
            files={"image": ("p.png", content, "image/png")},
            headers={"origin": ORIGIN, **HTML},
        )

    def test_shows_a_picture_of_the_closed_box(
        self, admin: TestClient, merchant: Merchant, draw: Draw
    ) -> None:
        assert self.upload(admin, draw, self.picture()).status_code == 303
        cid = self.look(merchant, draw).visual_cid
        assert cid is not None
        assert admin.get(self.address(draw), headers=HTML).text.count(f"/ipfs/{cid}") == 2
        assert admin.get(f"/ipfs/{cid}").status_code == 200
        submit(admin, self.address(draw), name="Chest")
        assert self.look(merchant, draw).visual_cid == cid
        assert submit(admin, f"{self.address(draw)}/visual/remove").status_code == 303
        assert self.look(merchant, draw).visual_cid is None

    @pytest.mark.parametrize("content", [b"", b"no picture"])
    def test_refuses_what_is_no_picture(
        self, admin: TestClient, merchant: Merchant, draw: Draw, content: bytes
    ) -> None:
        answer = self.upload(admin, draw, content)
        assert answer.status_code == 422 and "form-error" in answer.text
        assert self.look(merchant, draw).visual_cid is None

    def test_is_for_editors(self, browse: Browse, merchant: Merchant, draw: Draw) -> None:
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        page = editor.get(self.address(draw).removesuffix("/box"), headers=HTML).text
        assert self.address(draw) in page
        assert editor.get(self.address(draw), headers=HTML).status_code == 200
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        page = analyst.get(self.address(draw).removesuffix("/box"), headers=HTML).text
        assert self.address(draw) not in page
        assert analyst.get(self.address(draw), headers=HTML).status_code == 403


class TestMember:
    def make(
        self,
        merchant: Merchant,
        *,
        is_raffle: bool = False,
        wins: bool = True,
        is_open: bool = True,
    ) -> str:
        """The address of the member's only box or ticket."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            perk = make_perk(session)
            user = session.scalars(select(User)).one()
            lines = [Choice(perk_id=perk.id, quantity=1)]
            make = make_raffle if is_raffle else make_draw
            draw = make(session, lines=lines, **({} if is_raffle else {"boxes": 1 if wins else 9}))
            looks.change(session, draw, Look(Animation.SHAKE, **TEXTS), language="en")
            hand_out(session, draw, user.id)
            if is_raffle:
                return self.ticket(session, draw, is_open=is_open)
            box = session.scalars(select(Box)).one()
            if is_open:
                boxes.open_box(session, box, nonce=None, at=NOW)
            return f"/space/boxes/{encode_id('box', box.id)}"

    def ticket(self, session: Session, draw: Draw, *, is_open: bool) -> str:
        ticket = session.scalars(select(Ticket)).one()
        if is_open:
            raffles.close(session, draw, at=DRAW_AT)
            raffles.draw_winners(session, draw, at=DRAW_AT)
            moving.reveal(session, draw, at=DRAW_AT)
        return f"/space/boxes/{encode_id('tkt', ticket.id)}"

    def shown(self, member: TestClient, path: str) -> set[str]:
        """Which of the texts stand on the page."""
        page = member.get(path, headers=HTML).text
        return {name for name, text in TEXTS.items() if text.split("{")[0] in page}

    def test_reads_how_to_open_a_closed_one(self, member: TestClient, merchant: Merchant) -> None:
        path = self.make(merchant, is_open=False)
        assert self.shown(member, path) == {"name", "text", "open_label"}
        assert "Golden chest" in member.get("/space/home", headers=HTML).text

    def test_reads_what_winning_means(self, member: TestClient, merchant: Merchant) -> None:
        path = self.make(merchant)
        assert self.shown(member, path) == {"name", "winning", "prize_label"}
        page = member.get(path, headers=HTML).text
        assert 'data-animation="shake"' in page and "You won: Coffee" in page

    def test_reads_something_kind_after_losing(
        self, member: TestClient, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(boxes.algorithm, "outcome", lambda *_args, **_facts: None)
        assert self.shown(member, self.make(merchant, wins=False)) == {"name", "losing"}

    def test_reads_when_the_draw_is(self, member: TestClient, merchant: Merchant) -> None:
        path = self.make(merchant, is_raffle=True, is_open=False)
        assert self.shown(member, path) == {"name", "text", "waiting"}
        page = member.get(path, headers=HTML).text
        assert "{{" not in page and str(DRAW_AT.year) in page

    def test_reads_what_a_ticket_won(self, member: TestClient, merchant: Merchant) -> None:
        path = self.make(merchant, is_raffle=True)
        assert self.shown(member, path) == {"name", "winning", "prize_label"}

    def test_reads_why_the_prize_went_to_a_reserve(
        self, member: TestClient, merchant: Merchant
    ) -> None:
        path = self.make(merchant, is_raffle=True)
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw, ticket = (
                session.scalars(select(Draw)).one(),
                session.scalars(select(Ticket)).one(),
            )
            winners.replace_winner(session, draw, ticket.id, reason="No answer", at=DRAW_AT)
        assert self.shown(member, path) == {"name"}
        page = member.get(path, headers=HTML).text
        assert "a reserve followed you: No answer" in page
