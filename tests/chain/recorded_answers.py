"""What nodes and the services before them have said to sent bytes, word for word.

Addresses and hashes are shortened. Sources: the clients' own error tables (`chain.errors` names the
files), their tests, and reports in public issue trackers.
"""

from typing import NamedTuple

from chain.errors import SendAnswer


class Recorded(NamedTuple):
    """A message, who says it, and what it means."""

    client: str
    message: str
    answer: SendAnswer


_SAID: dict[str, tuple[tuple[str, SendAnswer], ...]] = {
    "geth": (
        ("already known", SendAnswer.KNOWN),
        ("known transaction: 0x0badc0de", SendAnswer.KNOWN),
        ("nonce too low: next nonce 5, tx nonce 4", SendAnswer.NONCE_TOO_LOW),
        ("nonce too low: address 0xAb, tx: 4 state: 5", SendAnswer.NONCE_TOO_LOW),
        ("replacement transaction underpriced", SendAnswer.REPLACEMENT_UNDERPRICED),
        ("future transaction tries to replace pending", SendAnswer.REPLACEMENT_UNDERPRICED),
        ("transaction underpriced: tip needed 1, tip permitted 0", SendAnswer.UNDERPRICED),
        (
            "transaction gas price below minimum: gas tip cap 1, minimum needed 1000000",
            SendAnswer.UNDERPRICED,
        ),
        (
            "max fee per gas less than block base fee: address 0xAb, maxFeePerGas: 1 baseFee: 7",
            SendAnswer.UNDERPRICED,
        ),
        (
            "insufficient funds for gas * price + value: address 0xAb have 0 want 21000",
            SendAnswer.INSUFFICIENT_FUNDS,
        ),
        ("transaction would cause overdraft", SendAnswer.INSUFFICIENT_FUNDS),
        ("nonce too high: address 0xAb, tx: 9 state: 5", SendAnswer.NONCE_GAP),
        ("gapped-nonce tx from delegated accounts", SendAnswer.NONCE_GAP),
        ("account limit exceeded: pooled 16 txs", SendAnswer.BACK_PRESSURE),
        ("txpool is full", SendAnswer.BACK_PRESSURE),
        (
            "in-flight transaction limit reached for delegated accounts",
            SendAnswer.BACK_PRESSURE,
        ),
        (
            "tx fee (1.63 ether) exceeds the configured cap (1.00 ether)",
            SendAnswer.BACK_PRESSURE,
        ),
        ("intrinsic gas too low: gas 20000, minimum needed 21000", SendAnswer.REJECTED),
        (
            "insufficient gas for floor data gas cost: gas 21000, minimum needed 31000",
            SendAnswer.REJECTED,
        ),
        ("exceeds block gas limit", SendAnswer.REJECTED),
        ("transaction gas limit too high (cap: 16777216, tx: 20000000)", SendAnswer.REJECTED),
        (
            "oversized data: transaction size 131500, limit 131072",
            SendAnswer.REJECTED,
        ),
        ("max initcode size exceeded: code size 50000 limit 49152", SendAnswer.REJECTED),
        ("invalid sender", SendAnswer.REJECTED),
        ("gas uint64 overflow", SendAnswer.REJECTED),
        ("invalid chain id for signer: have 1 want 5", SendAnswer.REJECTED),
        (
            "max priority fee per gas higher than max fee per gas: address 0xAb, "
            "maxPriorityFeePerGas: 2, maxFeePerGas: 1",
            SendAnswer.REJECTED,
        ),
    ),
    "erigon": (
        ("ALREADY_EXISTS: already known", SendAnswer.KNOWN),
        ("existing txn with same hash", SendAnswer.KNOWN),
        ("INTERNAL_ERROR: nonce too low", SendAnswer.NONCE_TOO_LOW),
        ("could not replace existing tx", SendAnswer.REPLACEMENT_UNDERPRICED),
        ("underpriced", SendAnswer.UNDERPRICED),
        ("fee too low", SendAnswer.UNDERPRICED),
        ("insufficient funds", SendAnswer.INSUFFICIENT_FUNDS),
        ("baseFee sub-pool is full", SendAnswer.BACK_PRESSURE),
        ("spammer", SendAnswer.BACK_PRESSURE),
        ("IntrinsicGas", SendAnswer.REJECTED),
        ("RLPTooLong", SendAnswer.REJECTED),
        ("initcode too large", SendAnswer.REJECTED),
        ("gas limit is too high", SendAnswer.REJECTED),
    ),
    "nethermind": (
        ("AlreadyKnown", SendAnswer.KNOWN),
        ("OldNonce, Current nonce: 5, nonce of rejected tx: 4", SendAnswer.NONCE_TOO_LOW),
        ("OwnNonceAlreadyUsed", SendAnswer.REPLACEMENT_UNDERPRICED),
        ("ReplacementNotAllowed", SendAnswer.REPLACEMENT_UNDERPRICED),
        (
            "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7, "
            "MaxPriorityFeePerGas:1, Block number: 9",
            SendAnswer.UNDERPRICED,
        ),
        ("FeeTooLowToCompete", SendAnswer.UNDERPRICED),
        (
            "InsufficientFunds, Account balance: 0, cumulative cost: 21000",
            SendAnswer.INSUFFICIENT_FUNDS,
        ),
        ("NonceGap, Future nonce. Expected nonce: 5", SendAnswer.NONCE_GAP),
        ("NonceTooFarInFuture", SendAnswer.NONCE_GAP),
        (
            "GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000",
            SendAnswer.REJECTED,
        ),
        ("FailedToResolveSender", SendAnswer.REJECTED),
        ("MaxTxSizeExceeded", SendAnswer.REJECTED),
    ),
    "besu": (
        ("Known transaction", SendAnswer.KNOWN),
        ("Nonce too low", SendAnswer.NONCE_TOO_LOW),
        ("NONCE_TOO_LOW", SendAnswer.NONCE_TOO_LOW),
        ("Replacement transaction underpriced", SendAnswer.REPLACEMENT_UNDERPRICED),
        ("Gas price below configured minimum gas price", SendAnswer.UNDERPRICED),
        ("Gas price below current base fee", SendAnswer.UNDERPRICED),
        ("Upfront cost exceeds account balance", SendAnswer.INSUFFICIENT_FUNDS),
        ("Transaction nonce is too distant from current sender nonce", SendAnswer.NONCE_GAP),
        ("An invalid transaction with a lower nonce exists", SendAnswer.NONCE_GAP),
        ("Initial sync is still in progress", SendAnswer.BACK_PRESSURE),
        (
            "Transaction pool not enabled. (Either txpool explicitly disabled, or node not yet in "
            "sync).",
            SendAnswer.BACK_PRESSURE,
        ),
        ("Transaction fee cap exceeded", SendAnswer.BACK_PRESSURE),
        ("Intrinsic gas exceeds gas limit", SendAnswer.REJECTED),
        ("Transaction gas limit exceeds block gas limit", SendAnswer.REJECTED),
        ("Wrong chainId", SendAnswer.REJECTED),
        ("Invalid signature", SendAnswer.REJECTED),
        ("Max priority fee per gas exceeds max fee per gas", SendAnswer.REJECTED),
    ),
    "reth": (
        ("[0x0bad]: already imported", SendAnswer.KNOWN),
        ("nonce too low: next nonce 5, tx nonce 4", SendAnswer.NONCE_TOO_LOW),
        (
            "insufficient gas price to replace existing transaction",
            SendAnswer.REPLACEMENT_UNDERPRICED,
        ),
        ("transaction feeCap 1 below chain minimum", SendAnswer.UNDERPRICED),
        (
            "transaction priority fee below minimum required priority fee 1000000",
            SendAnswer.UNDERPRICED,
        ),
        (
            "insufficient funds for gas * price + value: have 0 want 21000",
            SendAnswer.INSUFFICIENT_FUNDS,
        ),
        ("transaction overdraws from account", SendAnswer.INSUFFICIENT_FUNDS),
        (
            "transaction discarded outright due to pool size constraints",
            SendAnswer.BACK_PRESSURE,
        ),
        ("rejected due to 0xAb being identified as a spammer", SendAnswer.BACK_PRESSURE),
        ("exceeds max transaction gas limit", SendAnswer.REJECTED),
        ("intrinsic gas too high", SendAnswer.REJECTED),
        ("transaction type not supported", SendAnswer.REJECTED),
        ("invalid transaction signature", SendAnswer.REJECTED),
    ),
    "anvil": (
        ("transaction already imported", SendAnswer.KNOWN),
        ("Tx: [0x0bad] already Imported", SendAnswer.KNOWN),
        ("nonce too low", SendAnswer.NONCE_TOO_LOW),
        (
            "Tx: [0x0bad] insufficient gas price to replace existing transaction",
            SendAnswer.REPLACEMENT_UNDERPRICED,
        ),
        ("max fee per gas less than block base fee", SendAnswer.UNDERPRICED),
        ("Insufficient funds for gas * price + value", SendAnswer.INSUFFICIENT_FUNDS),
        ("Nonce too high", SendAnswer.NONCE_GAP),
        (
            "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit",
            SendAnswer.REJECTED,
        ),
        (
            "Transaction gas limit is greater than the block gas limit, gas_limit: 20000000, "
            "cap: 16777216",
            SendAnswer.REJECTED,
        ),
        ("Failed to decode signed transaction", SendAnswer.REJECTED),
    ),
    "arbitrum": (
        ("ALREADY_KNOWN: already known", SendAnswer.KNOWN),
        ("nonce too low: address 0xAb, tx: 4 state: 5", SendAnswer.NONCE_TOO_LOW),
        ("nonce too high: address 0xAb, tx: 9 state: 5", SendAnswer.NONCE_GAP),
        ("gas price too low", SendAnswer.UNDERPRICED),
        ("not enough funds for gas", SendAnswer.INSUFFICIENT_FUNDS),
        ("queue full", SendAnswer.BACK_PRESSURE),
        ("sequencer pending tx pool full, please try again", SendAnswer.BACK_PRESSURE),
    ),
    "hardhat": (
        ("Known transaction: 0x0badc0de", SendAnswer.KNOWN),
        ("Nonce too low. Expected nonce to be 5 but got 4.", SendAnswer.NONCE_TOO_LOW),
        (
            "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least 3 is "
            "necessary to replace the existing transaction with nonce 4.",
            SendAnswer.REPLACEMENT_UNDERPRICED,
        ),
        (
            "Transaction maxFeePerGas (1) is too low for the next block, which has a baseFeePerGas "
            "of 7",
            SendAnswer.UNDERPRICED,
        ),
        (
            "Sender doesn't have enough funds to send tx. The max upfront cost is: 21000 and the "
            "sender's balance is: 0.",
            SendAnswer.INSUFFICIENT_FUNDS,
        ),
        (
            "Nonce too high. Expected nonce to be 5 but got 9. Note that transactions can't be "
            "queued when automining.",
            SendAnswer.NONCE_GAP,
        ),
    ),
    "openethereum": (
        ("Transaction with the same hash was already imported.", SendAnswer.KNOWN),
        (
            "Transaction nonce is too low. Try incrementing the nonce.",
            SendAnswer.NONCE_TOO_LOW,
        ),
        (
            "Transaction gas price 1 is too low. There is another transaction with same nonce in "
            "the queue with gas price 2. Try increasing the gas price or incrementing the nonce.",
            SendAnswer.REPLACEMENT_UNDERPRICED,
        ),
        (
            "Transaction gas price is too low. It does not satisfy your node's minimal gas price "
            "(minimal: 2 got: 1). Try increasing the gas price.",
            SendAnswer.UNDERPRICED,
        ),
        (
            "Insufficient funds. The account you tried to send transaction from does not have "
            "enough funds. Required 21000 and got: 0.",
            SendAnswer.INSUFFICIENT_FUNDS,
        ),
        (
            "There are too many transactions in the queue. Your transaction was dropped due to "
            "limit. Try increasing the fee.",
            SendAnswer.BACK_PRESSURE,
        ),
        (
            "Transaction cost exceeds current gas limit. Limit: 8000000, got: 9000000. Try "
            "decreasing supplied gas.",
            SendAnswer.REJECTED,
        ),
    ),
    "zksync": (
        (
            "known transaction. transaction with hash 0x0bad is already in the system",
            SendAnswer.KNOWN,
        ),
        ("nonce too low. allowed nonce range: 5 - 105, actual: 4", SendAnswer.NONCE_TOO_LOW),
        ("nonce too high. allowed nonce range: 5 - 105, actual: 900", SendAnswer.NONCE_GAP),
        ("insufficient balance for transfer", SendAnswer.INSUFFICIENT_FUNDS),
    ),
    "avalanche": (
        (
            "nonce too low: address 0xAb current nonce (5) > tx nonce (4)",
            SendAnswer.NONCE_TOO_LOW,
        ),
    ),
    "celo": (("gasprice is less than gas price minimum floor", SendAnswer.UNDERPRICED),),
    "metis": (
        (
            "gas price too low: 1 wei, use at least tx.gasPrice = 2 wei",
            SendAnswer.UNDERPRICED,
        ),
    ),
    "moonbeam": (
        ("submit transaction to pool failed: Pool(AlreadyImported)", SendAnswer.KNOWN),
        ("submit transaction to pool failed: Pool(Stale)", SendAnswer.NONCE_TOO_LOW),
    ),
    "kaia": (
        (
            "there is another tx which has the same nonce in the tx pool",
            SendAnswer.REPLACEMENT_UNDERPRICED,
        ),
    ),
    # What is known after these: nothing. The bytes are watched for and sent again.
    "services": (
        ("daily request count exceeded, request rate limited", SendAnswer.UNKNOWN),
        ("Your app has exceeded its compute units per second capacity.", SendAnswer.UNKNOWN),
        ("Too Many Requests", SendAnswer.UNKNOWN),
        ("request limit reached", SendAnswer.UNKNOWN),
        ("<html><body>502 Bad Gateway</body></html>", SendAnswer.UNKNOWN),
        ("header not found", SendAnswer.UNKNOWN),
        ("internal error", SendAnswer.UNKNOWN),
        ("method handler crashed", SendAnswer.UNKNOWN),
        ("unknown transaction 0x0badc0de", SendAnswer.UNKNOWN),
        ("invalid transaction nonce", SendAnswer.UNKNOWN),  # arbitrum classic: low or high
        ("nonce", SendAnswer.UNKNOWN),
        ("", SendAnswer.UNKNOWN),
    ),
}

RECORDED = [
    Recorded(client, message, answer) for client, rows in _SAID.items() for message, answer in rows
]
