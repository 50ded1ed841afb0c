"""What can go wrong with uploaded files."""

from core.errors import InvalidError


class FileUnreadableError(InvalidError):
    """The uploaded file is no table we can read."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, fields={"file": sentence})
