"""What can go wrong when people are merged, forgotten or told what is known of them."""

from core.errors import ConflictError, InvalidError, NotFoundError


class ConfirmationMissingError(InvalidError):
    """What cannot be undone was not confirmed by typing what was asked for."""

    def __init__(self) -> None:
        sentence = "Type the email address exactly as it is shown."
        super().__init__("Nothing was done.", fields={"confirmation": sentence})


class ReasonMissingError(InvalidError):
    """A member is forgotten for a reason, or not at all."""

    def __init__(self) -> None:
        super().__init__("Nothing was done.", fields={"reason": "Say why, in 1 to 500 characters."})


class MergeRefusedError(ConflictError):
    """These two cannot become one."""


class ErasureStateError(ConflictError):
    """The erasure is past, or not at, the point where this is possible."""


class CopyNotFoundError(NotFoundError):
    """There is no such copy, or it is not kept any more."""

    def __init__(self) -> None:
        super().__init__("This copy is not kept any more. Ask for a new one; it takes a minute.")
