"""A whole installation on the running development chain, and the engine's steps on it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns import previews
from app.campaigns import service as campaigns
from app.campaigns.models import AirdropRun, AudienceKind
from app.engine import Workplace, step, workplaces
from app.perks.models import Perk
from app.rewards.lines import Choice
from chain import local
from chain.bindings.erc721 import decode_address, encode_owner_of
from chain.client import ChainClient
from chain.models import ChainKind, LaneRole, NonceLane
from chain.networks import ensure_chain, ensure_lane
from core.db import unit_of_work
from core.types import AssetId, CampaignId, MerchantId, utc_now
from minting import assets, passes
from minting.content import ContentStore
from minting.drafts import AssetDraft
from minting.media import Media, Rendition
from minting.models import ContractState, DigitalAsset
from tests.conftest import make_merchant, wait_until
from tests.factories.brand import give
from tests.factories.minting import CID


def make_media() -> Media:
    """An image nobody has to decode."""
    rendition = Rendition(os.urandom(64), "image/webp", 400, 400)
    return Media(original=rendition, renditions=(rendition,))


@dataclass(frozen=True)
class Installation:
    """A merchant with a funded relayer and a pass contract on its way."""

    merchant: MerchantId
    node: ChainClient

    @property
    def place(self) -> Workplace:
        """Where the engine works."""
        [place] = workplaces()
        return place

    def step_until(self, ready: Callable[[Session], bool]) -> None:
        """The engine goes on until `ready` says so."""

        def once() -> bool:
            step(self.place)
            with unit_of_work(merchant=self.merchant) as session:
                return ready(session)

        wait_until(once, seconds=60)

    def publish_asset(
        self, store: ContentStore, *, title: str = "First Tide", **changes: Any
    ) -> AssetId:
        """A published asset, live on the chain."""
        draft = AssetDraft(internal_name=title, title=title, **changes)
        with unit_of_work(merchant=self.merchant) as session:
            asset = assets.create(session, store, draft, make_media(), at=utc_now())
            assets.publish(session, store, asset, issuer_name="Brand", at=utc_now())
            asset_id = asset.id
        self.step_until(
            lambda session: session.get_one(DigitalAsset, asset_id).state is ContractState.LIVE
        )
        return asset_id

    def airdrop(self, *rewards: AssetId | Perk | Choice) -> CampaignId:
        """A campaign for everybody, published from a fresh preview."""
        with unit_of_work(merchant=self.merchant) as session:
            campaign = campaigns.create_airdrop(session, "Everybody", at=utc_now())
            campaigns.describe(session, campaign, title="Welcome", description="")
            campaigns.choose_audience(session, campaign, AudienceKind.ALL)
            give(session, campaign, *rewards)
            campaigns.choose_delivery(session, campaign, campaigns.Delivery(late_joiners=False))
            campaign_id = campaign.id
        self.publish(campaign_id)
        return campaign_id

    def publish(self, campaign_id: CampaignId) -> AirdropRun:
        """The campaign's run, from a preview made in the same moment or the existing one."""
        with unit_of_work(merchant=self.merchant) as session:
            campaign = campaigns.get(session, campaign_id)
            preview = previews.newest(session, campaign) or previews.make(
                session, campaign, at=utc_now()
            )
            return campaigns.publish(session, campaign, preview, at=utc_now())

    def owner_of(self, contract: str, token_id: int) -> str:
        """Who owns the token, asked of the node with nothing of the product in between."""
        answer = self.node.admin(
            "eth_call", {"to": contract, "data": "0x" + encode_owner_of(token_id).hex()}, "latest"
        )
        return decode_address(bytes.fromhex(answer[2:]))


def make_installation(node: ChainClient) -> Installation:
    """A merchant on the embedded chain; its first step deploys the pass contract."""
    merchant: Merchant = make_merchant()
    with unit_of_work(merchant=merchant.id) as session:
        chain = ensure_chain(session, kind=ChainKind.EMBEDDED, client=node)
        lane: NonceLane = ensure_lane(session, chain, node, at=utc_now())
        issuer = ensure_lane(session, chain, node, role=LaneRole.ISSUER, at=utc_now())
        for each in (lane, issuer):
            local.fund(node, each.address)
        passes.define_contract(
            session, lane, name="Brand Pass", symbol="PASS", metadata_cid=CID, at=utc_now()
        )
    return Installation(merchant.id, node)
