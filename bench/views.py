"""What views cost that search the registry, by the number of its batches.

Starts its own chain on a free loopback port and deploys the committed artifacts. Figures are the
gas that `eth_call` uses, without the 21,000 and the calldata of a transaction. The account asked
about is the last member of the last batch, where a search ends. `N=100 python -m bench.views`
measures one number of batches.
"""

import json
import os
from collections.abc import Callable, Sequence

from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.bindings import asset_factory, digital_asset, erc721, membership_pass

from .node import SENDER, Node, node

BATCHES = (1, 10, 100, 1000)
SMALL = 4  # members of a batch; the others are full
MORE = 100  # of what a search also looks at
LIMIT = 50_000_000  # what most nodes allow a call (go-ethereum's default)


class World:
    """A registry of equal batches, and an asset dropped to the last of them."""

    def __init__(self, chain: Node, implementation: ChecksumAddress, members: int) -> None:
        self.chain = chain
        self.members = members
        self.batches = 0
        self.registry = chain.create(
            membership_pass.deploy_data(
                owner=SENDER,
                minter=SENDER,
                name="Pass",
                symbol="PASS",
                token_uri="",
                contract_uri="",
                recoverable=True,
            )
        )
        self.asset = self._asset(implementation)
        self.member = SENDER

    def grow(self, batches: int) -> None:
        """The registry has so many batches; `member` is the last of the last."""
        for batch in range(self.batches, batches):
            members = sorted(_anybody(batch * self.members + i) for i in range(self.members))
            packed = membership_pass.pack_members(members)
            self.chain.send(membership_pass.encode_issue(batch, packed), self.registry)
            self.member = to_checksum_address(members[-1])
        self.batches = batches

    @property
    def place(self) -> int:
        """The pass of `member`."""
        return membership_pass.pass_id(self.batches - 1, self.members - 1)

    def drop(self, round: int) -> int:
        """The token of `member`, once the last batch is dropped to."""
        bits = [digital_asset.bitmap(range(self.members))]
        call = digital_asset.encode_drop(
            round=round, batches=[self.batches - 1], bits=bits, nonce=0
        )
        self.chain.send(call, self.asset)
        return digital_asset.token_id(round, self.place)

    def gas(self, to: ChecksumAddress, data: bytes) -> int:
        """What a call uses, without what a transaction pays before it runs."""
        call = {"to": to, "data": "0x" + data.hex(), "gas": hex(10**9)}
        trace = self.chain.call("debug_traceCall", call, "latest", {"tracer": "callTracer"})
        if "error" in trace:
            raise RuntimeError(f"The call failed: {trace['error']}")
        zeros = data.count(0)
        return int(trace["gasUsed"], 16) - 21_000 - 4 * zeros - 16 * (len(data) - zeros)

    def _asset(self, implementation: ChecksumAddress) -> ChecksumAddress:
        factory = self.chain.create(asset_factory.deploy_data(implementation=implementation))
        arguments = asset_factory.AssetArguments(
            asset_id=keccak(text="asset"),
            registry=self.registry,
            owner=SENDER,
            minter=SENDER,
            name="Collectible",
            symbol="COLL",
            token_uri="",
            contract_uri="",
            max_supply=None,
            soulbound=False,
        )
        self.chain.send(asset_factory.encode_deploy(arguments), factory)
        return asset_factory.asset_address(factory, implementation, arguments)


def _anybody(number: int) -> bytes:
    """An address, always the same for a number, so that every run searches alike."""
    return keccak(text=f"member {number}")[-20:]


def by_batches(world: World, counts: Sequence[int]) -> dict[int, dict[str, int]]:
    """Every view at each number of batches."""
    rows = {}
    for round, batches in enumerate(counts):
        world.grow(batches)
        token = world.drop(round)
        member, place, registry = world.member, world.place, world.registry
        rows[batches] = {
            "pass.balanceOf": world.gas(registry, erc721.encode_balance_of(member)),
            "pass.passOf": world.gas(registry, membership_pass.encode_pass_of(member)),
            "pass.ownerOf": world.gas(registry, erc721.encode_owner_of(place)),
            "pass.isMember": world.gas(registry, membership_pass.encode_is_member(member, place)),
            "asset.balanceOf": world.gas(world.asset, erc721.encode_balance_of(member)),
            "asset.ownerOf": world.gas(world.asset, erc721.encode_owner_of(token)),
        }
    return rows


