"""Who wins in a raffle has a mail: winners once, and whoever moves up for them."""

from app.accounts.models import Merchant
from app.draws import winners
from app.draws.models import Ticket
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id
from core.mail import Mail, outbox
from tests.app.draws.test_raffles import AFTER, run, take_part
from tests.factories.draws import make_raffle


def mails_of(merchant: Merchant, *, replace: bool = False) -> tuple[list[Mail], set[str], set[str]]:
    """The mails of a raffle with two prizes and a reserve, who holds a prize, by which tickets."""
    before = len(outbox())
    with unit_of_work(merchant=merchant.id) as session:
        draw = make_raffle(session, 2, reserves=1)
        take_part(session, draw, 6)
        run(session, draw)
        if replace:
            [first, *_] = winners.holders(session, draw)
            winners.replace_winner(session, draw, first, reason="no show", at=AFTER)
        held = [session.get_one(Ticket, it) for it in winners.holders(session, draw)]
        people = {session.get_one(User, it.user_id).email for it in held}
        links = {encode_id("tkt", it.id) for it in held}
    return outbox()[: len(outbox()) - before], people, links


class TestWinners:
    def test_each_has_one_mail_that_leads_to_the_ticket(self, merchant: Merchant) -> None:
        mails, people, links = mails_of(merchant)
        assert sorted(it.to for it in mails) == sorted(people) and len(people) == 2
        for mail in mails:
            assert mail.subject.startswith("You won: Prize ") and "“Summer”" in mail.text
            assert any(f"http://testserver/space/boxes/{it}" in mail.text for it in links)

    def test_who_moves_up_has_one_too(self, merchant: Merchant) -> None:
        mails, people, _ = mails_of(merchant, replace=True)
        assert len(mails) == 3 and people < {it.to for it in mails}
