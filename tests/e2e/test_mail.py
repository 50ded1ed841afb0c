"""A sign-in code leaves by a mail server: the request writes it down, the worker sends it."""

import re

import pytest

from tests.conftest import wait_until
from tests.e2e.site import OWNER, browser, chromium, running_site
from tests.e2e.visitor import Visitor
from tests.smtp_server import MailServer, serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]


def test_the_code_signs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(MailServer()) as post, browser() as chrome:
        monkeypatch.setenv("COHORT_SMTP_URL", post.url())
        monkeypatch.setenv("COHORT_MAIL_FROM", "Alder & Tide <hello@example.com>")
        with running_site() as site:
            owner = Visitor(chrome, site)
            owner.go("/admin/sign-in")
            owner.page.get_by_label("Work email").fill(OWNER)
            owner.page.get_by_role("button", name="Send me a link").click()
            wait_until(lambda: len(post.taken) == 1)
            code = re.search(r"code there: (\d{6})", post.messages[0].get_content())
            assert code is not None
            owner.page.get_by_label("Code").fill(code[1])
            owner.press("Sign in")
            owner.see("What next")
            owner.go("/admin/operations/mail")
            owner.see("127.0.0.1")
            owner.see("Nothing stands still")
            owner.look()
            assert "Subject: Sign in" not in site.log.read_text(errors="replace")
