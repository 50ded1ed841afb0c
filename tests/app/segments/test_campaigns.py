"""Who received something from an airdrop: decided for everybody, and followed for each."""

import pytest
from sqlalchemy import update

from app.accounts.models import Merchant
from app.campaigns.models import Campaign
from app.perks.models import Perk
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from app.segments import dependencies, keeping, membership, rules, service
from app.segments.book import ground, open_book
from app.segments.models import SegmentMember
from core.db import Role, unit_of_work
from core.event_cursor import Fact
from core.ids import encode_id, new_id
from core.types import CampaignId, EventId, GrantId, RewardLineId, UserId
from tests.app.web.client import TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_campaign, make_members, make_other_merchant, make_perk


class Brand:
    """A brand with two airdrops, of which Ada received one, and two segments."""

    def __init__(self, merchant: Merchant) -> None:
        self.merchant = merchant
        with self.unit() as session:
            self.ada, self.bob = make_members(session, "ada@example.com", "bob@example.com")
            perk: Perk = make_perk(session)
            self.lines: dict[CampaignId, RewardLineId] = {}
            for title in ("Thanks", "Sorry"):
                campaign = make_campaign(session, title)
                line = RewardLine(
                    id=RewardLineId(new_id()), campaign_id=campaign.id, perk_id=perk.id
                )
                session.add(line)
                session.flush()
                self.lines[campaign.id] = line.id
            self.thanks, self.sorry = self.lines
            session.execute(update(Campaign).values(state="live"))
        self.grant(self.ada, self.thanks)
        self.grant(self.ada, self.sorry, GrantState.SKIPPED)
        with self.unit() as session:
            asked = {"kind": "campaign", "id": str(self.thanks)}
            self.segments = [
                service.create(
                    session,
                    rules.load({"groups": [{"conditions": [{**asked, "is_in": it}]}]}),
                    name=f"received {it}",
                    at=NOW,
                ).id
                for it in (True, False)
            ]
        with self.unit(Role.ENGINE) as session:
            while keeping.rebuild_next(session, at=NOW):
                pass

    def unit(self, role: Role = Role.APP):
        return unit_of_work(merchant=self.merchant.id, actor="test", role=role)

    def grant(
        self, user: UserId, campaign: CampaignId, state: GrantState = GrantState.DELIVERED
    ) -> None:
        with self.unit() as session:
            session.add(
                Grant(
                    id=GrantId(new_id()),
                    source_type=GrantSource.AIRDROP,
                    source_id=campaign,
                    reward_line_id=self.lines[campaign],
                    recipient_key=str(user),
                    user_id=user,
                    state=state,
                    created_at=NOW,
                )
            )

    def members(self) -> list[set[UserId]]:
        with self.unit() as session:
            rows = session.query(SegmentMember).all()
            return [{it.user_id for it in rows if it.segment_id == one} for one in self.segments]


@pytest.fixture
def brand(merchant: Merchant) -> Brand:
    """As described."""
    return Brand(merchant)


def test_whoever_received_something_is_in_and_nobody_else(brand: Brand) -> None:
    assert brand.members() == [{brand.ada}, {brand.bob}]


@pytest.mark.parametrize("kind", ["cohort.perk.received", "cohort.digital-asset.received"])
def test_a_delivery_moves_its_member(brand: Brand, kind: str) -> None:
    brand.grant(brand.bob, brand.sorry)
    brand.grant(brand.bob, brand.thanks)
    with brand.unit(Role.ENGINE) as session:
        fact = Fact(EventId(new_id()), kind, brand.bob, NOW, {})
        concerned = open_book(session).reading(dependencies.touched(fact))
        assert concerned == set(brand.segments)
        known = open_book(session).rules
        asked = ground(session, known, at=NOW)
        membership.decide(session, concerned, [brand.bob], ground=asked, reason="event")
    assert brand.members() == [{brand.ada, brand.bob}, set()]


def test_what_another_brand_gave_is_nothing(brand: Brand) -> None:
    other = make_other_merchant(brand.merchant)
    with unit_of_work(merchant=other, actor="test") as session:
        make_members(session, "eve@example.com")
        asked = {"kind": "campaign", "id": str(brand.thanks)}
        rule = rules.load({"groups": [{"conditions": [asked]}]})
        assert service.preview(session, rule, at=NOW).count == 0


def test_is_chosen_on_screen_and_told_in_words(admin: TestClient, brand: Brand) -> None:
    form = {"name": "Thanked", "g0.c0.kind": "campaign", "g0.c0.is_in": "1"}
    page = submit(admin, "/admin/segments/new", action="refresh", **form)
    assert f'value="{brand.thanks}"' in page.text and "Thanks, internally" in page.text
    refused = submit(admin, "/admin/segments/new", **form)
    assert refused.status_code == 422 and "Choose one." in refused.text
    answer = submit(admin, "/admin/segments/new", **form, **{"g0.c0.id": str(brand.thanks)})
    assert answer.status_code == 303
    place = answer.headers["location"]
    assert "received something from “Thanks, internally”" in admin.get(place).text
    page = admin.get(f"{place}/members/{encode_id('usr', brand.ada)}").text
    assert "received something from" in page and "yes" in page
