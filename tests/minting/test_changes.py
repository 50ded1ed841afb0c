"""Published assets change: a version more, a lower maximum, another royalty, tokens taken back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.rewards import closing
from app.rewards.models import Grant, GrantState
from chain.bindings import digital_asset
from chain.models import LaneRole, NonceLane, Outcome
from core.errors import InvalidError
from core.events import Event
from core.types import UserId
from minting import assets, changes, settlement
from minting.change_models import TokenRevocation
from minting.changes import versions
from minting.content import ContentStore
from minting.drafts import AssetDraft, draft_of
from minting.errors import AssetTransitionError, NothingToRevokeError, NotRevocableError
from minting.models import (
    Batch,
    BatchState,
    ContractState,
    DigitalAsset,
    Plan,
    PlanKind,
    PlanState,
    Token,
    TokenState,
    Transferability,
)
from tests.conftest import NOW
from tests.factories.chain import make_lane
from tests.factories.engine import make_media
from tests.factories.minting import (
    activate_passes,
    execute,
    finish,
    grant,
    make_asset,
    make_line,
    make_members,
    make_pass_contract,
    plan_drop,
)

RECEIVER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """An empty content store."""
    return ContentStore(tmp_path)


@pytest.fixture
def lane(session: Session) -> NonceLane:
    """The relayer's; the issuer has one, too."""
    return make_lane(session)


@pytest.fixture
def issuer(session: Session, lane: NonceLane) -> NonceLane:
    return make_lane(session, role=LaneRole.ISSUER)


@pytest.fixture
def asset(session: Session, issuer: NonceLane, store: ContentStore) -> DigitalAsset:
    """Live, its first documents in the store."""
    make_pass_contract(session)
    asset = make_asset(session, state=ContractState.DRAFT, address=None, max_supply=100)
    asset.image_cid = store.put(b"image")
    assets.publish(session, store, asset, issuer_name="Brand", at=NOW)
    asset.state, asset.address = ContractState.LIVE, "0x" + "55" * 20
    session.flush()
    return asset


def amend(session: Session, store: ContentStore, asset: DigitalAsset, **fields: Any) -> None:
    """The asset is edited as its form would."""
    draft = draft_of(asset)
    media = fields.pop("media", None)
    changed = replace(draft, **fields)
    changes.amend(session, store, asset, changed, media, issuer_name="Brand", at=NOW)


def plans(session: Session, kind: PlanKind) -> list[Plan]:
    return list(session.scalars(select(Plan).where(Plan.kind == kind).order_by(Plan.ordinal)))


def calls(session: Session, kind: PlanKind) -> list[bytes]:
    """What the issuer is going to send of this kind."""
    query = select(Batch).join(Plan).where(Plan.kind == kind, Plan.sender == LaneRole.ISSUER)
    rows = session.scalars(query.order_by(Plan.ordinal, Batch.index))
    return [row.calldata for row in rows if row.state is not BatchState.CANCELLED]


def confirm(session: Session, lane: NonceLane, plan: Plan) -> None:
    for batch in plan.batches:
        execute(session, lane.id, batch, Outcome.SUCCESS)
    settlement.settle(session, at=NOW)


