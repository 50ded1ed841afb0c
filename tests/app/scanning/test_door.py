"""Whoever signs in at the scanner arrives at the scanner, whatever the form says."""

import pytest

from app.scanning import doors


@pytest.mark.parametrize(
    ("asked", "arrives"),
    [
        ("/scan", "/scan"),
        ("/scan/pair/ABC", "/scan/pair/ABC"),
        ("/admin", "/scan"),
        ("/scanner", "/scan"),
        ("//evil.example", "/scan"),
        ("", "/scan"),
    ],
)
def test_leads_nowhere_else(asked: str, arrives: str) -> None:
    assert doors._DOOR.enter("cookie", asked).headers["location"] == arrives
