"""What can go wrong with perks, their codes, and what members hold of them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, TransitionError
from core.types import CodeFileId, HoldingId, PerkId, PlaceId


class PerkNotFoundError(NotFoundError):
    """This merchant has no such perk."""

    def __init__(self, perk_id: PerkId) -> None:
        super().__init__("There is no such perk. Go back to the list.")
        self.perk_id = perk_id


class PerkTransitionError(TransitionError):
    """The perk's state refuses the action."""

    def __init__(self, state: str, action: str) -> None:
        super().__init__(f"A perk that is {state} cannot be {action}.")


class PerkInvalidError(InvalidError):
    """Fields of the perk must change before it can be saved."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The perk cannot be saved yet.", fields=fields)


class PerkUnpublishableError(InvalidError):
    """Something is missing before the perk can be given.

    Args:
        problems: machine name -> field and sentence: `title_missing`, `codes_missing`,
            `validity_in_past`, `cta_url_invalid`, `parameters_missing`.
    """

    def __init__(self, problems: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(
            "The perk cannot be published yet.",
            fields={field: sentence for field, sentence in problems.values()},
        )
        self.problems = tuple(problems)


class PerkInUseError(ConflictError):
    """A campaign that is not over gives the perk."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"“{title}” is still given by a campaign. End or cancel that first, then archive it."
        )

    @property
    def code(self) -> str:
        """One name for perks and digital assets."""
        return "reward_in_use"


class PerkHeldError(ConflictError):
    """Members can still use what they have of the perk."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"Members can still use what they have of “{title}”. Revoke that first, or wait until "
            "it is used or expired, then delete the perk."
        )


class PerkExhaustedError(ConflictError):
    """A limited perk has fewer left than asked for."""

    sentence = (
        "“{title}” has {left} left, but {wanted} are needed. Raise its quantity, or choose a "
        "smaller audience."
    )

    def __init__(self, title: str, *, wanted: int, left: int) -> None:
        super().__init__(self.sentence.format(title=title, wanted=wanted, left=left))
        self.wanted = wanted
        self.left = left

    @property
    def code(self) -> str:
        """One name, whether the line or what it gives is exhausted."""
        return "stock_exhausted"


class CodePoolEmptyError(PerkExhaustedError):
    """Fewer codes are free than holdings were to be made; roll back."""

    sentence = "“{title}” needs {wanted} codes, but {left} are free. Import or generate more codes."

    @property
    def code(self) -> str:
        """Of the perk itself there may be more."""
        return "code_pool_empty"


class PoolFullError(InvalidError):
    """The pool would have more codes than one may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"A perk has at most {most:,} codes. Make a second perk for the others.")


class PatternInvalidError(InvalidError):
    """Codes cannot be made by this pattern."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The codes cannot be made yet.", fields=fields)


class NoPoolError(ConflictError):
    """The perk has no codes of its own for every member."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"“{title}” gives nobody a code of their own. Change how it is redeemed first."
        )


class CodeFileNotFoundError(NotFoundError):
    """This perk has no such file of codes."""

    def __init__(self, file_id: CodeFileId) -> None:
        super().__init__("There is no such file of codes. Go back to the perk.")
        self.file_id = file_id


class CodeUnknownError(NotFoundError):
    """No pool of this merchant has the code."""

    def __init__(self) -> None:
        super().__init__("This code is unknown here. Check every character and try again.")


class ReasonMissingError(InvalidError):
    """Nobody said why, or at too great a length."""

    def __init__(self, most: int) -> None:
        sentence = f"Say why, in {most} characters at most."
        super().__init__(sentence, fields={"reason": sentence})


class HoldingNotFoundError(NotFoundError):
    """Nobody has this holding, or somebody else has it."""

    def __init__(self, holding_id: HoldingId) -> None:
        super().__init__("There is no such perk in anybody's hands. Go back to the list.")
        self.holding_id = holding_id


class HoldingTransitionError(TransitionError):
    """The holding's state refuses the action."""

    def __init__(self, state: str, action: str) -> None:
        super().__init__(f"It is {state} and cannot be {action}.")


