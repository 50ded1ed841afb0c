"""What can go wrong, as one tree; each class carries its HTTP status.

    AppError            500  unclassified: our bug, it alerts
    ├── NotFoundError     404  no such object for this caller
    ├── ForbiddenError    403  known caller, not allowed
    ├── ConflictError     409  the object's state refuses the action
    ├── InvalidError      422  the input is wrong; `fields` says where
    ├── TooManyError      429  a limit; `retry_after` says how long
    └── UnavailableError  503  a part we need does not answer; retry later

Packages derive one class a situation in their own `errors.py`.
"""

import re
from collections.abc import Mapping


class AppError(Exception):
    """Base of everything the product raises on purpose.

    The message is a sentence for people: what happened, to which object, what to do.
    """

    status = 500
    retryable = False

    @property
    def code(self) -> str:
        """Stable machine name: the class name in snake case without `Error`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Error")).lower()


class NotFoundError(AppError):
    """The object does not exist, or not for this caller."""

    status = 404


class ForbiddenError(AppError):
    """The caller is known and may not do this."""

    status = 403


class ConflictError(AppError):
    """The state of an object refuses the action."""

    status = 409


class TransitionError(ConflictError):
    """No transition leads from the object's state to where the action would bring it."""

    @property
    def code(self) -> str:
        """One name for every machine of states."""
        return "invalid_transition"


class InvalidError(AppError):
    """The input is wrong.

    Args:
        fields: field name -> sentence, for every field that must change.
    """

    status = 422

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class TooManyError(AppError):
    """A limit is reached.

    Args:
        retry_after: seconds until another try can succeed.
    """

    status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(AppError):
    """A part the product needs does not answer; nothing was changed."""

    status = 503
    retryable = True

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsError(AppError):
    """The installation is not set up in a way that can work; the message says what to change."""
