"""Calls and logs as JSON-RPC has them: what a wallet or another contract sees of a contract."""

from typing import Any

import ape
from ape.contracts import ContractInstance
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from world import as_bytes

from chain.bindings.abi import selector


def request(method: str, *parameters: Any) -> Any:
    return ape.chain.provider.make_request(method, list(parameters))


def ask(contract: ContractInstance, signature: str, types: str, *values: Any, **more: Any) -> bytes:
    """A call as another contract or a wallet makes it, by the standard's signature."""
    data = selector(signature) + encode(types.split(",") if types else [], values)
    return as_bytes(
        request("eth_call", {"to": contract.address, "data": "0x" + data.hex()} | more, "latest")
    )


def topics_of(receipt: Any, contract: ContractInstance) -> list[tuple[list[str], str]]:
    raw = request("eth_getTransactionReceipt", receipt.txn_hash)
    return [
        (log["topics"], log["data"])
        for log in raw["logs"]
        if log["address"].lower() == contract.address.lower()
    ]


def topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


def word(value: Any) -> str:
    number = value if isinstance(value, int) else int(str(value), 16)
    return f"0x{number:064x}"
