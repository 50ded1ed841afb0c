"""Whoever owns a digital asset receives what it unlocks, once, whoever asks and whenever."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, TeamRole
from app.perks.errors import PerkNotFoundError
from app.perks.models import Holding, Perk, PerkState
from app.rewards import unlocking
from app.rewards.closing import close_delivered
from app.rewards.errors import RewardNotLiveError, UnlockInvalidError
from app.rewards.lines import Choice, make_line
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine, Unlock
from app.rewards.service import Source, grant_many, members
from app.users.models import User, UserState
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import PerkId, UserId
from minting.models import BatchState, DigitalAsset, Token, TokenState
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_asset, make_members, make_perk
from tests.factories.minting import make_plan

ADDRESSES = [f"{name}@example.com" for name in ("ada", "bo", "cy", "di")]


@pytest.fixture
def users(session: Session) -> list[UserId]:
    return make_members(session, *ADDRESSES)


@pytest.fixture
def asset(session: Session) -> DigitalAsset:
    return make_asset(session)


def own(session: Session, asset: DigitalAsset, *users: UserId) -> None:
    """Each of them has a token more, confirmed on the chain."""
    line = make_line(session, Choice(asset.id))
    source = Source(GrantSource.MANUAL, new_id())
    grant_many(
        session, line, members(select(User.id).where(User.id.in_(users))), source=source, at=NOW
    )
    batch = make_plan(session, new_id().bytes, contract=asset.address).batches[0]
    queued = update(Token).where(Token.state == TokenState.QUEUED, Token.asset_id == asset.id)
    session.execute(queued.values(state=TokenState.OWNED, batch_id=batch.id, owned_at=NOW))
    batch.state, batch.settled_at = BatchState.FINAL, NOW
    session.flush()
    close_delivered(session, at=NOW)


def give_all(session: Session) -> None:
    while unlocking.give_due(session, NOW):
        pass


def holders(session: Session, perk: Perk) -> set[UserId]:
    query = select(Holding.user_id).where(Holding.perk_id == perk.id)
    found = list(session.scalars(query))
    assert len(found) == len(set(found))
    return set(found)


class TestGiving:
    def test_whoever_owned_it_before_and_whoever_comes(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        own(session, asset, users[0])
        unlocking.add(session, asset, perk.id, at=NOW)
        give_all(session)
        assert holders(session, perk) == {users[0]}
        own(session, asset, users[1], users[2])
        give_all(session)
        assert holders(session, perk) == set(users[:3])
        of_perk = select(Grant.source_type).join(RewardLine).where(RewardLine.perk_id == perk.id)
        assert set(session.scalars(of_perk)) == {GrantSource.UNLOCK}

    def test_a_second_token_brings_nothing_more(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        unlocking.add(session, asset, perk.id, at=NOW)
        for _ in range(2):
            own(session, asset, users[0])
            give_all(session)
        assert holders(session, perk) == {users[0]}

    def test_not_before_the_chain_says_so(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        unlocking.add(session, asset, perk.id, at=NOW)
        line = make_line(session, Choice(asset.id))
        source = Source(GrantSource.MANUAL, new_id())
        grant_many(session, line, members(select(User.id)), source=source, at=NOW)
        give_all(session)
        assert holders(session, perk) == set()

    def test_what_runs_out_is_given_when_there_is_more(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session, total_quantity=1)
        unlocking.add(session, asset, perk.id, at=NOW)
        own(session, asset, *users[:3])
        give_all(session)
        assert len(holders(session, perk)) == 1
        perk.total_quantity = 3
        session.flush()
        give_all(session)
        assert holders(session, perk) == set(users[:3])
        assert session.scalars(select(Unlock.is_due)).one() is False

    def test_one_without_stock_keeps_no_other(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        empty, full = make_perk(session, "Empty", total_quantity=1), make_perk(session, "Full")
        for perk in (empty, full):
            unlocking.add(session, asset, perk.id, at=NOW)
        own(session, asset, *users[:2])
        give_all(session)
        assert (len(holders(session, empty)), len(holders(session, full))) == (1, 2)

    def test_of_an_archived_perk_nothing_is_given(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        unlocking.add(session, asset, perk.id, at=NOW)
        perk.state = PerkState.ARCHIVED
        own(session, asset, users[0])
        give_all(session)
        assert holders(session, perk) == set()
        perk.state = PerkState.LIVE
        session.flush()
        give_all(session)
        assert holders(session, perk) == {users[0]}

    def test_whoever_is_blocked_receives_nothing(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        own(session, asset, *users[:2])
        session.get_one(User, users[0]).state = UserState.BLOCKED
        unlocking.add(session, asset, perk.id, at=NOW)
        give_all(session)
        assert holders(session, perk) == {users[1]}

    def test_who_has_as_many_as_anybody_may_is_skipped_and_says_why(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session, max_per_user=1)
        line = make_line(session, Choice(perk_id=perk.id))
        chosen = members(select(User.id).where(User.id == users[0]))
        grant_many(session, line, chosen, source=Source(GrantSource.MANUAL, new_id()), at=NOW)
        own(session, asset, users[0])
        unlocking.add(session, asset, perk.id, at=NOW)
        give_all(session)
        skipped = session.scalars(select(Grant).where(Grant.state == GrantState.SKIPPED)).one()
        assert (skipped.source_type, skipped.reason) == (GrantSource.UNLOCK, "per_user_limit")

    def test_many_at_once_give_each_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            asset, perk = make_asset(session), make_perk(session)
            unlocking.add(session, asset, perk.id, at=NOW)
            own(session, asset, *make_members(session, *(f"m{n}@example.com" for n in range(60))))

        def work(_number: int) -> None:
            more = True
            while more:
                with unit_of_work(merchant=merchant) as session:
                    more = unlocking.give_due(session, NOW)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(Holding)) == 60
            line = session.scalars(select(RewardLine).where(RewardLine.perk_id == perk.id)).one()
            assert (line.granted_count, line.delivered_count) == (60, 60)


class TestChoosing:
    def test_ten_at_most(self, session: Session, asset: DigitalAsset) -> None:
        for number in range(unlocking.MOST):
            unlocking.add(session, asset, make_perk(session, f"P{number}").id, at=NOW)
        with pytest.raises(UnlockInvalidError, match="at most 10"):
            unlocking.add(session, asset, make_perk(session, "One more").id, at=NOW)

    def test_a_draft_is_refused(self, session: Session, asset: DigitalAsset) -> None:
        with pytest.raises(RewardNotLiveError):
            unlocking.add(session, asset, make_perk(session, state=PerkState.DRAFT).id, at=NOW)

    def test_what_does_not_exist_is_refused(self, session: Session, asset: DigitalAsset) -> None:
        with pytest.raises(PerkNotFoundError):
            unlocking.add(session, asset, PerkId(new_id()), at=NOW)

    def test_removed_and_added_again_gives_nobody_two(
        self, session: Session, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        unlocking.add(session, asset, perk.id, at=NOW)
        own(session, asset, users[0])
        give_all(session)
        unlocking.remove(session, asset.id, perk.id, at=NOW)
        own(session, asset, users[1])
        give_all(session)
        assert holders(session, perk) == {users[0]}
        unlocking.add(session, asset, perk.id, at=NOW)
        give_all(session)
        assert holders(session, perk) == set(users[:2])


class TestPages:
    def test_a_perk_is_added_and_removed(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            asset, perk = make_asset(session).id, make_perk(session).id
        page = f"/admin/assets/{encode_id('das', asset)}/unlocks"
        assert "It unlocks nothing yet" in admin.get(page, headers=HTML).text
        added = submit(admin, page, perk=encode_id("prk", perk))
        assert added.status_code == 303
        assert "Coffee, internally" in admin.get(page, headers=HTML).text
        removed = submit(admin, f"{page}/remove", perk=encode_id("prk", perk))
        assert removed.status_code == 303
        assert "It unlocks nothing yet" in admin.get(page, headers=HTML).text

    def test_without_a_live_perk_the_way_to_one_is_shown(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            page = f"/admin/assets/{encode_id('das', make_asset(session).id)}/unlocks"
        assert "/admin/perks/new" in admin.get(page, headers=HTML).text

    def test_an_analyst_only_looks(self, browse: Browse, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            asset, perk = make_asset(session).id, make_perk(session).id
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        page = f"/admin/assets/{encode_id('das', asset)}/unlocks"
        assert client.get(page, headers=HTML).status_code == 200
        for path in (page, f"{page}/remove"):
            assert submit(client, path, perk=encode_id("prk", perk)).status_code == 403
