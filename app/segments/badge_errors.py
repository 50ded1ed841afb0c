"""What can go wrong with badges."""

from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import BadgeId


class BadgeNotFoundError(NotFoundError):
    """This merchant has no such badge."""

    def __init__(self, badge_id: BadgeId) -> None:
        super().__init__("There is no such badge. It may have been deleted; go back to the badges.")
        self.badge_id = badge_id


class BadgeInvalidError(InvalidError):
    """The badge cannot be saved or published like this; `fields` says what to do."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("Something is missing or too long.", fields=fields)


class BadgeStateError(ConflictError):
    """The badge is not in the state this needs."""
