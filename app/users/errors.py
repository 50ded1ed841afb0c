"""What can go wrong with members and imports."""

from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import ImportId, UserId


class UserNotFoundError(NotFoundError):
    """This merchant has no such member."""

    def __init__(self, user_id: UserId) -> None:
        super().__init__("There is no such user. It may have been erased; go back to the list.")
        self.user_id = user_id


class ImportNotFoundError(NotFoundError):
    """This merchant has no such import."""

    def __init__(self, import_id: ImportId) -> None:
        super().__init__("There is no such import. Go back to the users and upload the file again.")
        self.import_id = import_id


class MappingInvalidError(InvalidError):
    """The columns cannot be imported as mapped."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, fields={"mapping": sentence})


class ImportStateError(ConflictError):
    """The import is past the point where this can change."""

    def __init__(self, import_id: ImportId, state: str) -> None:
        super().__init__(f"This import is {state} already; upload the file again to start anew.")
        self.import_id = import_id
