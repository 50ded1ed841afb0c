"""What most journeys need: an installation and a browser, once for each file."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.site import Site, browser, running_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """An installation without members."""
    with running_site() as site:
        yield site


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """A browser."""
    with browser() as chrome:
        yield chrome
