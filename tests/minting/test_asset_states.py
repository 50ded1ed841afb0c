"""The machine of digital assets: what its table lists happens, and every other pair is refused."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from chain.models import LaneRole
from core.errors import ConflictError
from minting import assets, changes
from minting.assets import AssetDraft
from minting.content import ContentStore
from minting.drafts import draft_of
from minting.errors import AssetNotFoundError
from minting.models import ContractState, DigitalAsset
from tests.conftest import NOW
from tests.factories.chain import make_lane
from tests.factories.engine import make_media
from tests.factories.minting import make_pass_contract

Act = Callable[[Session, ContentStore, DigitalAsset], object]


def _save(session: Session, store: ContentStore, asset: DigitalAsset) -> None:
    """The form is sent, whatever the asset is."""
    wanted = replace(draft_of(asset), title="Tide")
    changes.save(session, store, asset, wanted, None, issuer_name="Brand", at=NOW)


def _revise(session: Session, store: ContentStore, asset: DigitalAsset) -> None:
    assets.revise(session, store, asset, replace(draft_of(asset), title="Tide"), None)


def _publish(session: Session, store: ContentStore, asset: DigitalAsset) -> None:
    assets.publish(session, store, asset, issuer_name="Brand", at=NOW)
    session.flush()


ACTS: dict[str, Act] = {
    "save": _save,
    "revise": _revise,
    "publish": _publish,
    "archive": lambda session, _, it: assets.archive(session, it, is_in_use=False),
    "restore": lambda session, _, it: assets.restore(session, it),
    "delete": lambda session, _, it: assets.delete(session, it, is_in_use=False),
}
LISTED = {
    ("draft", "save"): "draft",
    ("draft", "revise"): "draft",
    ("draft", "publish"): "publishing",
    ("draft", "delete"): "gone",
    ("live", "save"): "live",
    ("live", "archive"): "archived",
    ("live", "delete"): "deleted",
    ("archived", "save"): "archived",
    ("archived", "restore"): "live",
    ("archived", "delete"): "deleted",
}
"""A draft that is deleted leaves nothing; of a published one the contract stays."""
UNLISTED = [pair for pair in product(ContractState, ACTS) if pair not in LISTED]


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """An empty content store."""
    return ContentStore(tmp_path)


def in_state(session: Session, store: ContentStore, state: str) -> DigitalAsset:
    make_lane(session)
    make_lane(session, role=LaneRole.ISSUER)
    make_pass_contract(session)
    draft = AssetDraft(internal_name="First tide", title="First Tide", reference_id="TIDE")
    asset = assets.create(session, store, draft, make_media(), at=NOW)
    if state != "draft":
        _publish(session, store, asset)
    if state not in ("draft", "publishing"):
        asset.state, asset.address = ContractState.LIVE, "0x" + "55" * 20
        session.flush()
    if state in ("archived", "deleted"):
        ACTS["archive" if state == "archived" else "delete"](session, store, asset)
    assert asset.state == state
    return asset


@pytest.mark.parametrize(("state", "act"), LISTED)
def test_what_is_listed_happens(
    session: Session, store: ContentStore, state: str, act: str
) -> None:
    asset = in_state(session, store, state)
    ACTS[act](session, store, asset)
    if LISTED[state, act] == "gone":
        assert inspect(asset).was_deleted or session.get(DigitalAsset, asset.id) is None
    else:
        assert asset.state == LISTED[state, act]


@pytest.mark.parametrize(("state", "act"), UNLISTED)
def test_every_other_pair_is_refused(
    session: Session, store: ContentStore, state: ContractState, act: str
) -> None:
    asset = in_state(session, store, state)
    with pytest.raises(ConflictError) as refused:
        ACTS[act](session, store, asset)
    assert (refused.value.status, refused.value.code) == (409, "invalid_transition")
    session.refresh(asset)
    assert (asset.state, asset.title) == (state, "First Tide")


def test_nobody_finds_a_deleted_one_and_its_reference_is_free(
    session: Session, store: ContentStore
) -> None:
    asset = in_state(session, store, "deleted")
    with pytest.raises(AssetNotFoundError):
        assets.get(session, asset.id)
    draft = AssetDraft(internal_name="Second", title="Second", reference_id="TIDE")
    assert assets.create(session, store, draft, make_media(), at=NOW).reference_id == "TIDE"


@pytest.mark.parametrize("act", [assets.archive, assets.delete])
def test_what_a_campaign_gives_stays(
    session: Session, store: ContentStore, act: Callable[..., None]
) -> None:
    asset = in_state(session, store, "live")
    with pytest.raises(ConflictError) as refused:
        act(session, asset, is_in_use=True)
    assert (refused.value.status, refused.value.code) == (409, "reward_in_use")
    assert asset.state is ContractState.LIVE
