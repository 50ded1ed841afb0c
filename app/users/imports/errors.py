"""What can go wrong with imports."""

from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import ImportId


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


class ImportNotReadError(ConflictError):
    """Nobody has looked at the file yet."""

    def __init__(self) -> None:
        super().__init__("The file is still being looked at. Wait until its columns are shown.")


class RowsMovedError(ConflictError):
    """Members of a part were changed by somebody else at the same moment; it is tried again."""

    def __init__(self) -> None:
        super().__init__("Some users were changed at the same moment. Try again.")
