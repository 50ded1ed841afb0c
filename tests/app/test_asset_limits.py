"""Limits of what people type for a digital asset: at the limit it is saved, one beyond is named."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.assets.schemas import AssetForm
from core.errors import InvalidError
from minting import assets
from minting.content import ContentStore
from minting.models import DigitalAsset
from tests.conftest import NOW
from tests.factories.engine import make_media

DECOMPOSED = "e\u0301"


def lines(count: int, *, trait: int = 9, value: int = 1) -> str:
    return "\n".join(f"{it:0{trait}d}: {'x' * value}" for it in range(count))


TAKEN: dict[str, list[str]] = {
    "internal_name": ["x", "x" * 120],
    "title": ["x", "x" * 80, DECOMPOSED * 80, f" {'x' * 80} "],
    "description": ["", "x" * 2_000, DECOMPOSED * 2_000],
    "attributes": ["", lines(30), lines(1, trait=40, value=100), "a: b: c"],
    "external_url": ["", "https://a.example", "https://a.example/b?c#d", "https://a:8443"],
    "symbol": ["", "AB", "A1", "ABCDEFGHIJK", " ab "],
    "max_supply": ["", "1", "100,000,000"],
    "reference_id": ["", "x", "x" * 64],
}
REFUSED: dict[str, list[str]] = {
    "internal_name": ["x" * 121],
    "title": ["", "  ", "x" * 81],
    "description": ["x" * 2_001],
    "attributes": [
        *(lines(31), lines(1, trait=41), lines(1, value=101), "no colon", ": x", "x:"),
    ],
    "external_url": [
        *("http://a.example", "https://", "https:///a", "a.example", "javascript:alert(1)"),
        *("https://a b", "https://u@b.example", "https://a\\b"),
    ],
    "symbol": ["A", "ABCDEFGHIJKL", "T-1", "Ä1"],
    "max_supply": ["0", "100,000,001", "-1", "1.5", "١"],
    "reference_id": ["x" * 65],
}


def create(session: Session, folder: Path, field: str, value: str) -> DigitalAsset:
    said: dict[str, Any] = {"internal_name": "First tide", "title": "First Tide", field: value}
    draft = AssetForm(**said).as_draft()
    return assets.create(session, ContentStore(folder), draft, make_media(), at=NOW)


@pytest.mark.parametrize(("field", "values"), TAKEN.items(), ids=TAKEN)
def test_at_the_limit_it_is_saved(
    session: Session, tmp_path: Path, field: str, values: list[str]
) -> None:
    for value in values:
        asset = create(session, tmp_path, field, value)
        session.refresh(asset)
        if field == "title":
            assert asset.title == value.strip().replace(DECOMPOSED, "é")


@pytest.mark.parametrize(("field", "values"), REFUSED.items(), ids=REFUSED)
def test_beyond_it_the_field_is_named(
    session: Session, tmp_path: Path, field: str, values: list[str]
) -> None:
    for value in values:
        with pytest.raises(InvalidError) as refused:
            create(session, tmp_path, field, value)
        assert (refused.value.status, list(refused.value.fields)) == (422, [field]), value


def test_a_reference_is_one_assets_alone(session: Session, tmp_path: Path) -> None:
    create(session, tmp_path, "reference_id", "MUG-1")
    with pytest.raises(InvalidError) as refused:
        create(session, tmp_path, "reference_id", "MUG-1")
    assert list(refused.value.fields) == ["reference_id"]
