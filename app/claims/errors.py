"""What can go wrong with claim codes; whoever opens a link reads most of these sentences."""

from datetime import datetime

from app.web.formats import exact
from core.errors import (
    AppError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TooManyError,
    TransitionError,
)
from core.types import ClaimBatchId


class CodeUnknownError(NotFoundError):
    """No code of this brand: mistyped, made up, or another brand's."""

    def __init__(self) -> None:
        super().__init__("We do not know this code. Look at it again: it has 26 characters.")


class CodeUsedError(ConflictError):
    """Somebody else was earlier."""

    def __init__(self) -> None:
        super().__init__("This code was used already. Each works for a limited number of people.")


class AlreadyClaimedError(ConflictError):
    """The member has what these codes give."""

    def __init__(self, most: int) -> None:
        times = "once" if most == 1 else f"{most} times"
        super().__init__(f"You have this already: everybody can claim it {times}.")


class StockExhaustedError(ConflictError):
    """The reward is gone, though the code was good; it stays good."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing is left of this reward. Your code was not used up; ask the brand."
        )


class CodeNotOpenError(ConflictError):
    """The code is good from a later moment on."""

    def __init__(self, opens_at: datetime) -> None:
        super().__init__(f"This code works from {exact(opens_at)} on. Come back then.")


class GoneError(AppError):
    """The code was good once."""

    status = 410


class CodeExpiredError(GoneError):
    """The time in which the code was good is over."""

    def __init__(self) -> None:
        super().__init__("This code has expired. Ask the brand whether there is a new one.")


class CodeDisabledError(GoneError):
    """The brand took the code back."""

    def __init__(self) -> None:
        super().__init__("This code was withdrawn. Ask the brand whether there is a new one.")


class NotInAudienceError(ForbiddenError):
    """The codes are for others."""

    def __init__(self) -> None:
        super().__init__("This reward is for a group of members that you are not in.")


class TooManyGuessesError(TooManyError):
    """Too many unknown codes came from this network."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "Too many unknown codes were tried from your network. Try again in an hour.",
            retry_after=retry_after,
        )


class ProofNeededError(TooManyError):
    """Before another code is looked at, the browser has to solve a challenge."""

    def __init__(self) -> None:
        super().__init__(
            "Before we look at the code your browser solves a small puzzle. That takes a moment.",
            retry_after=1,
        )


class BatchNotFoundError(NotFoundError):
    """This merchant has no such batch."""

    def __init__(self, batch_id: ClaimBatchId) -> None:
        super().__init__("There are no such claim codes. Go back to the list.")
        self.batch_id = batch_id


class CodeNotFoundError(NotFoundError):
    """The batch has no code at this position."""

    def __init__(self, position: int) -> None:
        super().__init__(f"There is no code {position:,} here. Go back to the list of codes.")
        self.position = position


class CodeTransitionError(TransitionError):
    """The code's state refuses the action."""

    def __init__(self, state: str, action: str) -> None:
        super().__init__(f"A code that is {state} cannot be {action}.")


class BatchSealedError(ConflictError):
    """The codes were forgotten, so they can be neither shown nor added to."""

    def __init__(self) -> None:
        super().__init__(
            "These codes are sealed: they still work, but nobody can print or add any. Make new "
            "ones instead."
        )


class BatchUnfinishedError(ConflictError):
    """Codes are still being made."""

    def __init__(self) -> None:
        super().__init__("The codes are still being made. Wait until all are there.")


class KioskMissingError(NotFoundError):
    """The link of a screen is not, or no longer, in use."""

    def __init__(self) -> None:
        super().__init__("This link of a screen is no longer in use. Ask the team for a new one.")