class TestDocuments:
    def test_another_title_is_a_version_more(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        first = asset.metadata_cid or ""
        amend(session, store, asset, title="Second Tide")
        newest, oldest = versions(session, asset)
        assert (newest.number, oldest.number, oldest.metadata_cid) == (2, 1, first)
        document = json.loads(store.read(newest.metadata_cid))
        assert (document["name"], document["properties"]["version"]) == ("Second Tide", 2)
        assert json.loads(store.read(first))["name"] == "First Tide"
        assert calls(session, PlanKind.DOCUMENTS) == [
            digital_asset.encode_set_token_uri(f"ipfs://{newest.metadata_cid}"),
            digital_asset.encode_set_contract_uri(f"ipfs://{newest.contract_cid}"),
        ]

    def test_what_the_contract_does_not_say_costs_it_nothing(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        amend(session, store, asset, attributes=[{"trait_type": "Year", "value": "2026"}])
        assert calls(session, PlanKind.DOCUMENTS) == [
            digital_asset.encode_set_token_uri(f"ipfs://{asset.metadata_cid}")
        ]

    def test_names_for_the_team_change_no_document(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        amend(session, store, asset, internal_name="Tide, the first", reference_id="tide-1")
        assert (asset.internal_name, asset.reference_id) == ("Tide, the first", "tide-1")
        assert plans(session, PlanKind.DOCUMENTS) == []
        assert len(versions(session, asset)) == 1

    def test_another_image_is_stored_and_shown(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        before = asset.image_cid
        amend(session, store, asset, media=make_media())
        assert asset.image_cid != before and store.has(asset.image_cid) and store.has(before)
        assert json.loads(store.read(asset.metadata_cid or ""))["image"] == (
            f"ipfs://{asset.image_cid}"
        )

    def test_ten_edits_in_a_minute_are_one_transaction(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        for number in range(10):
            amend(session, store, asset, title=f"Tide {number}")
        assert len(versions(session, asset)) == 11
        waiting = [it for it in plans(session, PlanKind.DOCUMENTS) if it.state != PlanState.DONE]
        assert len(waiting) == 1
        assert calls(session, PlanKind.DOCUMENTS)[0] == digital_asset.encode_set_token_uri(
            f"ipfs://{asset.metadata_cid}"
        )
        withdrawn = [changes.is_withdrawn(it) for it in versions(session, asset)]
        assert withdrawn == [False] + [True] * 9 + [False]

    def test_what_is_signed_is_not_withdrawn(
        self, session: Session, store: ContentStore, asset: DigitalAsset, issuer: NonceLane
    ) -> None:
        amend(session, store, asset, title="Second Tide")
        [plan] = plans(session, PlanKind.DOCUMENTS)
        transaction = execute(session, issuer.id, plan.batches[0], Outcome.SUCCESS)
        transaction.state, transaction.outcome = "sent", None
        transaction.block_number = transaction.block_hash = None
        session.flush()
        amend(session, store, asset, title="Third Tide")
        assert len(calls(session, PlanKind.DOCUMENTS)) == 4

    def test_back_to_what_the_contract_says_already(
        self, session: Session, store: ContentStore, asset: DigitalAsset, issuer: NonceLane
    ) -> None:
        """The document that was withdrawn never was the contract's."""
        amend(session, store, asset, title="Second Tide")
        confirm(session, issuer, plans(session, PlanKind.DOCUMENTS)[0])
        amend(session, store, asset, title="Third Tide")
        amend(session, store, asset, title="Second Tide")
        last = plans(session, PlanKind.DOCUMENTS)[-1]
        assert [batch.calldata for batch in last.batches] == [
            digital_asset.encode_set_token_uri(f"ipfs://{asset.metadata_cid}")
        ]

    def test_what_was_promised_stays(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        fields = {"symbol": "OTHER", "transferability": Transferability.SOULBOUND}
        amend(session, store, asset, revocable=True, **fields)
        assert (asset.symbol, asset.transferability, asset.revocable) == (
            "TIDE",
            Transferability.TRANSFERABLE,
            False,
        )

    @pytest.mark.parametrize(
        "state", [ContractState.DRAFT, ContractState.PUBLISHING, ContractState.DELETED]
    )
    def test_only_what_is_published_changes(
        self, session: Session, store: ContentStore, asset: DigitalAsset, state: ContractState
    ) -> None:
        asset.state = state
        session.flush()
        with pytest.raises(AssetTransitionError, match=f"is {state}, so it cannot be changed"):
            amend(session, store, asset, title="Second Tide")

    def test_a_wrong_field_changes_nothing(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        with pytest.raises(InvalidError) as refused:
            amend(session, store, asset, title="", external_url="http://example.com")
        assert set(refused.value.fields) == {"title", "external_url"}
        session.refresh(asset)
        assert asset.title == "First Tide" and plans(session, PlanKind.DOCUMENTS) == []


class TestSupply:
    def test_is_lowered_to_what_was_given(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        asset.minted_count = 40
        session.flush()
        amend(session, store, asset, max_supply=40)
        assert calls(session, PlanKind.SUPPLY) == [digital_asset.encode_lower_max_supply(40)]
        assert json.loads(store.read(asset.metadata_cid or ""))["properties"]["edition"] == {
            "maxSupply": 40
        }

    @pytest.mark.parametrize("supply", [39, 101, None, 0])
    def test_is_neither_raised_nor_below_what_was_given(
        self, session: Session, store: ContentStore, asset: DigitalAsset, supply: int | None
    ) -> None:
        asset.minted_count = 40
        session.flush()
        with pytest.raises(InvalidError) as refused:
            amend(session, store, asset, max_supply=supply)
        assert "lowered only, to 40" in refused.value.fields["max_supply"] or supply in (39, 0)
        assert plans(session, PlanKind.SUPPLY) == []

    def test_an_edition_without_a_limit_gets_one(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        asset.max_supply, asset.minted_count = None, 7
        session.flush()
        with pytest.raises(InvalidError, match="cannot be saved"):
            amend(session, store, asset, max_supply=6)
        amend(session, store, asset, max_supply=7)
        assert calls(session, PlanKind.SUPPLY) == [digital_asset.encode_lower_max_supply(7)]

    def test_lowered_twice_is_lowered_once(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        amend(session, store, asset, max_supply=80)
        amend(session, store, asset, max_supply=60)
        assert calls(session, PlanKind.SUPPLY) == [digital_asset.encode_lower_max_supply(60)]


class TestRoyalty:
    def test_is_set_and_taken_off(
        self, session: Session, store: ContentStore, asset: DigitalAsset, issuer: NonceLane
    ) -> None:
        amend(session, store, asset, royalty_points=250, royalty_receiver=RECEIVER)
        confirm(session, issuer, plans(session, PlanKind.ROYALTY)[0])
        amend(session, store, asset, royalty_points=None)
        assert calls(session, PlanKind.ROYALTY) == [
            digital_asset.encode_set_royalty(RECEIVER, 250),
            digital_asset.encode_set_royalty(None, 0),
        ]
        assert (asset.royalty_points, asset.royalty_receiver) == (None, None)

    def test_to_and_fro_is_the_last_word(
        self, session: Session, store: ContentStore, asset: DigitalAsset
    ) -> None:
        for points in (250, 500, 250):
            amend(session, store, asset, royalty_points=points, royalty_receiver=RECEIVER)
        assert calls(session, PlanKind.ROYALTY) == [digital_asset.encode_set_royalty(RECEIVER, 250)]

    @pytest.mark.parametrize(
        ("points", "receiver", "field"),
        [
            (1_001, RECEIVER, "royalty_points"),
            (-1, RECEIVER, "royalty_points"),
            (250, None, "royalty_receiver"),
            (250, "0x1234", "royalty_receiver"),
            (250, "0x" + "00" * 20, "royalty_receiver"),
            (250, RECEIVER.replace("C51812", "c51812"), "royalty_receiver"),
        ],
    )
    def test_what_nobody_could_be_paid_is_refused(
        self,
        session: Session,
        store: ContentStore,
        asset: DigitalAsset,
        points: int,
        receiver: str | None,
        field: str,
    ) -> None:
        with pytest.raises(InvalidError) as refused:
            amend(session, store, asset, royalty_points=points, royalty_receiver=receiver)
        assert set(refused.value.fields) == {field}


class TestRevoke:
    @pytest.fixture
    def owners(self, session: Session, asset: DigitalAsset) -> list[UserId]:
        """Three members who have one each."""
        asset.transferability, asset.revocable = Transferability.SOULBOUND, True
        owners = make_members(session, 3)
        activate_passes(session)
        line = make_line(session, asset)
        grant(session, line, owners)
        plan = plan_drop(session, line)
        finish(session, plan)
        for token in session.scalars(select(Token)):
            token.state, token.owned_at = TokenState.OWNED, NOW
        for row in session.scalars(select(Grant)):
            row.state = GrantState.DELIVERED
        session.flush()
        return owners

    def tokens(self, session: Session, *owners: UserId) -> list[Token]:
        query = select(Token).where(Token.user_id.in_(owners)).order_by(Token.id)
        return list(session.scalars(query))

    def revoke(self, session: Session, asset: DigitalAsset, *tokens: Token, **changed: Any) -> int:
        words = {"reason": "Bought with a stolen card", "actor": "owner", **changed}
        return changes.revoke(session, asset, [it.id for it in tokens], at=NOW, **words)

    def test_the_token_ends_and_its_grant_says_why(
        self, session: Session, asset: DigitalAsset, owners: list[UserId], issuer: NonceLane
    ) -> None:
        [token] = self.tokens(session, owners[0])
        assert self.revoke(session, asset, token) == 1
        assert token.state is TokenState.OWNED  # until the chain says so
        assert calls(session, PlanKind.REVOCATION) == [
            digital_asset.encode_revoke(token.token_id or 0)
        ]
        confirm(session, issuer, plans(session, PlanKind.REVOCATION)[0])
        assert [closing.close_revoked(session, at=NOW) for _ in range(2)] == [1, 0]
        session.expire_all()
        states = {row.user_id: (row.state, row.reason) for row in session.scalars(select(Grant))}
        assert states[owners[0]] == (GrantState.REVOKED, "Bought with a stolen card")
        assert states[owners[1]] == (GrantState.DELIVERED, None)
        assert token.state is TokenState.BURNED
        query = select(Event).where(Event.type == "cohort.digital-asset.revoked")
        [event] = session.scalars(query)
        assert event.data["tokenId"] == str(token.token_id)

    def test_once(self, session: Session, asset: DigitalAsset, owners: list[UserId]) -> None:
        first, second, _ = self.tokens(session, *owners)
        assert self.revoke(session, asset, first) == 1
        assert self.revoke(session, asset, first, second) == 1
        with pytest.raises(NothingToRevokeError):
            self.revoke(session, asset, first, second)
        assert len(calls(session, PlanKind.REVOCATION)) == 2

    def test_not_before_it_is_owned(
        self, session: Session, asset: DigitalAsset, owners: list[UserId]
    ) -> None:
        [token] = self.tokens(session, owners[0])
        token.state = TokenState.MINTING
        session.flush()
        with pytest.raises(NothingToRevokeError):
            self.revoke(session, asset, token)

    def test_not_a_token_of_another_asset(
        self, session: Session, asset: DigitalAsset, owners: list[UserId]
    ) -> None:
        other = make_asset(session, transferability=Transferability.SOULBOUND, revocable=True)
        with pytest.raises(NothingToRevokeError):
            self.revoke(session, other, *self.tokens(session, *owners))

    def test_not_what_was_published_without_the_right(
        self, session: Session, asset: DigitalAsset, owners: list[UserId]
    ) -> None:
        asset.revocable = False
        session.flush()
        with pytest.raises(NotRevocableError, match="published without the right"):
            self.revoke(session, asset, *self.tokens(session, *owners))

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
    def test_not_without_a_reason(
        self, session: Session, asset: DigitalAsset, owners: list[UserId], reason: str
    ) -> None:
        with pytest.raises(InvalidError) as refused:
            self.revoke(session, asset, *self.tokens(session, *owners), reason=reason)
        assert set(refused.value.fields) == {"reason"}
        assert session.scalars(select(TokenRevocation)).all() == []

    def test_at_most_so_many(
        self, session: Session, asset: DigitalAsset, owners: list[UserId]
    ) -> None:
        [token] = self.tokens(session, owners[0])
        with pytest.raises(InvalidError, match="cannot be taken back"):
            self.revoke(session, asset, *[token] * (changes.AT_ONCE + 1))


def test_revocable_is_for_what_members_keep(session: Session, store: ContentStore) -> None:
    draft = AssetDraft(internal_name="Tide", title="Tide", revocable=True)
    with pytest.raises(InvalidError) as refused:
        assets.create(session, store, draft, make_media(), at=NOW)
    assert set(refused.value.fields) == {"revocable"}
