"""What can go wrong with grants and reward lines."""

from app.perks.errors import PerkExhaustedError
from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import ManualGrantId
from minting.errors import SupplyExhaustedError


class StockExhaustedError(ConflictError):
    """A limited reward line has fewer left than asked for."""

    def __init__(self, wanted: int, left: int) -> None:
        super().__init__(
            f"{wanted} rewards are needed but {left} are left on this line. Raise its quantity or "
            "choose a smaller audience."
        )
        self.wanted = wanted
        self.left = left


class RewardNotLiveError(InvalidError):
    """The reward is not published, so it cannot be given."""

    def __init__(self, title: str) -> None:
        sentence = f"“{title}” is not live. Publish it first, then add it here."
        super().__init__(sentence, fields={"rewards": sentence})


class PerUserLimitError(ConflictError):
    """The member has as many of the perk as anybody may have."""

    def __init__(self, title: str, most: int) -> None:
        times = "once" if most == 1 else f"{most} times"
        super().__init__(f"“{title}” is given to each member {times} at most, and was already.")


class UserNotActiveError(ConflictError):
    """The member takes no part, so nothing can be given to them."""

    def __init__(self, state: str | None) -> None:
        super().__init__(
            f"Nothing can be given to this member, who is {state or 'unknown'}. Only active "
            "members receive rewards."
        )


class LinesInvalidError(InvalidError):
    """These rewards cannot be given together."""

    def __init__(self, sentence: str) -> None:
        super().__init__("The rewards cannot be saved yet.", fields={"rewards": sentence})


class RecipientsInvalidError(InvalidError):
    """A grant by hand cannot be made as it was asked for."""

    def __init__(self, sentence: str, field: str = "emails") -> None:
        super().__init__("Nothing was given yet.", fields={field: sentence})


class ManualGrantNotFoundError(NotFoundError):
    """This merchant made no such grant by hand."""

    def __init__(self, grant_id: ManualGrantId) -> None:
        super().__init__("There is no such grant. Go back to the member or the reward.")
        self.grant_id = grant_id


class UnlockInvalidError(InvalidError):
    """The asset cannot unlock one perk more."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, fields={"perk": sentence})


EXHAUSTED = (StockExhaustedError, SupplyExhaustedError, PerkExhaustedError)
"""Fewer are left than are needed: of the line, of the edition, of the perk."""
