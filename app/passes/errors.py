"""What can go wrong with signed codes."""

from core.errors import UnavailableError


class SigningKeyGoneError(UnavailableError):
    """The private part of the key was destroyed when its successor took over."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            "The key for this code has just been replaced. Reload the page to see a fresh code."
        )
        self.key_id = key_id