class AlreadyUsedError(ConflictError):
    """Every use is taken.

    Args:
        first_at: when the last use was taken, so that two tills can tell who came first.
        place: the name of the place where, if it is known.
    """

    def __init__(self, first_at: datetime | None, *, place: str | None = None) -> None:
        when = "" if first_at is None else f" on {exact(first_at)}"
        where = "" if place is None else f" at {place}"
        super().__init__(f"It was used already{when}{where}. It cannot be used again.")
        self.first_at = first_at
        self.place = place


class TooFewUsesError(ConflictError):
    """More uses were to be taken than are left."""

    def __init__(self, wanted: int, left: int) -> None:
        super().__init__(f"{wanted} uses were asked for, but {left} are left. Take fewer.")
        self.wanted = wanted
        self.left = left


class HoldingExpiredError(ConflictError):
    """Its time is over."""

    def __init__(self, expired_at: datetime | None) -> None:
        when = "" if expired_at is None else f" on {exact(expired_at)}"
        super().__init__(f"It expired{when}. The brand can extend it.")
        self.expired_at = expired_at

    @property
    def code(self) -> str:
        """As tills know it."""
        return "expired"


class HoldingRevokedError(ConflictError):
    """It was taken back."""

    def __init__(self) -> None:
        super().__init__("It was revoked and cannot be used. Ask the brand why.")

    @property
    def code(self) -> str:
        """As tills know it."""
        return "revoked"


class HolderSuspendedError(ConflictError):
    """The brand blocked the member who has it, or they are no member any more."""

    def __init__(self) -> None:
        super().__init__("Whoever has this was suspended by the brand. It cannot be used.")

    @property
    def code(self) -> str:
        """As tills know it of passes."""
        return "suspended"


class NotYetValidError(ConflictError):
    """Its time has not begun."""

    def __init__(self, valid_from: datetime) -> None:
        super().__init__(f"It can be used from {exact(valid_from)} on. Come back then.")
        self.valid_from = valid_from


class OutsideHoursError(ConflictError):
    """It cannot be used at this hour."""

    def __init__(self) -> None:
        super().__init__("It cannot be used at this hour. Its page says when it can.")


class WrongPlaceError(ConflictError):
    """It is not used here."""

    def __init__(self, names: list[str]) -> None:
        where = ", ".join(names[:3]) + ("" if len(names) <= 3 else ", …")
        super().__init__(f"It is not used here. It is used at: {where}.")
        self.names = names


class WrongChannelError(ConflictError):
    """A perk of this kind is not used that way."""

    def __init__(self, channel: str) -> None:
        super().__init__(
            f"This perk cannot be used through “{channel}”. Its page says how it is used."
        )
        self.channel = channel


class UndoWindowOverError(ConflictError):
    """The time in which a use is taken back is over."""

    def __init__(self, minutes: int) -> None:
        super().__init__(
            f"A use is taken back within {minutes} minutes. Ask an admin, who may do it later."
        )
        self.minutes = minutes


class UndoForbiddenError(ForbiddenError):
    """Somebody else took the use."""

    def __init__(self) -> None:
        super().__init__("Whoever validated it takes it back, on the same device. Ask an admin.")


class AlreadyUndoneError(ConflictError):
    """The use was taken back before, or is none."""

    def __init__(self) -> None:
        super().__init__("This was taken back already, or is no use. Look at its log.")


class PlaceNotFoundError(NotFoundError):
    """This merchant has no such place."""

    def __init__(self, place_id: PlaceId) -> None:
        super().__init__("There is no such place. Go back to the list.")
        self.place_id = place_id


class AddressInvalidError(InvalidError):
    """Nothing can be sent to this address."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The address is not complete yet.", fields=fields)


class TrackingInvalidError(InvalidError):
    """The file of tracking numbers cannot be taken; nothing of it was."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, fields={"file": sentence})


def exact(at: datetime) -> str:
    """A moment in a sentence."""
    return f"{at.astimezone(UTC):%d %b %Y, %H:%M} UTC"
