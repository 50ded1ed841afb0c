"""What can go wrong on the operations screens."""

from core.errors import NotFoundError
from core.types import LaneId


class OutboxClosedError(NotFoundError):
    """The local outbox shows secrets, so it exists in development and on this machine only."""

    def __init__(self) -> None:
        super().__init__("There is nothing at this address. Check the link, or go back.")


class LaneNotFoundError(NotFoundError):
    """This merchant has no such lane."""

    def __init__(self, lane_id: LaneId) -> None:
        super().__init__("There is no such relayer. Go back to the operations.")
        self.lane_id = lane_id
