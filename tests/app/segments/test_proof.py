"""Segments built again as a proof: nobody moves, or it is said who did."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.orm import Session

from app import engine as work
from app.segments import keeping, rules, service
from app.segments.models import Segment, SegmentMember, SegmentState
from core.db import Role, unit_of_work
from core.events import Event
from core.ids import encode_id
from core.types import SegmentId, UserId, utc_now
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW, make_merchant, wait_until
from tests.factories.brand import make_members


class Stage:
    """A brand with a built segment of everybody whose address begins with a."""

    def __init__(self) -> None:
        self.merchant = make_merchant().id
        with self.unit() as session:
            self.ada, self.bob = make_members(session, "ada@example.com", "bob@example.com")
            condition = {"kind": "property", "field": "email", "op": "starts_with", "value": ["a"]}
            rule = rules.load({"groups": [{"conditions": [condition]}]})
            self.segment = service.create(session, rule, name="A", at=NOW).id
        wait_until(self.is_kept)

    @contextmanager
    def unit(self, role: Role = Role.APP) -> Iterator[Session]:
        with unit_of_work(merchant=self.merchant, actor="test", role=role) as session:
            yield session

    def is_kept(self) -> bool:
        """Built, with every event read: other transactions of the server may hold them back."""
        work.build_segments(self.merchant)
        work.keep_segments(self.merchant)
        with self.unit(Role.ENGINE) as session:
            cursor = keeping.event_cursor.claim(session, keeping.READER)
            assert cursor is not None
            is_read = keeping.event_cursor.is_up_to_date(session, cursor)
            return is_read and self.row(session).state is SegmentState.LIVE

    def row(self, session: Session) -> Segment:
        return session.get_one(Segment, self.segment, populate_existing=True)

    def prove(self) -> Segment:
        work.prove_segments(self.merchant)
        work.build_segments(self.merchant)
        with self.unit() as session:
            return self.row(session)

    def spoil(self) -> None:
        """Bob is in by a mistake, and Ada is not."""
        with self.unit() as session:
            session.execute(delete(SegmentMember))
            session.execute(
                insert(SegmentMember).values(
                    segment_id=self.segment, user_id=self.bob, since=utc_now()
                )
            )

    def members(self) -> list[UserId]:
        with self.unit() as session:
            return list(session.scalars(select(SegmentMember.user_id)))

    def alerts(self) -> list[dict[str, Any]]:
        with self.unit() as session:
            query = select(Event.data).where(Event.type == "cohort.alert.raised")
            return list(session.scalars(query))


@pytest.fixture
def stage(committed: None) -> Stage:
    """As described."""
    return Stage()


def test_nobody_moves_and_nothing_is_told(stage: Stage) -> None:
    row = stage.prove()
    assert row.proved_at is not None and not row.is_proving
    assert (row.proof_joined, row.proof_left, row.state) == (0, 0, SegmentState.LIVE)
    assert stage.alerts() == []
    assert stage.members() == [stage.ada]


def test_who_moved_is_written_down_and_told(stage: Stage) -> None:
    stage.spoil()
    row = stage.prove()
    assert (row.proof_joined, row.proof_left) == (1, 1)
    assert stage.alerts() == [
        {
            "kind": "segment_differs",
            "detail": {"segmentId": encode_id("seg", stage.segment), "joined": 1, "left": 1},
        }
    ]
    assert stage.members() == [stage.ada]
    assert stage.prove().proof_joined == 0
    assert len(stage.alerts()) == 1


def test_what_just_happened_is_decided_first_and_is_no_difference(stage: Stage) -> None:
    with stage.unit() as session:
        make_members(session, "amy@example.com")
    row = stage.prove()
    assert (row.proof_joined, row.proof_left) in {(0, 0), (1, 0)}
    assert stage.alerts() == []


def test_what_cannot_be_read_yet_is_not_told_as_a_difference(stage: Stage, engine: Engine) -> None:
    """An older transaction that is still open holds events back that are committed already."""
    with engine.connect() as older:
        older.exec_driver_sql("SELECT pg_current_xact_id()")
        with stage.unit() as session:
            make_members(session, "amy@example.com")
        row = stage.prove()
        assert (row.proof_joined, row.proof_left) == (1, 0)
        older.rollback()
    assert stage.alerts() == []


def test_somebody_who_keeps_segments_now_is_not_disturbed(stage: Stage) -> None:
    work.prove_segments(stage.merchant)
    with stage.unit(Role.ENGINE) as keeper:
        assert keeping.event_cursor.claim(keeper, keeping.READER) is not None
        with stage.unit(Role.ENGINE) as session:
            assert keeping.prove_next(session, at=utc_now()) is None
    with stage.unit() as session:
        assert stage.row(session).is_proving
    assert not stage.prove().is_proving


def test_its_page_says_what_was_found(admin: TestClient, session: Session) -> None:
    condition = {"kind": "property", "field": "email", "op": "starts_with", "value": ["a"]}
    rule = rules.load({"groups": [{"conditions": [condition]}]})
    segment = service.create(session, rule, name="A", at=NOW)
    place = f"/admin/segments/{encode_id('seg', SegmentId(segment.id))}"
    assert "proved" not in admin.get(place, headers=HTML).text
    segment.proved_at, segment.proof_joined, segment.proof_left = NOW, 0, 0
    session.flush()
    assert "nobody moved" in admin.get(place, headers=HTML).text
    segment.proof_joined, segment.proof_left = 3, 2
    session.flush()
    assert "3 entered and 2 left" in admin.get(place, headers=HTML).text
