"""What can go wrong with members and their properties."""

from core.errors import InvalidError, NotFoundError
from core.types import PropertyId, UserId


class UserNotFoundError(NotFoundError):
    """This merchant has no such member."""

    def __init__(self, user_id: UserId) -> None:
        super().__init__("There is no such user. It may have been erased; go back to the list.")
        self.user_id = user_id


class ValueInvalidError(InvalidError):
    """The text is no value of the property's kind; `problem` says whether it is only too long."""

    def __init__(self, sentence: str, problem: str = "type_mismatch") -> None:
        super().__init__(sentence)
        self.problem = problem


class PropertyNotFoundError(NotFoundError):
    """This merchant has no such property."""

    def __init__(self, property_id: PropertyId) -> None:
        super().__init__(
            "There is no such property. It may have been deleted; go back to the list."
        )
        self.property_id = property_id


class PropertyInvalidError(InvalidError):
    """The property cannot be made or changed as asked; `fields` says what to do."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("The property cannot be saved like this.", fields=fields)
