"""Blocks as randomness that nobody could know before: the first final one after a moment."""

from chain.client import ChainClient
from chain.nodes import Block


def find_block(client: ChainClient, line: int, *, since: int) -> Block | None:
    """The first block that is not older than a moment, or None while no final one is.

    Timestamps rise from block to block, so the answer is the same whoever asks and whenever.

    Args:
        line: the newest final block.
        since: seconds since 1970.

    Raises:
        ChainUnavailableError: too few nodes answer, or they do not agree on the block.
    """
    if client.agreed_block(line).timestamp < since:
        return None
    low, high = 0, line
    while low < high:
        middle = (low + high) // 2
        if client.agreed_block(middle).timestamp < since:
            low = middle + 1
        else:
            high = middle
    return client.agreed_block(low)
