"""What can go wrong with grants and reward lines."""

from app.perks.errors import PerkExhaustedError
from core.errors import ConflictError, InvalidError
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


class LinesInvalidError(InvalidError):
    """These rewards cannot be given together."""

    def __init__(self, sentence: str) -> None:
        super().__init__("The rewards cannot be saved yet.", fields={"rewards": sentence})


EXHAUSTED = (StockExhaustedError, SupplyExhaustedError, PerkExhaustedError)
"""Fewer are left than are needed: of the line, of the edition, of the perk."""
