"""What the contracts may cost. Gas is deterministic, so a ceiling is an assertion.

Figures are the whole transaction's: intrinsic gas, calldata, data contracts, and for an asset the
first use of its storage; a `view` is less its intrinsic gas. Two things are asserted of each: the
target, a recipient, and `gas.json`, the last figures that somebody looked at: a rise of more than
one percent fails. `COHORT_GAS_WRITE=1` writes that file anew.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from node import GAS_CAP, Node, node
from world import FULL, anybody

from chain.bindings import anchor, digital_asset, erc721, membership_pass
from chain.bindings.abi import call
from chain.bindings.asset_factory import AssetArguments, asset_address, encode_deploy
from chain.bindings.permits import Permit, PermitKind

SNAPSHOT = Path(__file__).parent / "gas.json"
WRITES = os.environ.get("COHORT_GAS_WRITE") == "1"
TOLERANCE = 1.01

SENDER, FRIEND, STRANGER = (to_checksum_address(anybody(i)) for i in (80_001, 80_002, 80_003))
HOLDER = Account.from_key(keccak(text="a holder with a key"))
PACKED = sorted(anybody(i) for i in range(FULL))
MEMBERS = [to_checksum_address(member) for member in PACKED]
THOUSAND = 100  # the batch of 1,000; those before have 1,228
LATER = 2**40


@dataclass(frozen=True)
class Chain:
    """A registry of 100 full batches and one of 1,000, and an asset that nobody has used."""

    node: Node
    registry: str
    factory: str
    implementation: str
    asset: str
    anchor: str

    def send(self, to: str, data: bytes, sender: str = SENDER) -> int:
        outcome = self.node.send(sender, to, data)
        assert outcome.refusal is None, outcome.refusal
        assert outcome.gas <= GAS_CAP
        return outcome.gas

    def view(self, to: str, data: bytes) -> int:
        zeros = data.count(0)
        return self.send(to, data) - 21_000 - 4 * zeros - 16 * (len(data) - zeros)

    def drop(self, chosen: dict[int, Iterable[int]], *, round: int = 0, nonce: int = 1) -> int:
        bits = [digital_asset.bitmap(places) for places in chosen.values()]
        data = digital_asset.encode_drop(round=round, batches=list(chosen), bits=bits, nonce=nonce)
        return self.send(self.asset, data)

    def drop_lists(self, places: dict[int, Sequence[int]]) -> int:
        listed = list(places.items())
        data = digital_asset.encode_drop_lists(round=0, places=listed, nonce=1)
        return self.send(self.asset, data)

    def arguments(self, name: str) -> AssetArguments:
        """With 200 bytes of texts."""
        return AssetArguments(
            asset_id=keccak(text=name),
            registry=to_checksum_address(self.registry),
            owner=SENDER,
            minter=SENDER,
            name="Collectible",
            symbol="COLL",
            token_uri="ipfs://" + "t" * 86,
            contract_uri="c" * 92,
            max_supply=10**6,
            soulbound=False,
        )

    def deploy(self, name: str) -> tuple[int, str]:
        arguments = self.arguments(name)
        gas = self.send(self.factory, encode_deploy(arguments))
        factory, implementation = map(to_checksum_address, (self.factory, self.implementation))
        return gas, asset_address(factory, implementation, arguments)

    def transfer(self, sender: str, receiver: str, token: int) -> int:
        data = call("transferFrom(address,address,uint256)", sender, receiver, token)
        return self.send(self.asset, data, sender)


@pytest.fixture(scope="module")
def started(compiled: dict[str, bytes]) -> Iterator[Chain]:
    with node() as it:
        who = [("address", SENDER)] * 2
        texts = [("string", "")] * 4
        registry = it.create(SENDER, compiled["MembershipPass"], *who, *texts, ("bool", True))
        implementation = it.create(SENDER, compiled["DigitalAsset"])
        factory = it.create(SENDER, compiled["AssetFactory"], ("address", implementation))
        empty = it.create(SENDER, compiled["Anchor"], *who)
        chain = Chain(it, registry, factory, implementation, "", empty)
        for batch in range(THOUSAND + 1):
            members = PACKED[: 1000 if batch == THOUSAND else FULL]
            chain.send(registry, membership_pass.encode_issue(batch, b"".join(members)))
        yield replace(chain, asset=chain.deploy("asset")[1])


@pytest.fixture
def chain(started: Chain) -> Iterator[Chain]:
    """The chain, undone afterwards."""
    before = started.node.rpc("evm_snapshot")
    yield started
    started.node.rpc("evm_revert", before)


def issue_full(chain: Chain) -> int:
    return chain.send(chain.registry, membership_pass.encode_issue(THOUSAND + 1, b"".join(PACKED)))


def issue_one(chain: Chain) -> int:
    return chain.send(chain.registry, membership_pass.encode_issue_one(0, STRANGER))


def whole(*batches: int) -> Callable[[Chain], int]:
    places = {batch: range(1000 if batch == THOUSAND else FULL) for batch in batches}
    return lambda chain: chain.drop({batch: some for batch, some in places.items()})


def shared(share: int, *batches: int) -> Callable[[Chain], int]:
    return lambda chain: chain.drop({batch: range(batch % share, FULL, share) for batch in batches})


def lists(count: int, batches: int) -> Callable[[Chain], int]:
    def drop(chain: Chain) -> int:
        step = FULL // count
        places = {batch: range(batch % step, FULL, step)[:count] for batch in range(batches)}
        return chain.drop_lists({batch: list(some) for batch, some in places.items()})

    return drop


def two_in_words(chain: Chain) -> int:
    return chain.drop({0: [3, 700]}, nonce=0)


def thirty_late(chain: Chain) -> int:
    chain.drop({0: range(0, FULL, 2)})
    return chain.drop({0: range(1, 61, 2)}, nonce=2)


def second_round(chain: Chain) -> int:
    chain.drop({0: range(FULL)})
    return chain.drop({0: range(FULL)}, round=1)


def mint_100(chain: Chain) -> int:
    return chain.send(chain.asset, digital_asset.encode_mint(1, b"".join(PACKED[:100])))


def dropped(chain: Chain, form: str) -> None:
    """The first member has a token, kept in this form."""
    if form == "whole":
        chain.drop({0: range(FULL)})
    elif form == "bits":
        chain.drop({0: range(0, FULL, 2)})
    elif form == "words":
        chain.drop({0: [0]}, nonce=0)
    else:
        chain.drop_lists({0: list(range(0, FULL, 100))})


def first_transfer(form: str) -> Callable[[Chain], int]:
    def move(chain: Chain) -> int:
        dropped(chain, form)
        return chain.transfer(MEMBERS[0], FRIEND, 0)

    return move


def later_transfer(chain: Chain) -> int:
    dropped(chain, "whole")
    chain.transfer(MEMBERS[0], FRIEND, 0)
    return chain.transfer(FRIEND, STRANGER, 0)


def transfer_with_permit(chain: Chain) -> int:
    dropped(chain, "whole")
    chain.transfer(MEMBERS[0], HOLDER.address, 0)
    permit = Permit(
        kind=PermitKind.TRANSFER,
        contract_name="Collectible",
        chain_id=31337,
        contract=to_checksum_address(chain.asset),
        sender=HOLDER.address,
        receiver=FRIEND,
        token_id=0,
        nonce=1,
        deadline=LATER,
    )
    data = digital_asset.encode_transfer_with_permit(
        HOLDER.address,
        FRIEND,
        0,
        deadline=LATER,
        signature=bytes(HOLDER.unsafe_sign_hash(permit.digest).signature),
    )
    return chain.send(chain.asset, data, STRANGER)


def burn(chain: Chain) -> int:
    dropped(chain, "whole")
    return chain.send(chain.asset, digital_asset.encode_burn(0), MEMBERS[0])


def owner_of(form: str) -> Callable[[Chain], int]:
    def ask(chain: Chain) -> int:
        dropped(chain, form)
        return chain.view(chain.asset, erc721.encode_owner_of(0))

    return ask


def recover(chain: Chain) -> int:
    return chain.send(chain.registry, membership_pass.encode_recover(5, STRANGER))


def designs_of_32(chain: Chain) -> int:
    data = membership_pass.encode_assign_designs(1, list(range(32)))
    return chain.send(chain.registry, data)


def anchor_one(chain: Chain) -> int:
    chain.send(chain.anchor, anchor.encode_anchor(keccak(text="first")))
    return chain.send(chain.anchor, anchor.encode_anchor(keccak(text="second")))


def deploy(chain: Chain) -> int:
    return chain.deploy("another")[0]


@dataclass(frozen=True)
class Scenario:
    """What is done, for how many, and what it may cost each."""

    run: Callable[[Chain], int]
    ceiling: float
    recipients: int = 1


SCENARIOS = {
    "issue 1228": Scenario(issue_full, 6480, FULL),
    "issue one": Scenario(issue_one, 60_000),
    "drop whole 1000": Scenario(whole(THOUSAND), 2060, 1000),
    "drop whole 1228": Scenario(whole(0), 2050, FULL),
    "drop whole 1228, second round": Scenario(second_round, 2050, FULL),
    "drop whole 6 x 1228": Scenario(whole(*range(6)), 2010, 6 * FULL),
    "drop half of 1228": Scenario(shared(2, 0), 2300, FULL // 2),
    "drop half of 8 x 1228": Scenario(shared(2, *range(8)), 2180, 4 * FULL),
    "drop 10 % of 10 x 1228": Scenario(shared(10, *range(10)), 2850, FULL),
    "lists 1 % of 100 x 1228": Scenario(lists(12, 100), 3600, 1200),
    "lists 1 % of 10 x 1228": Scenario(lists(12, 10), 4400, 120),
    "drop two, in words": Scenario(two_in_words, 75_000, 2),
    "drop thirty late": Scenario(thirty_late, 5700, 30),
    "mint 100": Scenario(mint_100, 7900, 100),
    "first transfer, whole": Scenario(first_transfer("whole"), 79_000),
    "first transfer, bits": Scenario(first_transfer("bits"), 82_500),
    "first transfer, list": Scenario(first_transfer("list"), 83_500),
    "later transfer": Scenario(later_transfer, 55_500),
    "transfer with permit": Scenario(transfer_with_permit, 80_000),
    "burn": Scenario(burn, 70_000),
    "view ownerOf, whole": Scenario(owner_of("whole"), 12_000),
    "view ownerOf, bits": Scenario(owner_of("bits"), 15_500),
    "view ownerOf, list": Scenario(owner_of("list"), 16_500),
    "view ownerOf, words": Scenario(owner_of("words"), 18_000),
    "recover a pass": Scenario(recover, 130_000),
    "designs of 32 passes": Scenario(designs_of_32, 3300, 32),
    "anchor": Scenario(anchor_one, 35_000),
    "deploy an asset": Scenario(deploy, 150_000),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_costs_no_more_than_it_may_and_did(chain: Chain, name: str) -> None:
    scenario = SCENARIOS[name]
    gas = scenario.run(chain)
    before = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    if WRITES:
        later = {it: gas if it == name else before.get(it, 0) for it in SCENARIOS}
        SNAPSHOT.write_text(json.dumps(later, indent=1) + "\n")
    else:
        assert gas <= TOLERANCE * before[name], f"{gas:,} after {before[name]:,}"
    assert gas / scenario.recipients <= scenario.ceiling
