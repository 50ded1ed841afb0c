"""What can go wrong with exports."""

from core.errors import InvalidError, NotFoundError
from core.types import ExportId


class ExportNotFoundError(NotFoundError):
    """This merchant has no such export, or its file is gone."""

    def __init__(self, export_id: ExportId) -> None:
        super().__init__("There is no such file, or its seven days are over. Export it again.")
        self.export_id = export_id


class ExportInvalidError(InvalidError):
    """What was asked for cannot be exported; `fields` says what to change."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("This cannot be exported as chosen.", fields=fields)
