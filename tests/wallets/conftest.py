"""Key-encryption keys for the tests of custody; each runs once and is made well between tests."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from core.types import MerchantId
from tests.conftest import make_merchant
from tests.wallets.kek_worlds import REMOTE, WORLDS, VaultWorld, World, environment
from tests.wallets.loopback import Front
from tests.wallets.vault_double import TOKEN
from wallets import data_keys


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, World]]:
    """All providers, running."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(make(tmp_path_factory.mktemp(name)))
            for name, make in WORLDS.items()
        }


@pytest.fixture(params=WORLDS)
def world(worlds: dict[str, World], request: pytest.FixtureRequest) -> World:
    """Each provider in turn."""
    worlds[request.param].reset()
    return worlds[request.param]


@pytest.fixture(params=REMOTE)
def remote(worlds: dict[str, World], request: pytest.FixtureRequest) -> World:
    """Each provider in turn that lives on another machine."""
    worlds[request.param].reset()
    return worlds[request.param]


@pytest.fixture
def front(remote: World) -> Front:
    """The server between the product and the provider."""
    assert remote.front is not None
    return remote.front


@pytest.fixture
def merchant_id(committed: None) -> Iterator[MerchantId]:
    """A merchant whose rows are really there."""
    data_keys.forget()
    yield make_merchant().id
    data_keys.forget()


@pytest.fixture
def vault(worlds: dict[str, World]) -> Iterator[VaultWorld]:
    """`WALLETS_KEK` names a transit key."""
    world = worlds["vault"]
    world.reset()
    place = VaultWorld(world)
    with environment(
        WALLETS_KEK="vault:transit/cohort",
        WALLETS_VAULT_URL=place.front.url,
        WALLETS_VAULT_TOKEN=TOKEN,
    ):
        yield place
        place.vault.sealed = False
        place.vault.keys["cohort"].min_decryption_version = 1
