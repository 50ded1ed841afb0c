"""What the contract tests start from, and how they speak of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ape
from ape.api import AccountAPI, ReceiptAPI
from ape.contracts import ContractContainer, ContractInstance
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.bindings import digital_asset, membership_pass
from chain.bindings.asset_factory import AssetArguments, asset_address, encode_deploy
from chain.bindings.erc721 import Transfer, decode_transfers

ZERO = "0x" + "00" * 20
FULL = membership_pass.MAX_BATCH


def anybody(number: int) -> bytes:
    """An address nobody has the key of, always the same for a number."""
    return keccak(text=f"member {number}")[-20:]


def as_bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))


def sorted_members(addresses: Sequence[bytes]) -> list[str]:
    """The members of a batch in the order of their passes."""
    return [to_checksum_address(member) for member in sorted(addresses)]


@dataclass
class World:
    """Two pass batches, an asset that moves and one that is soulbound.

    Batch 0 has 300 members, so its bits reach into a second word; `holders` are five of them with
    keys. Batch 1 has ten members, `holders[0]` among them: one account may be in several batches.
    """

    issuer: AccountAPI
    minter: AccountAPI
    stranger: AccountAPI
    holders: list[AccountAPI]
    batches: list[list[str]]
    registry: ContractInstance
    implementation: ContractInstance
    factory: ContractInstance
    asset: ContractInstance
    soulbound: ContractInstance

    def index_of(self, account: Any, batch: int = 0) -> int:
        return self.batches[batch].index(str(account))

    def token_of(self, account: Any, round: int = 0, batch: int = 0) -> int:
        pass_id = membership_pass.pass_id(batch, self.index_of(account, batch))
        return digital_asset.token_id(round, pass_id)

    def issue(self, batch: int, addresses: Sequence[bytes], **options: Any) -> ReceiptAPI:
        packed = membership_pass.pack_members(addresses)
        return self.registry.issue(batch, packed, sender=self.minter, **options)

    def drop(
        self,
        chosen: dict[int, Sequence[int]],
        *,
        round: int = 0,
        nonce: int = 1,
        asset: ContractInstance | None = None,
    ) -> ReceiptAPI:
        """Drop to these places of these batches."""
        bits = [digital_asset.bitmap(indices) for indices in chosen.values()]
        target = asset or self.asset
        return target.drop(round, list(chosen), bits, nonce, sender=self.minter)

    def drop_whole(self, *batches: int, round: int = 0, **options: Any) -> ReceiptAPI:
        chosen = {batch: range(len(self.batches[batch])) for batch in batches}
        return self.drop(chosen, round=round, **options)

    def deploy_asset(self, **changes: Any) -> ContractInstance:
        arguments = self.arguments(**changes)
        self.factory_call(arguments)
        where = asset_address(self.factory.address, self.implementation.address, arguments)
        return ape.project.DigitalAsset.at(where)

    def factory_call(self, arguments: AssetArguments) -> ReceiptAPI:
        return self.stranger.transfer(self.factory, data=encode_deploy(arguments), value=0)

    def arguments(self, **changes: Any) -> AssetArguments:
        values: dict[str, Any] = {
            "asset_id": keccak(text="asset"),
            "registry": self.registry.address,
            "owner": self.issuer.address,
            "minter": self.minter.address,
            "name": "Collectible",
            "symbol": "COLL",
            "token_uri": "ipfs://token",
            "contract_uri": "ipfs://contract",
            "max_supply": None,
            "soulbound": False,
        }
        return AssetArguments(**(values | changes))


def transfers(receipt: ReceiptAPI, contract: ContractInstance) -> list[Transfer]:
    """The `Transfer` events of a transaction, read as the product reads them."""
    raw = ape.chain.provider.make_request("eth_getTransactionReceipt", [receipt.txn_hash])
    return decode_transfers(raw["logs"], contract.address)


def deployed_helper(name: str, *arguments: Any) -> ContractInstance:
    """A new contract that only tests need: `helpers/<name>.vy`."""
    deployer = ape.accounts.test_accounts[9]
    return deployer.deploy(_helper(name), *arguments)


@cache
def _helper(name: str) -> ContractContainer:
    source = (Path(__file__).parent / "helpers" / f"{name}.vy").read_text(encoding="utf-8")
    container = ape.compilers.compile_source("vyper", source, contractName=name)
    # answers that are wrong on purpose are not for ape to read
    container.contract_type.abi = [
        entry
        for entry in container.contract_type.abi
        if getattr(entry, "name", "") not in ("isValidSignature", "onERC721Received")
    ]
    return container


def overwrite(contract: ContractInstance, found: int, value: int) -> None:
    """The storage slot that holds `found` holds `value`, as after more calls than a test makes."""
    for slot in range(64):
        held = ape.chain.provider.get_storage(contract.address, slot)
        if int.from_bytes(held, "big") == found:
            word = "0x" + value.to_bytes(32, "big").hex()
            parameters = [contract.address, hex(slot), word]
            ape.chain.provider.make_request("anvil_setStorageAt", parameters)
            return
    raise AssertionError(f"No slot of {contract} holds {found}.")
