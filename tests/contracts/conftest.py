"""The contracts as ape compiles them, on a chain of this run's own.

Run with `python -m pytest -c tests/contracts/pytest.ini`. The world is deployed once; every test
starts from it and is undone afterwards.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# ape takes the compiler from PATH
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

import ape
import pytest
from eth_utils.crypto import keccak
from world import World, anybody, as_bytes, sorted_members

from chain.local import anvil_path


@pytest.fixture(scope="session", autouse=True)
def provider() -> Iterator[None]:
    """ape is connected to a fresh chain with the rules of Osaka."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rules = ["--hardfork", "osaka", "--enable-tx-gas-limit"]
    command = [str(anvil_path()), "--port", str(port), *rules, "--silent"]
    with subprocess.Popen(command) as process:
        try:
            _wait(port)
            os.environ["APE_FOUNDRY_HOST"] = f"http://127.0.0.1:{port}"
            with ape.networks.parse_network_choice("ethereum:local:foundry"):
                yield
        finally:
            process.terminate()


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("The chain did not start within five seconds.")


@pytest.fixture(scope="session")
def deployed(provider: None) -> World:
    """The world, deployed from sources compiled now: ape's cache does not see changed modules."""
    ape.project.load_contracts(use_cache=False)
    issuer, minter, stranger, *holders = (ape.accounts.test_accounts[i] for i in range(8))
    texts = ("Brand Pass", "PASS", "ipfs://pass", "ipfs://passes")
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
