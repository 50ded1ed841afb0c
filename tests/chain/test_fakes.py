"""The fake has what the real client has, so a test against it says something."""

import inspect

import pytest

from chain.client import ChainClient
from tests.chain.fakes import FakeChain

METHODS = [
    name for name, _ in inspect.getmembers(ChainClient, inspect.isfunction) if name[0] != "_"
]


class TestFakeChain:
    @pytest.mark.parametrize("name", METHODS)
    def test_every_method_of_the_client_has_the_same_signature(self, name: str) -> None:
        real = inspect.signature(getattr(ChainClient, name))
        assert inspect.signature(getattr(FakeChain, name)) == real
