"""Who used a nonce: the bytes themselves are the evidence, never the lack of a receipt.

A node can hide a receipt, and often does; it cannot invent bytes that carry a signature.
"""

from eth_typing import ChecksumAddress

from chain.client import ChainClient
from chain.rebuilding import Seen


def find_use(
    client: ChainClient, sender: ChecksumAddress, nonce: int, *, final_line: int
) -> Seen | None:
    """The final transaction of the account that used the nonce.

    The block is found by halves between heights where the account had not used it yet and had,
    beginning at the line, because nodes keep the state of recent blocks only.

    Returns:
        None while nothing final has used it, or the block does not show what did.

    Raises:
        ChainUnavailableError: a node gave no answer, or no longer knows the state of a block.
    """

    def is_used(block: int) -> bool:
        return client.least_transaction_count(sender, block=block) > nonce

    if not is_used(final_line):
        return None
    used, step = final_line, 1
    unused = max(-1, used - step)
    while unused >= 0 and is_used(unused):
        used, step = unused, 2 * step
        unused = max(-1, used - step)
    while used - unused > 1:
        middle = (unused + used) // 2
        unused, used = (unused, middle) if is_used(middle) else (middle, used)
    found = client.sent_by(sender, block=used)
    return next((seen for seen in found if seen.nonce == nonce), None)
