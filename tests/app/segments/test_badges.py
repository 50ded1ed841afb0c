"""Badges: gained and lost once for each entry and exit, whatever storms; seen by whom they may."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app import upkeep
from app.segments import badge_reader, badge_views, badges
from app.segments.badge_errors import BadgeInvalidError, BadgeStateError
from app.segments.badges import Draft
from app.segments.models import (
    Badge,
    BadgeOwner,
    BadgeState,
    BadgeVisibility,
    Segment,
    SegmentMember,
)
from app.users import lists, queries
from app.users.models import User, UserState
from core.db import unit_of_work
from core.event_cursor import EventCursor
from core.events import Event, emit
from core.ids import encode_id, new_id
from core.types import BadgeId, ListId, MerchantId, SegmentId, UserId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members

CID = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
LATER = NOW + timedelta(hours=1)


class World:
    """A merchant with a list, a badge of it, and members; everything is committed."""

    def __init__(self, people: int = 3) -> None:
        self.merchant: MerchantId = make_merchant().id
        with unit_of_work(merchant=self.merchant) as session:
            emails = [f"m{number}@example.com" for number in range(people)]
            self.users: Sequence[UserId] = make_members(session, *emails)
            self.list: ListId = lists.create(session, "Best", at=NOW).id

    def badge(self, *, is_published: bool = True, **changes: object) -> BadgeId:
        with unit_of_work(merchant=self.merchant) as session:
            values = {"list_id": self.list, **changes}
            row = Badge(
                id=BadgeId(new_id()),
                internal_name="Pioneer",
                title={"en": "Pioneer"},
                media_cid=CID,
                created_at=NOW,
                **values,
            )
            session.add(row)
            session.flush()
            if is_published:
                badges.publish(session, row, at=NOW)
            return row.id

    def enter(self, *users: UserId, leaves: bool = False) -> None:
        act = lists.remove if leaves else lists.add
        with unit_of_work(merchant=self.merchant) as session:
            row = lists.get(session, self.list)
            some = select(User.id).where(User.id.in_(users))
            act(session, row, some, reason="manual", at=LATER)

    def follow(self) -> None:
        for merchant in upkeep.merchants_with_badges():
            upkeep.follow_badges(merchant)

    def owners(self, badge: BadgeId) -> set[UserId]:
        with unit_of_work(merchant=self.merchant) as session:
            query = select(BadgeOwner.user_id).where(BadgeOwner.badge_id == badge)
            return set(session.scalars(query))

    def told(self, user: UserId | None = None) -> list[str]:
        with unit_of_work(merchant=self.merchant) as session:
            query = select(Event.type).where(Event.type.startswith("cohort.badge."))
            if user is not None:
                query = query.where(Event.user_id == user)
            return list(session.scalars(query.order_by(Event.xid, Event.id)))


@pytest.fixture
def world(committed: None) -> World:
    """See `World`."""
    return World()


GAINED, LOST = "cohort.badge.gained", "cohort.badge.lost"


class TestFollowing:
    def test_whoever_is_in_has_it_at_once(self, world: World) -> None:
        world.enter(world.users[0])
        badge = world.badge()
        assert world.owners(badge) == {world.users[0]}
        world.follow()
        assert world.told() == [GAINED]

    def test_entering_gives_and_leaving_takes(self, world: World) -> None:
        badge = world.badge()
        world.enter(*world.users[:2])
        world.follow()
        assert world.owners(badge) == set(world.users[:2])
        world.enter(world.users[0], leaves=True)
        world.follow()
        assert world.owners(badge) == {world.users[1]}
        assert world.told(world.users[0]) == [GAINED, LOST]
        with unit_of_work(merchant=world.merchant) as session:
            data = session.scalars(select(Event.data).where(Event.type == LOST)).one()
            names = {"badgeId": encode_id("bdg", badge), "cohortId": encode_id("lst", world.list)}
            assert data == names

    def test_in_a_storm_each_entry_and_exit_counts_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(badge_reader, "FACTS_A_PAGE", 7)
        badge, draw = world.badge(), random.Random(3)
        expected: dict[UserId, list[str]] = {user: [] for user in world.users}
        inside: set[UserId] = set()
        for step in range(60):
            user = draw.choice(world.users)
            leaves = user in inside
            world.enter(user, leaves=leaves)
            (inside.discard if leaves else inside.add)(user)
            expected[user].append(LOST if leaves else GAINED)
            if step % 11 == 0:
                world.follow()
        for _ in range(2):
            world.follow()
        assert world.owners(badge) == inside
        assert {user: world.told(user) for user in world.users} == expected

    def test_what_happened_before_publishing_only_counts_if_it_is_true(self, world: World) -> None:
        world.badge()
        world.enter(*world.users)
        world.enter(world.users[0], leaves=True)
        with unit_of_work(merchant=world.merchant) as session:
            row = Badge(
                id=BadgeId(new_id()),
                internal_name="Late",
                title={"en": "Late"},
                media_cid=CID,
                list_id=world.list,
                created_at=NOW,
            )
            session.add(row)
            session.flush()
            assert badges.publish(session, row, at=LATER + timedelta(hours=1)) == 2
        world.follow()
        assert world.owners(row.id) == set(world.users[1:])
        with unit_of_work(merchant=world.merchant) as session:
            late = Event.data["badgeId"].astext == encode_id("bdg", row.id)
            kinds = session.scalars(select(Event.type).where(late)).all()
            assert sorted(kinds) == [GAINED, GAINED]

    def test_a_sticky_one_is_never_taken(self, world: World) -> None:
        badge = world.badge(is_sticky=True)
        world.enter(world.users[0])
        world.enter(world.users[0], leaves=True)
        world.follow()
        assert world.owners(badge) == {world.users[0]} and world.told() == [GAINED]

    def test_of_a_segment_follows_the_segment(self, world: World) -> None:
        segment = SegmentId(new_id())
        with unit_of_work(merchant=world.merchant) as session:
            session.add(Segment(id=segment, name="S", rule={}, created_at=NOW))
            session.flush()
            session.add(SegmentMember(segment_id=segment, user_id=world.users[0], since=NOW))
        badge = world.badge(list_id=None, segment_id=segment)
        assert world.owners(badge) == {world.users[0]}
        name = encode_id("seg", segment)
        with unit_of_work(merchant=world.merchant) as session:
            for kind, user in (("joined", world.users[1]), ("left", world.users[0])):
                told = f"cohort.segment.{kind}"
                emit(session, told, at=LATER, user_id=user, segmentId=name, cohortId=name)
        world.follow()
        assert world.owners(badge) == {world.users[1]}

    def test_who_is_gone_gets_none(self, world: World) -> None:
        badge = world.badge()
        world.enter(world.users[0])
        with unit_of_work(merchant=world.merchant) as session:
            session.get_one(User, world.users[0]).state = UserState.ERASED
        world.follow()
        assert world.owners(badge) == set()

    def test_after_a_restore_elsewhere_the_tables_say_it(self, world: World) -> None:
        badge = world.badge()
        world.enter(world.users[0])
        with unit_of_work(merchant=world.merchant) as session:
            session.execute(update(EventCursor).values(xid=2**40))
        world.follow()
        assert world.owners(badge) == {world.users[0]}
        world.enter(world.users[1])
        world.follow()
        assert world.owners(badge) == set(world.users[:2])

    def test_waits_for_who_is_publishing(self, world: World) -> None:
        world.badge()
        world.enter(world.users[0])
        with unit_of_work(merchant=world.merchant) as session:
            other = badges.duplicate(session, session.scalars(select(Badge)).one(), at=NOW)
            badges.publish(session, other, at=NOW)
            world.follow()
            assert world.told() == []
        world.follow()
        assert world.owners(other.id) == {world.users[0]}
        assert world.told() == [GAINED, GAINED]


class TestChanges:
    def draft(self, world: World, **changes: object) -> Draft:
        values: dict[str, object] = {
            "internal_name": "Pioneer",
            "title": {"en": "Pioneer"},
            "description": {},
            "locked": {},
            "list_id": world.list,
        }
        return Draft(**{**values, **changes})  # type: ignore[arg-type]

    def test_of_the_owners_are_seen_at_once(self, world: World) -> None:
        world.enter(world.users[0])
        badge = world.badge()
        with unit_of_work(merchant=world.merchant) as session:
            other = lists.create(session, "Others", at=NOW)
            one = queries.only(world.users[1])
            lists.add(session, other, one, reason="manual", at=NOW)
            row = badges.get(session, badge)
            badges.change(session, row, self.draft(world, list_id=other.id), at=LATER)
        world.follow()
        assert world.owners(badge) == {world.users[1]}
        assert world.told(world.users[0]) == [GAINED, LOST]

    @pytest.mark.parametrize(
        "changes",
        [
            {"title": {"en": "x" * 61}},
            {"description": {"en": "x" * 501}},
            {"title": {"en": "a\0b"}},
            {"title": {}},
            {"list_id": None},
            {"internal_name": " "},
        ],
    )
    def test_that_break_a_live_one_are_refused(
        self, world: World, changes: dict[str, object]
    ) -> None:
        badge = world.badge()
        with pytest.raises(BadgeInvalidError), unit_of_work(merchant=world.merchant) as session:
            row = badges.get(session, badge)
            badges.change(session, row, self.draft(world, **changes), at=LATER)

    @pytest.mark.parametrize("lacks", [{"title": {}}, {"media_cid": None}, {"list_id": None}])
    def test_an_unfinished_draft_is_not_published(
        self, world: World, lacks: dict[str, object]
    ) -> None:
        values = {"title": {"en": "T"}, "media_cid": CID, **lacks}
        with pytest.raises(BadgeInvalidError), unit_of_work(merchant=world.merchant) as session:
            row = Badge(
                id=BadgeId(new_id()),
                internal_name="Draft",
                created_at=NOW,
                **{"list_id": world.list, **values},
            )
            session.add(row)
            session.flush()
            badges.publish(session, row, at=NOW)

    def test_archiving_takes_it_and_tells_nobody(self, world: World) -> None:
        world.enter(world.users[0])
        badge = world.badge()
        with unit_of_work(merchant=world.merchant) as session:
            row = badges.get(session, badge)
            with pytest.raises(BadgeStateError):
                badges.delete_badge(session, row)
            badges.archive(session, row, at=LATER)
            with pytest.raises(BadgeStateError):
                badges.publish(session, row, at=LATER)
            twin = badges.duplicate(session, row, at=LATER)
            assert (twin.state, twin.list_id) == (BadgeState.DRAFT, world.list)
            badges.delete_badge(session, row)
        assert world.owners(badge) == set() and world.told() == [GAINED]


class TestView:
    def test_shows_what_one_may_know_of(self, world: World) -> None:
        world.enter(world.users[0])
        texts = {"description": {"en": "Well done", "de": "Gut"}}
        world.badge(**texts, locked_description={"en": "Come in"})
        world.badge(visibility=BadgeVisibility.OWNERS)
        world.badge(is_published=False)
        with unit_of_work(merchant=world.merchant) as session:
            owner, outsider = (session.get_one(User, it) for it in world.users[:2])
            owner.lang = "de"
            assert [it.text for it in badge_views.shown_to(session, owner)] == ["Gut", ""]
            [locked] = badge_views.shown_to(session, outsider)
            assert (locked.gained_at, locked.text) == (None, "Come in")


def test_readers_at_once_do_not_double(world: World) -> None:
    badge = world.badge()
    world.enter(*world.users)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _number: world.follow(), range(6)))
    assert world.owners(badge) == set(world.users) and world.told() == [GAINED] * 3
