"""What can go wrong when the chain is asked; no message ever names an owner."""

from core.errors import NotFoundError, TooManyError, UnavailableError


class ChainUnavailableError(UnavailableError):
    """No node gave an answer that can be trusted, so nothing is said about ownership."""

    def __init__(self, reason: str, *, retry_after: int = 5) -> None:
        super().__init__(
            "The chain cannot be read at the moment, so ownership cannot be shown. Nothing is "
            "lost; try again in a few seconds.",
            retry_after=retry_after,
        )
        self.reason = reason


class ContractMissingError(NotFoundError):
    """At this block the address holds no contract, or one that knows no owners."""

    def __init__(self, address: str, chain_id: int) -> None:
        super().__init__(
            f"There is no token contract at {address} on chain {chain_id}. Check the address and "
            "the chain."
        )
        self.address = address
        self.chain_id = chain_id


class UnknownContractError(NotFoundError):
    """The contract is not one of this installation's."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"This installation knows no contract at {address}. Check the address, or ask whoever "
            "gave it to you."
        )
        self.address = address


class PassUnknownError(NotFoundError):
    """No number of a pass, or none of this brand's passes is on a chain."""

    def __init__(self, number: str) -> None:
        super().__init__(
            "There is no pass with this number. Numbers look like 12-0345 or S-0007; look at the "
            "pass again."
        )
        self.number = number


class TooManyLookupsError(TooManyError):
    """One place asks too often."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many look-ups from here. Wait a minute.", retry_after=retry_after)
