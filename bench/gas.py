"""What a pass and a drop cost in gas a recipient, against the bare `Transfer` and against others.

Starts its own chain on a free loopback port, deploys the committed artifacts and measures receipts:
everything is included, from the intrinsic gas of the transaction to the data contracts. The figures
are those of the first drop of a fresh contract, every recipient a fresh account. The others are
OpenZeppelin, Solady and ERC721A, compiled from their packages and measured on the same chain
(`bench/peers.py`). `N=1000 python -m bench.gas` measures one size in the first table.
"""

import json
import os
import secrets
from collections.abc import Sequence
from random import Random

from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address

from bench import peers
from bench.node import SENDER, Node, node
from chain.bindings import asset_factory, digital_asset, erc721, membership_pass
from minting.costs import Ground, PassPlaces
from minting.planner import DropCall, plan_calls

FULL = membership_pass.MAX_BATCH
SIZES = (100, 500, 1000, FULL)
EVENT = 1875  # LOG4 without data: 5 * 375 (EIP-150 and the Yellow Paper, appendix G)
MILLION = 1_000_000
TARGETS = {
    "pass_full": (6480, 6400),
    "drop_full": (2050, 2005),
    "drop_1000": (2060, 2015),
    "drop_six": (2010, 1970),
    "drop_half": (2300, 2240),
    "drop_half_eight": (2180, 2120),
    "drop_10pct": (2850, 2650),
    "drop_sparse_1pct": (3600, 3150),
    "transfer_first": (79_000, 77_500),
    "transfer_first_bits": (82_500, 81_000),
    "transfer_first_list": (83_500, 82_000),
    "transfer_later": (55_500, 54_500),
    "owner_of": (12_000, 11_000),
    "owner_of_bits": (15_500, 14_300),
    "owner_of_list": (16_500, 15_300),
    "deploy_asset": (150_000, 115_000),
}
"""At most, and what would be better still."""


class World:
    """A registry, a factory, and members that are known by the batch and place they have."""

    def __init__(self, chain: Node) -> None:
        self.chain = chain
        self.implementation = chain.create(digital_asset.implementation_deploy_data())
        self.factory = chain.create(asset_factory.deploy_data(implementation=self.implementation))
        self.renew()

    def renew(self) -> None:
        """A registry without members."""
        self.batches: list[list[bytes]] = []
        self.registry = self.chain.create(
            membership_pass.deploy_data(
                owner=SENDER,
                minter=SENDER,
                name="Pass",
                symbol="PASS",
                token_uri="",
                contract_uri="",
                recoverable=False,
            )
        )

    def issue(self, size: int) -> float:
        """Gas a member of one batch more."""
        members = sorted(secrets.token_bytes(20) for _ in range(size))
        call = membership_pass.encode_issue(
            len(self.batches), membership_pass.pack_members(members)
        )
        self.batches.append(members)
        return self.gas(call, self.registry) / size

    def asset(self, texts: tuple[str, str, str, str] = ("Tide", "TIDE", "", "")) -> "Asset":
        """A fresh asset; its deployment costs what its texts cost."""
        name, symbol, token_uri, contract_uri = texts
        arguments = asset_factory.AssetArguments(
            asset_id=secrets.token_bytes(32),
            registry=self.registry,
            owner=SENDER,
            minter=SENDER,
            name=name,
            symbol=symbol,
            token_uri=token_uri,
            contract_uri=contract_uri,
            max_supply=None,
            soulbound=False,
        )
        gas = self.gas(asset_factory.encode_deploy(arguments), self.factory)
        where = asset_factory.asset_address(self.factory, self.implementation, arguments)
        return Asset(self, where, gas)

    def gas(self, call: bytes, to: ChecksumAddress) -> int:
        """Gas of a transaction."""
        return int(self.chain.send(call, to)["gasUsed"], 16)


class Asset:
    """A fresh asset and what happens to it."""

    def __init__(self, world: World, address: ChecksumAddress, deployment: int) -> None:
        self.world = world
        self.address = address
        self.deployment = deployment

    def drop(self, parts: Sequence[PassPlaces]) -> float:
        """Gas a recipient, in the calls that the planner chooses."""
        calls = plan_calls(parts, Ground(is_first=True))
        gas = sum(self._send(call, nonce) for nonce, call in enumerate(calls, start=1))
        return gas / sum(len(part.places) for part in parts)

    def _send(self, call: DropCall, nonce: int) -> int:
        return self.world.gas(call.encode(0, nonce), self.address)

    def transfer(self, owner: ChecksumAddress, token_id: int) -> tuple[ChecksumAddress, int]:
        """The new owner, a fresh account, and the gas of the transfer."""
        chain, receiver = self.world.chain, to_checksum_address(secrets.token_bytes(20))
        chain.call("anvil_impersonateAccount", owner)
        chain.call("anvil_setBalance", owner, hex(10**18))
        data = "0x" + erc721.encode_transfer_from(owner, receiver, token_id).hex()
        tx_hash = chain.call(
            "eth_sendTransaction", {"from": owner, "to": self.address, "data": data}
        )
        chain.call("evm_mine")
        return receiver, int(chain.call("eth_getTransactionReceipt", tx_hash)["gasUsed"], 16)

    def view(self, call: bytes) -> int:
        """Gas of a view, without what a transaction costs before it begins."""
        data = {"to": self.address, "data": "0x" + call.hex()}
        zeros = call.count(0)
        intrinsic = 21_000 + 4 * zeros + 16 * (len(call) - zeros)
        return int(self.world.chain.call("eth_estimateGas", data), 16) - intrinsic


