"""What can go wrong on the operations screens."""

from core.errors import NotFoundError


class OutboxClosedError(NotFoundError):
    """The local outbox shows secrets, so it exists in development and on this machine only."""

    def __init__(self) -> None:
        super().__init__("There is nothing at this address. Check the link, or go back.")
