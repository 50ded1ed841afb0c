"""What can go wrong with points."""

from collections.abc import Mapping

from core.errors import ConflictError, InvalidError, NotFoundError


class UnitNotFoundError(NotFoundError):
    """This merchant has no such unit."""

    def __init__(self) -> None:
        super().__init__("There are no such points. Go back to the list of units.")


class UnitInvalidError(InvalidError):
    """The unit cannot be kept as it was typed."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The unit cannot be saved yet.", fields=fields)


class InsufficientPointsError(ConflictError):
    """The member has fewer points than should go."""

    def __init__(self, available: int, wanted: int) -> None:
        super().__init__(
            f"The member has {available:,} points available, and {wanted:,} are needed. Take fewer."
        )
        self.available, self.wanted = available, wanted


class NotSpendableError(ConflictError):
    """The unit counts for status alone."""

    def __init__(self) -> None:
        super().__init__("These points count for status and are not spent. Use another unit.")


class AdjustmentInvalidError(InvalidError):
    """The correction by hand lacks an amount or a reason."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The points cannot be adjusted like this.", fields=fields)


class KeyReusedError(ConflictError):
    """The key already stands for another transaction."""

    def __init__(self) -> None:
        super().__init__(
            "This key already stands for another transaction of points. Use a new key for each."
        )


class TransactionNotFoundError(NotFoundError):
    """This merchant has no such transaction."""

    def __init__(self) -> None:
        super().__init__("There is no such transaction of points. Go back to the member's record.")


class ReversalRefusedError(ConflictError):
    """The transaction cannot be taken back."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


class HoldEndedError(ConflictError):
    """The reserved points were redeemed or given back already."""

    def __init__(self) -> None:
        super().__init__("These points are not reserved any more. Reserve them again.")


class MemberGoneError(ConflictError):
    """The member was forgotten."""

    def __init__(self) -> None:
        super().__init__("This member was erased and takes no points any more.")


class RuleNotFoundError(NotFoundError):
    """This merchant has no such rule."""

    def __init__(self) -> None:
        super().__init__("There is no such earning rule. Go back to the list of rules.")


class RuleInvalidError(InvalidError):
    """The rule cannot be kept as it was typed."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The rule cannot be saved yet.", fields=fields)


class RuleChangedError(ConflictError):
    """Somebody else changed the rule since the form was opened."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody changed this rule since you opened it. What you typed is still here; open "
            "the rule again to see theirs, or save once more to keep yours."
        )
