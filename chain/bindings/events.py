"""Every event of our contracts, by the committed ABIs.

`Transfer`, which comes by the thousand, has a decoder of its own in `chain.bindings.erc721`.

References:
    The contract ABI specification: indexed values are topics, the others are data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode
from eth_typing import ChecksumAddress
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from .abi import ARTIFACTS


@dataclass(frozen=True)
class Event:
    """One event of a contract.

    Attributes:
        values: by the names of the contract's source; addresses checksummed, bytes as bytes.
        log_index: the place in the block, not in the transaction.
    """

    name: str
    contract: ChecksumAddress
    values: dict[str, Any]
    tx_hash: bytes
    block_number: int
    block_hash: bytes
    log_index: int


def decode_events(
    artifact: str, logs: Sequence[Mapping[str, Any]], contract: ChecksumAddress
) -> list[Event]:
    """The events of this contract in the order of the logs; those of others are left out.

    Args:
        artifact: whose events, such as `DigitalAsset`.
        logs: log objects as JSON-RPC gives them (`eth_getLogs`, receipts): hexadecimal strings.
    """
    known, emitter = _events(artifact), to_canonical_address(contract)
    return [
        _decode(known[_bytes(log["topics"][0])], log, contract)
        for log in logs
        if log["topics"]
        and _bytes(log["address"]) == emitter
        and _bytes(log["topics"][0]) in known
        and not log.get("removed", False)
    ]


@cache
def _events(artifact: str) -> dict[bytes, dict[str, Any]]:
    text = (ARTIFACTS / f"{artifact}.json").read_text(encoding="utf-8")
    return {_topic(entry): entry for entry in json.loads(text)["abi"] if entry["type"] == "event"}


def _topic(entry: dict[str, Any]) -> bytes:
    types = ",".join(field["type"] for field in entry["inputs"])
    return keccak(text=f"{entry['name']}({types})")


def _decode(entry: dict[str, Any], log: Mapping[str, Any], contract: ChecksumAddress) -> Event:
    indexed = [field for field in entry["inputs"] if field["indexed"]]
    others = [field for field in entry["inputs"] if not field["indexed"]]
    values = dict(zip((f["name"] for f in indexed), _topics(indexed, log["topics"]), strict=True))
    data = decode([field["type"] for field in others], _bytes(log["data"]))
    values |= {f["name"]: _value(f["type"], v) for f, v in zip(others, data, strict=True)}
    return Event(
        name=entry["name"],
        contract=contract,
        values=values,
        tx_hash=_bytes(log["transactionHash"]),
        block_number=int(log["blockNumber"], 16),
        block_hash=_bytes(log["blockHash"]),
        log_index=int(log["logIndex"], 16),
    )


def _topics(indexed: Sequence[Mapping[str, Any]], topics: Sequence[str]) -> list[Any]:
    pairs = zip(indexed, topics[1:], strict=True)
    return [_value(f["type"], decode([f["type"]], _bytes(topic))[0]) for f, topic in pairs]


def _value(kind: str, value: Any) -> Any:
    return to_checksum_address(value) if kind == "address" else value


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
