"""Key-encryption keys for the tests of custody; each runs once and is made well between tests."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.wallets.kek_worlds import REMOTE, WORLDS, World
from tests.wallets.loopback import Front


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
