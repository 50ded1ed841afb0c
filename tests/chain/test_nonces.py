"""Nonces have no gap and no twin, whoever asks at the same time and whatever is rolled back."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy.orm import Session

from chain import nonces
from chain.errors import LanePausedError
from chain.models import LaneRole, LaneState
from core.db import unit_of_work
from tests.factories.chain import Desk, make_desk, make_lane

THREADS, ALLOCATIONS = 6, 15


class ChangedMindError(Exception):
    """The work that took the nonce does not happen."""


def allocate(desk: Desk, *, fails: bool = False) -> int | None:
    try:
        with unit_of_work(merchant=desk.merchant) as session:
            _, [nonce] = nonces.allocate(session, desk.lane_id, 1)
            if fails:
                raise ChangedMindError
    except ChangedMindError:
        return None
    return nonce


class TestAllocate:
    def test_hands_out_the_next_and_moves_on(self, session: Session) -> None:
        lane = make_lane(session, next_nonce=5)
        assert [list(nonces.allocate(session, lane.id, it)[1]) for it in (1, 2)] == [[5], [6, 7]]
        assert lane.next_nonce == 8

    def test_a_rollback_gives_it_back(self, desk: Desk) -> None:
        assert allocate(desk) == 0
        assert allocate(desk, fails=True) is None
        assert allocate(desk) == 1

    @pytest.mark.parametrize("state", [LaneState.PAUSED, LaneState.QUARANTINED])
    def test_a_lane_that_takes_nothing_refuses_with_its_reason(
        self, session: Session, state: LaneState
    ) -> None:
        lane = make_lane(session, state=state, state_reason="no money")
        with pytest.raises(LanePausedError, match="is paused: no money"):
            nonces.allocate(session, lane.id, 1)
        assert lane.next_nonce == 0

    def test_a_refusal_without_a_reason_names_the_state(self, session: Session) -> None:
        lane = make_lane(session, state=LaneState.QUARANTINED)
        with pytest.raises(LanePausedError, match="is paused: quarantined"):
            nonces.allocate(session, lane.id, 1)

    def test_what_was_read_before_the_lock_does_not_count(self, desk: Desk) -> None:
        with unit_of_work(merchant=desk.merchant) as session:
            session.get_one(type(desk.lane()), desk.lane_id)
            assert allocate(desk) == 0
            assert list(nonces.allocate(session, desk.lane_id, 1)[1]) == [1]

    @pytest.mark.parametrize("seed", range(3))
    def test_many_at_once_leave_no_gap_and_no_twin(self, desk: Desk, seed: int) -> None:
        def work(number: int) -> list[int]:
            random = Random(f"{seed} {number}")
            taken = [allocate(desk, fails=random.random() < 0.3) for _ in range(ALLOCATIONS)]
            return [nonce for nonce in taken if nonce is not None]

        with ThreadPoolExecutor(THREADS) as pool:
            handed_out = [nonce for part in pool.map(work, range(THREADS)) for nonce in part]
        assert sorted(handed_out) == list(range(len(handed_out)))
        assert desk.lane().next_nonce == len(handed_out)

    def test_lanes_do_not_touch_each_other(self, desk: Desk) -> None:
        other = make_desk(desk.merchant, role=LaneRole.ISSUER, next_nonce=40)
        assert [allocate(desk), allocate(other), allocate(desk)] == [0, 40, 1]
