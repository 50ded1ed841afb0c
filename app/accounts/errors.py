"""What can go wrong with sign-in and permissions."""

from core.errors import ForbiddenError, NotFoundError, TooManyError


class SignInRequiredError(ForbiddenError):
    """Nobody is signed in; pages answer with the sign-in form instead."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Sign in to see this page.")


class RoleMissingError(ForbiddenError):
    """The member's role does not include this action."""

    def __init__(self, role: str, needed: str) -> None:
        super().__init__(f"Your role ({role}) may not do this. Ask somebody who is {needed}.")


class LinkExpiredError(NotFoundError):
    """The sign-in link was used, is too old, or never existed."""

    def __init__(self, minutes: int) -> None:
        super().__init__(
            f"This link no longer works. Ask for a new one; links live {minutes} minutes."
        )


class TooManyMailsError(TooManyError):
    """Too many sign-in mails for one address or from one place."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "Too many sign-in mails were asked for. Wait a little, then try again.",
            retry_after=retry_after,
        )


class MerchantUnknownError(NotFoundError):
    """The installation has no merchant yet."""

    def __init__(self) -> None:
        super().__init__("This installation is not set up yet. Start it with `make run`.")
