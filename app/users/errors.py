"""What can go wrong with members and their properties."""

from collections.abc import Sequence

from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import ListId, PropertyId, UserId


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


class PropertyInUseError(ConflictError):
    """Something would break without the property; `uses` names it."""

    def __init__(self, name: str, uses: Sequence[str]) -> None:
        super().__init__(
            f"“{name}” is used by {', '.join(uses)}. Take it out of there first, then try again."
        )
        self.uses = list(uses)


class ConversionStateError(ConflictError):
    """The change of the property's type is past, or not at, the point where this is possible."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


class RecordChangedError(ConflictError):
    """Somebody else changed the member between reading and writing."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody changed this member while you had the page open, so nothing was saved. "
            "Reload the page and make your change again."
        )


class RecordInvalidError(InvalidError):
    """The member cannot be saved like this; `fields` says what to do."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("The member cannot be saved like this.", fields=fields)


class ListNotFoundError(NotFoundError):
    """This merchant has no such list."""

    def __init__(self, list_id: ListId) -> None:
        super().__init__("There is no such list. It may have been deleted; go back to the lists.")
        self.list_id = list_id


class ListInvalidError(InvalidError):
    """The list cannot be made or changed as asked; `fields` says what to do."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("The list cannot be saved like this.", fields=fields)


class ListArchivedError(ConflictError):
    """Nobody is put on a list that is archived."""

    def __init__(self, name: str) -> None:
        super().__init__(f"“{name}” is archived. Take it out of the archive first.")


class ListInUseError(ConflictError):
    """Something would break without the list; `uses` names it."""

    def __init__(self, name: str, uses: Sequence[str]) -> None:
        super().__init__(
            f"“{name}” is used by {', '.join(uses)}. Take it out of there first, or archive it."
        )
        self.uses = list(uses)


class EmailTakenError(ConflictError):
    """Another member has the address."""

    def __init__(self) -> None:
        super().__init__(
            "Another member has this address. Open that one, or merge the two into one."
        )


class UserErasedError(ConflictError):
    """The member is merged into another or was erased; nothing can be done with the row."""

    def __init__(self, user_id: UserId) -> None:
        super().__init__("This member was merged into another or erased, so nothing can change.")
        self.user_id = user_id
