"""A synchronous HTTP client over an application, in process, and a page's token."""

import re
import warnings
from typing import Any

from fastapi import FastAPI

with warnings.catch_warnings():
    # Starlette prefers another client library; ours is the one the product ships with.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ORIGIN = "http://testserver"
HTML = {"accept": "text/html"}
_TOKEN = re.compile(r'name="csrf-token" content="([^"]+)"')


def client_of(app: FastAPI) -> TestClient:
    """A client that follows nothing and reports what the browser would see."""
    return TestClient(app, follow_redirects=False, raise_server_exceptions=False)


def token_in(page: str) -> str:
    """The token a page carries for the requests made from it."""
    found = _TOKEN.search(page)
    assert found is not None
    return found[1]


def submit(client: TestClient, path: str, page: str = "/admin", **fields: Any) -> Any:
    """The answer to a form sent to `path` with the token of `page`."""
    token = token_in(client.get(page, headers=HTML).text)
    return client.post(path, data={"csrf": token, **fields}, headers={"origin": ORIGIN, **HTML})
