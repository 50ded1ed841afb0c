"""What can go wrong with segments."""

from collections.abc import Sequence

from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import SegmentId


class SegmentNotFoundError(NotFoundError):
    """This merchant has no such segment."""

    def __init__(self, segment_id: SegmentId) -> None:
        super().__init__("There is no such segment. Go back to the list.")
        self.segment_id = segment_id


class SegmentInvalidError(InvalidError):
    """The segment cannot be made or changed as asked; `fields` says what to do."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("The segment cannot be saved like this.", fields=fields)


class RuleInvalidError(InvalidError):
    """The rule asks what cannot be asked; `fields` says where and why."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("Some conditions need another look.", fields=fields)


class SegmentCycleError(InvalidError):
    """The rule would read itself; `way` names the segments on the way back to it."""

    def __init__(self, way: Sequence[str]) -> None:
        names = " → ".join(f"“{name}”" for name in way)
        super().__init__(
            f"The segment would depend on itself: {names}. Take one of them out of the conditions.",
            fields={"groups": "The segment would depend on itself."},
        )
        self.way = way


class SegmentInUseError(ConflictError):
    """Something needs the segment."""

    def __init__(self, name: str, users: Sequence[str]) -> None:
        named = ", ".join(f"“{it}”" for it in users)
        super().__init__(f"“{name}” is needed by {named}. Change or archive those first.")
        self.users = users
