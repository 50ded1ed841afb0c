"""What can go wrong with draws."""

from core.errors import ConflictError, InvalidError, NotFoundError, TransitionError


class DrawNotFoundError(NotFoundError):
    """There is no such draw."""

    def __init__(self) -> None:
        super().__init__("There is no such draw. Check the link, or go back to the list.")


class BoxNotFoundError(NotFoundError):
    """The member has no such box or ticket."""

    def __init__(self) -> None:
        super().__init__("There is no such box. Go back to your rewards.")


class DrawInvalidError(InvalidError):
    """The draw cannot be committed to as it was typed."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("The draw cannot be started yet.", fields=fields)


class BoxesBelowQuantitiesError(DrawInvalidError):
    """There are more prizes than boxes; `fields` names whatever else must change."""


class DrawDateBeforeEndError(DrawInvalidError):
    """A raffle is to be drawn while tickets are still handed out; `fields` names whatever else."""


class LookInvalidError(InvalidError):
    """How the draw looks cannot be kept as it was typed."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("The box cannot be saved yet.", fields=fields)


class QuantityExceedsStockError(ConflictError):
    """A reward has fewer left than the draw promises."""

    def __init__(self, title: str, *, wanted: int, left: int) -> None:
        super().__init__(
            f"The draw promises {wanted} of “{title}”, but {left} are left. Lower the quantity of "
            "the line, or raise that of the reward."
        )
        self.wanted = wanted
        self.left = left


class DrawStateError(TransitionError):
    """The draw's state refuses the action."""

    def __init__(self, state: str, action: str) -> None:
        super().__init__(f"A draw that is {state} cannot be {action}.")


class BoxesExhaustedError(ConflictError):
    """The draw has fewer boxes or tickets left than are to be handed out."""

    def __init__(self, wanted: int, left: int) -> None:
        super().__init__(
            f"{wanted} are to be handed out, but the draw has {left} left. Choose fewer members."
        )
        self.wanted = wanted
        self.left = left


class DrawNotRevealedError(ConflictError):
    """What is asked for would give away what nobody may know yet."""

    def __init__(self) -> None:
        super().__init__(
            "The document of this draw is published once it is revealed: after the last box is "
            "opened, or the winners are drawn. Come back then."
        )


class DrawNotDueError(ConflictError):
    """It is too early."""

    def __init__(self, due: str) -> None:
        super().__init__(f"The draw can take this step from {due} on. Wait until then.")


class BeaconMissingError(ConflictError):
    """The block that adds to the randomness is not final yet."""

    def __init__(self, chain_id: int) -> None:
        super().__init__(
            f"The draw waits for a block of chain {chain_id} to become final. It goes on by itself."
        )


class NoWinnerError(ConflictError):
    """The ticket holds no prize, so nobody can follow."""

    def __init__(self) -> None:
        super().__init__("This ticket holds no prize of the draw. Choose one that does.")


class NonceInvalidError(InvalidError):
    """What the browser added is no nonce."""

    def __init__(self) -> None:
        super().__init__("The nonce has 64 hexadecimal digits. Open the box from its page.")


class RecipientsMissingError(InvalidError):
    """Nobody is named to hand out to."""

    def __init__(self, field: str) -> None:
        super().__init__(
            "Nothing can be handed out yet.",
            fields={"list_id" if field == "list" else field: "Choose who receives one."},
        )


class ReasonMissingError(InvalidError):
    """A winner is to be replaced without a reason, or with one too long."""

    def __init__(self, most: int) -> None:
        sentence = (
            f"Say why, in {most} characters at most and without naming anybody: everybody can "
            "read it."
        )
        super().__init__("The winner cannot be replaced yet.", fields={"reason": sentence})
