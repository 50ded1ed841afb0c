"""Campaigns for a list or a segment: who is in it, who comes into it later, and nobody else."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns import audiences, latecomers, runs, service
from app.campaigns.errors import CohortMissingError, InvalidTransitionError
from app.campaigns.models import AudienceKind, Campaign, RunState
from app.campaigns.service import Delivery
from app.rewards.models import Grant
from app.segments.models import Segment, SegmentMember
from app.users.models import ListMember, UserList
from core.db import merchant_of, unit_of_work
from core.ids import encode_id, new_id
from core.types import ListId, SegmentId, UserId
from tests.app.web.client import TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)
from tests.factories.minting import activate_passes

KINDS = (AudienceKind.LIST, AudienceKind.SEGMENT)


class Cohort:
    """A list or a segment, filled by hand."""

    def __init__(self, session: Session, kind: AudienceKind) -> None:
        self.session, self.kind = session, kind
        if kind is AudienceKind.LIST:
            row: UserList | Segment = UserList(id=ListId(new_id()), name="L", created_at=NOW)
        else:
            row = Segment(id=SegmentId(new_id()), name="S", rule={"groups": []}, created_at=NOW)
        session.add(row)
        session.flush()
        self.id: UUID = row.id

    def add(self, user: UserId, *, seconds: int = 0) -> None:
        """The member comes in."""
        at = NOW + timedelta(seconds=seconds)
        if self.kind is AudienceKind.LIST:
            row: ListMember | SegmentMember = ListMember(
                list_id=ListId(self.id), user_id=user, added_at=at, actor="test"
            )
        else:
            row = SegmentMember(
                merchant_id=merchant_of(self.session),
                segment_id=SegmentId(self.id),
                user_id=user,
                since=at,
            )
        self.session.add(row)
        self.session.flush()


@pytest.mark.parametrize("kind", KINDS)
class TestServe:
    def test_whoever_is_in_receives_it_and_whoever_comes_later_too(
        self, session: Session, kind: AudienceKind
    ) -> None:
        make_pass_contract(session)
        ada, bob, _eve = make_members(session, "ada@x.org", "bob@x.org", "eve@x.org")
        cohort = Cohort(session, kind)
        cohort.add(ada)
        campaign = make_campaign(session)
        give(session, campaign, make_asset(session).id)
        service.choose_audience(session, campaign, kind, cohort.id)
        service.choose_delivery(session, campaign, Delivery(late_joiners=True))
        assert audiences.reach(session, campaign).total == 1
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        activate_passes(session)
        runs.advance(session, at=NOW)
        latecomers.look(session, at=NOW)
        cohort.add(bob, seconds=30)
        assert run.state is RunState.RUNNING
        assert latecomers.look(session, at=NOW + timedelta(seconds=60)) == 1
        assert set(session.scalars(select(Grant.user_id))) == {ada, bob}

    def test_refuses_what_is_not_in_use(self, session: Session, kind: AudienceKind) -> None:
        campaign = make_campaign(session)
        with pytest.raises(CohortMissingError):
            service.choose_audience(session, campaign, kind, new_id())
        with pytest.raises(CohortMissingError):
            service.choose_audience(session, campaign, kind)
        assert campaign.audience_kind is AudienceKind.ALL

    def test_is_not_published_when_it_was_put_away_meanwhile(
        self, session: Session, kind: AudienceKind
    ) -> None:
        cohort = Cohort(session, kind)
        campaign = make_campaign(session)
        service.choose_audience(session, campaign, kind, cohort.id)
        model = UserList if kind is AudienceKind.LIST else Segment
        session.get_one(model, cohort.id).archived_at = NOW
        session.flush()
        assert "audience_missing" in audiences.failing_rules(session, campaign)


class TestChoose:
    def test_everybody_needs_no_name(self, session: Session) -> None:
        cohort = Cohort(session, AudienceKind.LIST)
        campaign = make_campaign(session)
        service.choose_audience(session, campaign, AudienceKind.LIST, cohort.id)
        service.choose_audience(session, campaign, AudienceKind.ALL)
        assert (campaign.audience_kind, campaign.audience_id) == (AudienceKind.ALL, None)

    def test_a_published_campaign_keeps_its_audience(self, session: Session) -> None:
        campaign = make_campaign(session)
        campaign.state = "published"
        with pytest.raises(InvalidTransitionError):
            service.choose_audience(session, campaign, AudienceKind.ALL)


class TestPage:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_chosen_on_screen(
        self, admin: TestClient, merchant: Merchant, kind: AudienceKind
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            cohort, campaign = Cohort(session, kind), make_campaign(session)
            page = f"/admin/campaigns/{encode_id('cmp', campaign.id)}/audience"
        prefix = "lst" if kind is AudienceKind.LIST else "seg"
        name = encode_id(prefix, cohort.id)
        assert submit(admin, page, audience=kind.value, **{kind.value: name}).status_code == 303
        assert f'value="{name}" selected' in admin.get(page).text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Campaign, campaign.id).audience_id == cohort.id

    def test_says_what_is_missing(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            Cohort(session, AudienceKind.SEGMENT)
            campaign = make_campaign(session)
        page = f"/admin/campaigns/{encode_id('cmp', campaign.id)}/audience"
        answer = submit(admin, page, audience="segment", segment="seg_nonsense")
        assert answer.status_code == 422 and "Choose one that is in use" in answer.text