def by_others(world: World) -> dict[str, int]:
    """What one more of everything else adds to a search: the mean of a hundred."""
    world.grow(world.batches + 1)
    first = world.batches - 1
    world.drop(len(BATCHES))
    asset_balance = erc721.encode_balance_of(world.member)
    rounds = _added(
        world, world.asset, asset_balance, lambda i: world.drop(len(BATCHES) + 1 + i), MORE
    )
    stranger = to_checksum_address(_anybody(-1))
    balance = erc721.encode_balance_of(stranger)
    packed = membership_pass.pack_members(map(_anybody, range(SMALL)))
    mints = _added(
        world,
        world.asset,
        balance,
        lambda i: world.chain.send(digital_asset.encode_mint(i + 1, packed), world.asset),
        MORE,
    )
    singles = _added(world, world.registry, balance, lambda i: _issue_one(world, i), MORE)
    receiver = to_checksum_address(_anybody(-2))
    _recover(world, first, receiver)
    pass_of = membership_pass.encode_pass_of(receiver)
    changed = _added(
        world, world.registry, pass_of, lambda i: _recover(world, first - 1 - i, SENDER), 5
    )
    return {
        "asset.balanceOf, a round dropped to the account's batch": rounds,
        "asset.balanceOf, a mint to other addresses": mints,
        "pass.balanceOf and passOf, a pass issued alone": singles,
        "pass.passOf of who has a received pass only, a changed batch": changed,
    }


def _added(
    world: World, to: ChecksumAddress, view: bytes, add: Callable[[int], object], times: int
) -> int:
    before = world.gas(to, view)
    for number in range(times):
        add(number)
    return round((world.gas(to, view) - before) / times)


def _issue_one(world: World, number: int) -> None:
    member = to_checksum_address(_anybody(-3 - number))
    world.chain.send(membership_pass.encode_issue_one(number, member), world.registry)


def _recover(world: World, batch: int, receiver: ChecksumAddress) -> None:
    call = membership_pass.encode_recover(membership_pass.pass_id(batch, 0), receiver)
    world.chain.send(call, world.registry)


def enough(rows: dict[int, dict[str, int]], view: str) -> int:
    """How many batches a call of `LIMIT` gas searches, by the line through the last two rows."""
    (few, less), (many, more) = list(rows.items())[-2:]
    return many + int((LIMIT - more[view]) / (more[view] - less[view]) * (many - few))


def _print(members: int, rows: dict[int, dict[str, int]]) -> None:
    print(f"\nbatches of {members:,}: gas of a view")
    print(f"{'batches':>8}" + "".join(f"{name:>17}" for name in next(iter(rows.values()))))
    for batches, row in rows.items():
        print(f"{batches:>8,}" + "".join(f"{gas:>17,}" for gas in row.values()))


def main() -> None:
    """Prints a row a number of batches, and one JSON object as the last line."""
    given = (int(os.environ["N"]),) if os.environ.get("N") else None
    with node() as chain:
        implementation = chain.create(digital_asset.implementation_deploy_data())
        small = World(chain, implementation, SMALL)
        small_rows = by_batches(small, given or BATCHES)
        _print(SMALL, small_rows)
        full = World(chain, implementation, membership_pass.MAX_BATCH)
        full_rows = by_batches(full, given or BATCHES)
        _print(membership_pass.MAX_BATCH, full_rows)
        others = {} if given else by_others(small)
    if others:
        print("\none more of these adds:")
    for name, gas in others.items():
        print(f"{gas:>10,}  {name}")
    searched = ("pass.balanceOf", "asset.balanceOf")
    limits = {} if given else {view: enough(full_rows, view) for view in searched}
    for view, batches in limits.items():
        print(f"{LIMIT:,} gas are enough for {view} over {batches:,} full batches")
    report = {"small": small_rows, "full": full_rows, "more": others, "full_batches": limits}
    print(json.dumps({"bench": "views"} | report))


if __name__ == "__main__":
    main()
