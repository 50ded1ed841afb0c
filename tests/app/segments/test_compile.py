"""Rules as SQL decide what plain Python decides, of all members and of few."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.segments import compile as compiler
from app.segments import rules
from app.segments.ground import Ground
from app.users.fields import catalogue
from app.users.models import User
from core.db import merchant_of
from core.ids import new_id
from core.types import SegmentId, UserId
from tests.app.segments import oracle, worlds
from tests.app.segments.oracle import World
from tests.app.segments.people import Stage, settle
from tests.conftest import NOW

RULES_A_WORLD = 25
WORLDS = 80
ZONES = ["UTC", "Pacific/Auckland", "America/St_Johns"]


@pytest.fixture
def stage(session: Session) -> Stage:
    """Properties and lists that random rules speak of."""
    return Stage(session)


def ground_of(session: Session, zone: str, *, is_few: bool = False) -> Ground:
    """What is decided on now."""
    return Ground(
        merchant_of(session), catalogue(session), now=NOW, zone=ZoneInfo(zone), is_few=is_few
    )


def found(session: Session, rule: rules.Rule, ground: Ground) -> set[UserId]:
    """Whom the database takes in."""
    if not ground.is_few:
        everybody = session.scalars(compiler.wanted(rule, ground)).all()
        assert len(everybody) == len(set(everybody))
        return set(everybody)
    query = select(User.id).where(compiler.is_member(ground.merchant), compiler.meets(rule, ground))
    return set(session.scalars(query))


class TestMeets:
    @settings(
        max_examples=WORLDS,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        drawn=st.lists(worlds.PEOPLE, min_size=1, max_size=12),
        asked=st.lists(
            worlds.rules_of(worlds.CONDITIONS), min_size=RULES_A_WORLD, max_size=RULES_A_WORLD
        ),
        zone=st.sampled_from(ZONES),
    )
    def test_decides_what_the_oracle_decides(
        self, session: Session, stage: Stage, drawn: list, asked: list, zone: str
    ) -> None:
        world = World(NOW, ZoneInfo(zone), worlds.KINDS)
        every, few = ground_of(session, zone), ground_of(session, zone, is_few=True)
        savepoint = session.begin_nested()
        try:
            people = settle(session, stage, drawn)
            for plain in asked:
                rule = rules.load(stage.rule(plain))
                expected = {user for user, it in people.items() if oracle.meets(plain, it, world)}
                assert found(session, rule, every) == expected, plain
                assert found(session, rule, few) == expected, plain
        finally:
            savepoint.rollback()

    def test_reads_the_rules_of_segments_inside_each_other(
        self, session: Session, stage: Stage
    ) -> None:
        people = settle(session, stage, [PLAIN | {"country": "FR"}, PLAIN | {"country": "DE"}])
        french, others = (
            SegmentId(new_id()),
            SegmentId(new_id()),
        )
        inner = {
            "groups": [
                {
                    "conditions": [
                        {"kind": "property", "field": "country", "op": "is", "value": ["FR"]}
                    ]
                }
            ]
        }
        outer = {
            "groups": [{"conditions": [{"kind": "segment", "id": str(french), "is_in": False}]}]
        }
        known = {french: rules.load(inner), others: rules.load(outer)}
        ground = Ground(merchant_of(session), catalogue(session), now=NOW, known=known)
        assert found(session, known[others], ground) == {list(people)[1]}

    def test_leaves_out_who_is_erased(self, session: Session, stage: Stage) -> None:
        people = settle(session, stage, [PLAIN])
        [user] = people
        rule = rules.load(stage.rule(EVERYBODY))
        assert found(session, rule, ground_of(session, "UTC")) == {user}
        session.get_one(User, user).state = "erased"
        session.flush()
        assert found(session, rule, ground_of(session, "UTC")) == set()


PLAIN = {
    "created_at": NOW,
    "country": "FR",
    "events": [],
    "lists": set(),
    "consents": [],
}
EVERYBODY = {"groups": [{"conditions": [{"kind": "property", "field": "email", "op": "is_set"}]}]}
