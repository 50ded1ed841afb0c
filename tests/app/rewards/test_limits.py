"""Limits of what is given by a line or by hand: at the limit it is, one beyond is refused."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.rewards import manual
from app.rewards.errors import LinesInvalidError, RecipientsInvalidError
from app.rewards.lines import Choice, make_line, set_lines
from app.rewards.models import RewardLine
from core.ids import new_id
from core.types import ManualGrantId
from tests.conftest import NOW
from tests.factories.brand import make_campaign, make_members, make_perk

MOST = 100_000_000


@pytest.mark.parametrize(
    "said", [{"quantity": None}, {"quantity": 1}, {"quantity": MOST}, {"per_recipient": 100}]
)
def test_a_line_at_its_limit(session: Session, said: dict[str, Any]) -> None:
    line = make_line(session, Choice(perk_id=make_perk(session).id, **said))
    session.refresh(line)
    assert {name: getattr(line, name) for name in said} == said


@pytest.mark.parametrize(
    "said",
    [
        *({"quantity": 0}, {"quantity": -1}, {"quantity": MOST + 1}),
        *({"per_recipient": 0}, {"per_recipient": 101}),
    ],
)
def test_a_line_beyond_it(session: Session, said: dict[str, Any]) -> None:
    with pytest.raises(LinesInvalidError) as refused:
        make_line(session, Choice(perk_id=make_perk(session).id, **said))
    assert (refused.value.status, list(refused.value.fields)) == (422, ["rewards"])
    assert session.scalars(select(RewardLine)).all() == []


def test_a_campaign_gives_up_to_ten_rewards_each_once(session: Session) -> None:
    campaign = make_campaign(session)
    choices = [Choice(perk_id=make_perk(session, f"P{it}").id) for it in range(11)]
    for wrong in ([], choices, [choices[0], choices[0]]):
        with pytest.raises(LinesInvalidError):
            set_lines(session, campaign.id, wrong)
    assert len(set_lines(session, campaign.id, choices[:10])) == 10
    assert len(set_lines(session, campaign.id, choices[:1])) == 1


def test_up_to_a_thousand_members_are_named(session: Session) -> None:
    emails = [f"m{it}@example.com" for it in range(1_001)]
    make_members(session, *emails)
    assert len(manual.find_recipients(session, "\n".join(emails[:1_000]))) == 1_000
    for text in ("\n".join(emails), "", "  \n"):
        with pytest.raises(RecipientsInvalidError) as refused:
            manual.find_recipients(session, text)
        assert (refused.value.status, list(refused.value.fields)) == (422, ["emails"])


def test_a_reason_has_up_to_200_characters(session: Session) -> None:
    users = make_members(session, "ada@example.com")
    choice = Choice(perk_id=make_perk(session).id)

    def give(reason: str) -> None:
        manual.give(session, ManualGrantId(new_id()), choice, users, reason=reason, at=NOW)

    for reason in ("", "x" * 201):
        with pytest.raises(RecipientsInvalidError) as refused:
            give(reason)
        assert list(refused.value.fields) == ["reason"]
    for reason in ("x", "x" * 200):
        give(reason)
