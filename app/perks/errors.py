"""What can go wrong with perks."""

from core.errors import ConflictError, NotFoundError
from core.types import PerkId


class PerkNotFoundError(NotFoundError):
    """This merchant has no such perk."""

    def __init__(self, perk_id: PerkId) -> None:
        super().__init__("There is no such perk. Go back to the list.")
        self.perk_id = perk_id


class PerkTransitionError(ConflictError):
    """The perk's state refuses the action."""

    def __init__(self, state: str, action: str) -> None:
        super().__init__(f"A perk that is {state} cannot be {action}.")


class PerkInUseError(ConflictError):
    """A campaign that is not over gives the perk."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"“{title}” is still given by a campaign. End or cancel that first, then archive it."
        )


class PerkExhaustedError(ConflictError):
    """A limited perk has fewer left than asked for."""

    def __init__(self, title: str, *, wanted: int, left: int) -> None:
        super().__init__(
            f"“{title}” has {left} left, but {wanted} are needed. Raise its quantity or choose a "
            "smaller audience."
        )
        self.wanted = wanted
        self.left = left
