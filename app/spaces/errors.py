"""What can go wrong in the Experience Space."""

from core.errors import ForbiddenError, NotFoundError


class MemberBlockedError(ForbiddenError):
    """The brand has blocked this member."""

    def __init__(self) -> None:
        super().__init__("Your membership is paused. Ask the brand for help.")


class CollectibleNotFoundError(NotFoundError):
    """This member has no such collectible."""

    def __init__(self) -> None:
        super().__init__("You have no such collectible. Go back to your home page.")


class PreferenceLinkError(NotFoundError):
    """The link was not made here, or the member behind it is gone."""

    def __init__(self) -> None:
        super().__init__("This link opens nothing. Use the newest mail, or sign in to the space.")
