"""What can go wrong with grants."""

from core.errors import ConflictError, InvalidError


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
        sentence = f"“{title}” is not live. Publish the digital asset first, then add it here."
        super().__init__(sentence, fields={"asset": sentence})
