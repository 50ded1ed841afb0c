"""Two records of one person become one: nothing is lost, nothing is doubled, keys do not move."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.claims.claiming import Attempt, Claimed, claim
from app.claims.guessing import network_of
from app.claims.models import ClaimQuota
from app.claims.seeds import code_of
from app.perks import sweeping
from app.perks.models import Perk, PerkQuota
from app.perks.terms import Options, RedemptionType
from app.privacy import erasure, merging
from app.privacy.errors import MergeRefusedError
from app.rewards.errors import PerUserLimitError
from app.rewards.granting import grant as give
from app.rewards.lines import Choice
from app.rewards.lines import make_line as make_reward_line
from app.rewards.models import Grant, GrantSource, GrantState
from app.rewards.service import Source
from app.segments.models import Badge, BadgeOwner, BadgeState
from app.spaces import service as spaces
from app.users import consents, fields, lists, queries, record
from app.users.models import User, UserState
from app.users.slots import Kind
from core.db import unit_of_work
from core.errors import AppError
from core.events import Event
from core.ids import encode_id, new_id
from core.types import BadgeId, GrantId
from tests.conftest import NOW
from tests.factories.brand import (
    make_asset,
    make_campaign,
    make_line,
    make_members,
    make_other_merchant,
    make_perk,
)
from tests.factories.claims import make_batch
from tests.factories.people import make_property
from tests.factories.perks import code_of as code_of_holding
from tests.factories.perks import hold, load, perk_of
from tests.signing import stolen_key
from wallets.models import Wallet

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def pair(session: Session) -> tuple[User, User]:
    """Who stays, and who goes away."""
    ids = make_members(session, "ada@example.com", "a.lovelace@example.com")
    return session.get_one(User, ids[0]), session.get_one(User, ids[1])


def change(session: Session, user: User, **texts: str) -> None:
    record.change(session, user, texts, version=user.version, at=NOW)


def grant(session: Session, user: User) -> None:
    campaign = make_campaign(session)
    line = make_line(session, campaign.id, make_asset(session).id)
    session.add(
        Grant(
            id=GrantId(new_id()),
            source_type=GrantSource.AIRDROP,
            source_id=campaign.id,
            reward_line_id=line.id,
            recipient_key=str(user.id),
            user_id=user.id,
            state=GrantState.DELIVERED,
            created_at=NOW,
        )
    )
    session.flush()


def give_by_line(session: Session, perk: Perk, user: User, count: int) -> None:
    """The member has so many more of the perk."""
    line = make_reward_line(session, Choice(perk_id=perk.id))
    for ordinal in range(count):
        source = Source(GrantSource.MANUAL, line.id)
        give(session, line, user.id, source=source, ordinal=ordinal, at=NOW)


def badge(session: Session, *users: User) -> Badge:
    row = Badge(
        id=BadgeId(new_id()), internal_name="Pioneer", state=BadgeState.DRAFT, created_at=NOW
    )
    session.add(row)
    session.flush()
    for user in users:
        session.add(BadgeOwner(badge_id=row.id, user_id=user.id, gained_at=NOW))
    session.flush()
    return row


class TestMerge:
    def test_moves_what_who_stays_lacks(self, session: Session, pair: tuple[User, User]) -> None:
        ada, other = pair
        number = encode_id("prp", make_property(session, "Size", Kind.NUMBER).id)
        change(session, ada, first_name="Ada")
        change(session, other, first_name="A.", last_name="Lovelace", reference_id="R1")
        change(session, other, **{number: "42"})
        seen = merging.preview(session, ada, other)
        assert dict(seen.moves) == {"Last name": "Lovelace", "Reference ID": "R1", "Size": "42"}
        assert ("First name", "Ada", "A.") in seen.stays
        merging.merge(session, ada, other, at=LATER)
        known = fields.catalogue(session)
        now = record.read(session, ada, known)
        assert (ada.first_name, ada.last_name, ada.reference_id) == ("Ada", "Lovelace", "R1")
        assert now[number] == 42
        assert (other.state, other.merged_into_id) == (UserState.MERGED, ada.id)

    def test_moves_lists_badges_and_consents_once(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        both = lists.create(session, "Both", at=NOW)
        theirs = lists.create(session, "Theirs", at=NOW)
        for row, user in ((both, ada), (both, other), (theirs, other)):
            lists.add(session, row, queries.only(user.id), reason="manual", at=NOW)
        one, two = badge(session, ada, other), badge(session, other)
        consents.record(session, ada, "terms", is_given=True, channel="admin", at=NOW)
        consents.record(session, other, "terms", is_given=False, channel="admin", at=LATER)
        merging.merge(session, ada, other, at=LATER)
        assert {row.name for row, _ in lists.lists_of(session, ada.id)} == {"Both", "Theirs"}
        assert lists.lists_of(session, other.id) == []
        owned = session.execute(select(BadgeOwner.badge_id, BadgeOwner.user_id)).all()
        assert sorted(owned) == sorted([(one.id, ada.id), (two.id, ada.id)])
        assert [it.is_given for it in consents.current(session, [ada.id])] == [False]
        gained = select(func.count()).where(Event.type == "cohort.badge.gained")
        assert session.scalar(gained) == 1

    def test_keeps_holdings_and_both_wallets(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        grant(session, ada)
        grant(session, other)
        merging.merge(session, ada, other, at=LATER)
        ids = queries.identities(session, ada.id)
        of_her = select(func.count()).select_from(Grant).where(Grant.user_id.in_(ids))
        assert session.scalar(of_her) == 2
        held = queries.passes_and_wallets(session, ids)
        assert len(held) == 2
        for _, wallet in held:
            assert len(stolen_key(session, wallet.address)) == 32
        assert {it.owner_id for it in session.scalars(select(Wallet))} == set(ids)

    def test_counts_what_both_were_promised_of_a_perk(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        perk = make_perk(session, max_per_user=2)
        for user, count in ((ada, 2), (other, 1)):
            give_by_line(session, perk, user, count)
        merging.merge(session, ada, other, at=LATER)
        quota = session.scalars(select(PerkQuota)).one()
        assert (quota.user_id, quota.granted_count) == (ada.id, 3)
        with pytest.raises(PerUserLimitError):
            give_by_line(session, perk, ada, 1)

    def test_one_with_none_of_it_has_what_the_other_was_promised(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        perk = make_perk(session, max_per_user=2)
        give_by_line(session, perk, other, 1)
        merging.merge(session, ada, other, at=LATER)
        give_by_line(session, perk, ada, 1)
        with pytest.raises(PerUserLimitError):
            give_by_line(session, perk, ada, 1)

    def test_what_comes_back_of_the_other_is_free_again(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        terms = Options(deadline_days=1)
        perk = perk_of(session, RedemptionType.PHYSICAL, terms=terms, total_quantity=1)
        give_by_line(session, perk, other, 1)
        merging.merge(session, ada, other, at=LATER)
        assert sweeping.lapse_due(session, NOW + timedelta(days=2))
        session.refresh(perk)
        assert (perk.granted_count, perk.left) == (0, 1)
        assert session.scalars(select(PerkQuota.granted_count)).one() == 0

    def test_counts_the_codes_both_used(self, session: Session, pair: tuple[User, User]) -> None:
        ada, other = pair
        batch = make_batch(session, codes=4, max_per_user=3)
        network = network_of("192.0.2.1")
        for position, user in ((1, ada), (2, other)):
            assert isinstance(
                claim(session, user, Attempt(code_of(batch, position), network), at=NOW), Claimed
            )
        merging.merge(session, ada, other, at=LATER)
        quota = session.scalars(select(ClaimQuota)).one()
        assert (quota.user_id, quota.used_count) == (ada.id, 2)
        third, fourth = (
            claim(session, ada, Attempt(code_of(batch, it), network), at=LATER) for it in (3, 4)
        )
        assert isinstance(third, Claimed)
        assert isinstance(fourth, AppError) and fourth.code == "already_claimed"

    def test_gets_the_codes_kept_for_either_whenever_they_come(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, f"code,email\nMINE,{ada.email}\nTHEIRS,{other.email}\n")
        merging.merge(session, ada, other, at=LATER)
        load(session, perk, f"code,email\nLATER,{other.email}\nBOBS,bob@example.com\n")
        given = [code_of_holding(session, hold(session, perk, ada.email)) for _ in range(3)]
        assert sorted(given) == ["LATER", "MINE", "THEIRS"]

    def test_is_told_of(self, session: Session, pair: tuple[User, User]) -> None:
        ada, other = pair
        merging.merge(session, ada, other, at=LATER)
        rows = session.execute(
            select(Event.type, Event.user_id, Event.data).where(Event.occurred_at == LATER)
        ).all()
        assert (
            "cohort.user.merged",
            ada.id,
            {"mergedUserId": encode_id("usr", other.id)},
        ) in rows
        assert ("cohort.user.deleted", other.id, {"mergedInto": encode_id("usr", ada.id)}) in rows

    def test_of_a_chain_leads_to_the_last(self, session: Session, pair: tuple[User, User]) -> None:
        ada, other = pair
        [third] = make_members(session, "third@example.com")
        last = session.get_one(User, third)
        merging.merge(session, ada, other, at=LATER)
        merging.merge(session, last, ada, at=LATER + timedelta(minutes=1))
        assert set(queries.identities(session, third)) == {third, ada.id, other.id}


class TestRefusal:
    def test_of_oneself(self, session: Session, pair: tuple[User, User]) -> None:
        with pytest.raises(MergeRefusedError):
            merging.merge(session, pair[0], pair[0], at=NOW)

    @pytest.mark.parametrize("state", [UserState.ERASED, UserState.MERGED])
    def test_of_who_is_gone(
        self, session: Session, pair: tuple[User, User], state: UserState
    ) -> None:
        pair[1].state = state
        session.flush()
        for survivor, other in (pair, pair[::-1]):
            with pytest.raises(MergeRefusedError):
                merging.preview(session, survivor, other)

    def test_of_who_is_about_to_be_erased(self, session: Session, pair: tuple[User, User]) -> None:
        erasure.request(session, pair[1], reason="asked", at=NOW)
        with pytest.raises(MergeRefusedError):
            merging.merge(session, *pair, at=NOW)

    def test_of_another_merchants_member(
        self, session: Session, merchant: Merchant, pair: tuple[User, User]
    ) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as other:
            [eve] = make_members(other, "eve@example.com")
        with unit_of_work(merchant=merchant.id) as mine:
            assert mine.get(User, eve) is None


class TestAfterwards:
    def test_either_address_signs_in_who_stays(
        self, session: Session, pair: tuple[User, User]
    ) -> None:
        ada, other = pair
        assert spaces.member_behind(session, other) is other
        merging.merge(session, ada, other, at=LATER)
        assert spaces.member_behind(session, other) is ada
