"""The contracts as ape compiles them, on a chain of this run's own.

Run with `python -m pytest -c tests/contracts/pytest.ini`. The world is deployed once; every test
starts from it and is undone afterwards.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# ape takes the compiler from PATH
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

import ape
import pytest
from ape.contracts import ContractInstance
from eth_utils.crypto import keccak
from node import anvil
from world import World, anybody, as_bytes, sorted_members

from chain.artifacts.compile import CONTRACTS


@pytest.fixture(scope="session", autouse=True)
def provider() -> Iterator[None]:
    """ape is connected to a fresh chain with the rules of Osaka."""
    with anvil() as port:
        os.environ["APE_FOUNDRY_HOST"] = f"http://127.0.0.1:{port}"
        with ape.networks.parse_network_choice("ethereum:local:foundry"):
            yield


@pytest.fixture(scope="session")
def compiled(provider: None) -> dict[str, bytes]:
    """Creation code by contract, compiled now: ape's cache does not see changed modules."""
    ape.project.load_contracts(use_cache=False)
    types = {name: getattr(ape.project, name).contract_type for name in CONTRACTS}
    return {name: as_bytes(it.deployment_bytecode.bytecode) for name, it in types.items()}


@pytest.fixture(scope="session")
def deployed(compiled: dict[str, bytes]) -> World:
    """The world, deployed from what was compiled."""
    issuer, minter, stranger, *holders = (ape.accounts.test_accounts[i] for i in range(8))
    texts = ("Brand Pass", "PASS", "ipfs://pass", "ipfs://passes", True)
    registry = issuer.deploy(ape.project.MembershipPass, issuer, minter, *texts)
    implementation = stranger.deploy(ape.project.DigitalAsset)
    factory = stranger.deploy(ape.project.AssetFactory, implementation)
    keyed = [as_bytes(holder.address) for holder in holders]
    first = [*keyed, *(anybody(i) for i in range(295))]
    second = [keyed[0], *(anybody(1000 + i) for i in range(9))]
    world = World(
        issuer, minter, stranger, holders, [sorted_members(first), sorted_members(second)],
        registry, implementation, factory, registry, registry,
    )  # fmt: skip
    world.issue(0, first)
    world.issue(1, second)
    world.asset = world.deploy_asset()
    world.soulbound = world.deploy_asset(asset_id=keccak(text="soulbound"), soulbound=True)
    return world


@pytest.fixture
def world(deployed: World) -> Iterator[World]:
    """The world, undone afterwards."""
    with ape.chain.isolate():
        yield deployed


@pytest.fixture
def dropped(world: World) -> World:
    """Everybody in batch 0 has a token of every edition, as well as the pass."""
    world.drop_whole(0)
    world.drop_whole(0, asset=world.soulbound)
    return world


@pytest.fixture(params=["registry", "asset", "soulbound"])
def token(dropped: World, request: pytest.FixtureRequest) -> ContractInstance:
    """Any of our three kinds of tokens: the holder's id is the holder's index."""
    contract: ContractInstance = getattr(dropped, request.param)
    return contract


@pytest.fixture(params=["registry", "soulbound"])
def bound(dropped: World, request: pytest.FixtureRequest) -> ContractInstance:
    contract: ContractInstance = getattr(dropped, request.param)
    return contract