def measure_sizes(world: World, sizes: Sequence[int]) -> dict[int, dict[str, float]]:
    """Gas a recipient by the number of recipients: ours in their forms, and the others."""
    rows: dict[int, dict[str, float]] = {}
    for size in sizes:
        world.renew()
        row = {"pass": world.issue(size)}
        row["drop"] = world.asset().drop([_whole(0, size)])
        row["half"] = world.asset().drop([_share(0, size, 2)])
        row["addresses"] = _mint(world, size) / size
        rows[size] = row | peers.measure(world.chain, size)
    return rows


def measure_forms(world: World) -> dict[str, float]:
    """Gas a recipient, or a call, of everything with a target."""
    world.renew()
    found = {"pass_full": world.issue(FULL)}
    for _ in range(99):
        world.issue(FULL)
    found |= {
        "drop_full": world.asset().drop([_whole(0, FULL)]),
        "drop_six": world.asset().drop([_whole(b, FULL) for b in range(6)]),
        "drop_half": world.asset().drop([_share(0, FULL, 2)]),
        "drop_half_eight": world.asset().drop([_share(b, FULL, 2) for b in range(8)]),
        "drop_10pct": world.asset().drop([_random(b, 123) for b in range(12)]),
        "drop_sparse_1pct": world.asset().drop([_random(b, 12) for b in range(100)]),
        "single": _issue_alone(world),
        "address_full": _mint(world, FULL) / FULL,
    }
    forms = {"": _whole(0, FULL), "_bits": _share(0, FULL, 2), "_list": _random(0, 12)}
    for form, part in forms.items():
        asset, place = world.asset(), part.places[-1]
        asset.drop([part])
        owner, token_id = to_checksum_address(world.batches[0][place]), place
        found[f"owner_of{form}"] = asset.view(erc721.encode_owner_of(token_id))
        owner, found[f"transfer_first{form}"] = asset.transfer(owner, token_id)
        if not form:
            _, found["transfer_later"] = asset.transfer(owner, token_id)
    world.issue(1000)
    found["drop_1000"] = world.asset().drop([_whole(100, 1000)])
    found["deploy_asset"] = world.asset(("C" * 20, "COLL", "t" * 93, "c" * 83)).deployment
    return found


def measure_balance(world: World, batches: int) -> int:
    """Gas of `balanceOf` of an asset whose registry has so many batches."""
    world.renew()
    for _ in range(batches):
        world.issue(2)
    asset = world.asset()
    asset.drop([_whole(0, 2)])
    member = to_checksum_address(world.batches[0][0])
    return asset.view(erc721.encode_balance_of(member))


def _whole(batch: int, size: int) -> PassPlaces:
    return PassPlaces(batch, size, tuple(range(size)))


def _share(batch: int, size: int, every: int) -> PassPlaces:
    return PassPlaces(batch, size, tuple(range(0, size, every)))


def _random(batch: int, count: int) -> PassPlaces:
    return PassPlaces(batch, FULL, tuple(sorted(Random(batch).sample(range(FULL), count))))


def _mint(world: World, size: int) -> int:
    packed = membership_pass.pack_members(secrets.token_bytes(20) for _ in range(size))
    return world.gas(digital_asset.encode_mint(1, packed), world.asset().address)


def _issue_alone(world: World) -> int:
    member = to_checksum_address(secrets.token_bytes(20))
    return world.gas(membership_pass.encode_issue_one(0, member), world.registry)


def show_sizes(rows: dict[int, dict[str, float]]) -> None:
    """A row a scheme; the last columns are of the last size: a million, and multiples of drop."""
    sizes = list(rows)
    print(f"gas a recipient, first drop; the bare Transfer is {EVENT:,}")
    head = "".join(f"{f'N={size:,}':>11}" for size in sizes)
    print(f"{'':<12}{head}{'1,000,000':>13}{'x drop':>9}")
    for scheme in rows[sizes[0]]:
        values = [rows[size][scheme] for size in sizes]
        million = f"{values[-1] * MILLION / 1e9:.2f} G"
        ratio = values[-1] / rows[sizes[-1]]["drop"]
        row = "".join(f"{value:>11,.0f}" for value in values)
        print(f"{scheme:<12}{row}{million:>13}{ratio:>9.1f}")


def show_forms(found: dict[str, float]) -> None:
    """A row a figure, beside its target."""
    print(f"\n{'':<26}{'gas':>10}{'at most':>10}{'stretch':>10}")
    for name, value in found.items():
        most, stretch = TARGETS.get(name, (None, None))
        limits = "" if most is None else f"{most:>10,}{stretch:>10,}"
        verdict = "" if most is None or value <= most else "  ABOVE"
        print(f"{name:<26}{value:>10,.0f}{limits}{verdict}")


def main() -> None:
    """Prints the tables, and one JSON object as the last line."""
    sizes = (int(os.environ["N"]),) if os.environ.get("N") else SIZES
    with node() as chain:
        world = World(chain)
        rows = measure_sizes(world, sizes)
        show_sizes(rows)
        found = measure_forms(world)
        found["balance_of_1000_batches"] = measure_balance(world, 1000)
        show_forms(found)
        reference = rows[1000] if 1000 in rows else peers.measure(chain, 1000)
    found |= {f"{name}_1000": value for name, value in reference.items() if name in peers.PEERS}
    ours, theirs = found["drop_six"] * MILLION, found["oz721_1000"] * MILLION
    print(
        f"\none million members: {ours / 1e9:.2f} billion gas, "
        f"OpenZeppelin ERC721 {theirs / 1e9:.1f} billion ({theirs / ours:.1f} times as much)"
    )
    print(json.dumps({"bench": "gas", **{name: round(value, 1) for name, value in found.items()}}))


if __name__ == "__main__":
    main()
