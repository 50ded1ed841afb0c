"""A brand with members, assets and campaigns, made of rows only: no chain is asked."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, Mode
from app.campaigns import audiences
from app.campaigns import service as campaigns
from app.campaigns.freshness import terms
from app.campaigns.models import AirdropPreview, Campaign
from app.perks.models import Perk, PerkState
from app.rewards.lines import Choice, rewards_of
from app.rewards.models import RewardLine
from app.users.models import User
from app.users.service import create_users, new_row
from chain.models import Chain
from core.db import unit_of_work
from core.ids import new_id
from core.types import AssetId, CampaignId, MerchantId, PerkId, RewardLineId, UserId
from minting.change_models import AssetVersion
from minting.models import ContractState, DigitalAsset, PassContract, Transferability
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, make_chain

PASS_CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
ASSET_CONTRACT = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"


def make_other_merchant(first: Merchant) -> MerchantId:
    """A second merchant of the same organisation."""
    with unit_of_work() as session:
        other = Merchant(
            id=MerchantId(new_id()),
            organisation_id=first.organisation_id,
            mode=Mode.LIVE,
            name="Other",
            brand_colour="#000000",
            accent_colour="#000000",
            contact_email="x@example.com",
            time_zone="UTC",
            language="en",
            created_at=NOW,
        )
        session.add(other)
        return other.id


def make_members(session: Session, *emails: str) -> list[UserId]:
    """New members with wallets and queued passes, in this order."""
    rows = [new_row(email, email, source="test") for email in emails]
    create_users(session, rows, at=NOW)
    found = session.scalars(select(User).where(User.email_key.in_(emails)))
    by_email = {user.email: user.id for user in found}
    return [by_email[email] for email in emails]


def make_pass_contract(session: Session) -> PassContract:
    """A live registry of members."""
    if session.get(Chain, CHAIN_ID) is None:
        make_chain(session)
    contract = PassContract(
        id=AssetId(new_id()),
        chain_id=CHAIN_ID,
        name="Test Pass",
        symbol="PASS",
        state=ContractState.LIVE,
        metadata_cid="bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
        address=PASS_CONTRACT,
        created_at=NOW,
    )
    session.add(contract)
    session.flush()
    return contract


def make_asset(session: Session, **changes: Any) -> DigitalAsset:
    """A live asset."""
    if session.get(Chain, CHAIN_ID) is None:
        make_chain(session)
    cid = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
    rendition = {"cid": cid, "media_type": "image/webp", "width": 640, "height": 640}
    values: dict[str, Any] = {
        "internal_name": "Mug",
        "title": "Mug",
        "description": "",
        "symbol": "MUG",
        "attributes": [],
        "transferability": Transferability.TRANSFERABLE,
        "renditions": [rendition],
        "image_cid": cid,
        "metadata_cid": cid,
        "state": ContractState.LIVE,
        "chain_id": CHAIN_ID,
        "address": ASSET_CONTRACT,
        "created_at": NOW,
    }
    asset = DigitalAsset(id=AssetId(new_id()), **{**values, **changes})
    session.add(asset)
    session.flush()
    if asset.state in (ContractState.LIVE, ContractState.ARCHIVED):
        documents = {"metadata_cid": cid, "contract_cid": cid}
        session.add(AssetVersion(asset_id=asset.id, number=1, created_at=NOW, **documents))
    return asset


def make_campaign(session: Session, title: str = "Thanks") -> Campaign:
    """A draft with its texts."""
    campaign = campaigns.create_airdrop(session, f"{title}, internally", at=NOW)
    campaigns.describe(session, campaign, title=title, description="")
    return campaign


def make_perk(session: Session, title: str = "Coffee", **changes: Any) -> Perk:
    """A live perk without limits."""
    values: dict[str, Any] = {
        "internal_name": f"{title}, internally",
        "title": title,
        "subtitle": "",
        "description": "",
        "uses_per_holding": 1,
        "state": PerkState.LIVE,
        "created_at": NOW,
    }
    perk = Perk(id=PerkId(new_id()), **{**values, **changes})
    session.add(perk)
    session.flush()
    return perk


def give(session: Session, campaign: Campaign, *rewards: AssetId | Perk | Choice) -> None:
    """The draft gives these, one of each to everybody where nothing else is said."""
    campaigns.choose_rewards(session, campaign, [_choice(reward) for reward in rewards])


def _choice(reward: AssetId | Perk | Choice) -> Choice:
    if isinstance(reward, Choice):
        return reward
    return Choice(perk_id=reward.id) if isinstance(reward, Perk) else Choice(reward)


def make_line(session: Session, campaign: CampaignId, asset: AssetId, **changes: Any) -> RewardLine:
    """What the campaign gives."""
    line = RewardLine(id=RewardLineId(new_id()), campaign_id=campaign, asset_id=asset, **changes)
    session.add(line)
    session.flush()
    return line


def make_preview(session: Session, campaign: Campaign, **changes: Any) -> AirdropPreview:
    """What a dry run would have stored for the campaign as it is now."""
    values: dict[str, Any] = {
        "campaign_id": campaign.id,
        "campaign_version": campaign.version,
        "recipient_count": audiences.reach(session, campaign).total,
        "report": {"rewards": terms(rewards_of(session, campaign.id))},
        "created_at": NOW,
    }
    preview = AirdropPreview(id=new_id(), **{**values, **changes})
    session.add(preview)
    session.flush()
    return preview
