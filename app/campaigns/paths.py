"""What the routers of campaigns share: the campaign behind an address, and the way back."""

from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from app.campaigns import service
from app.campaigns.models import Campaign
from core.ids import decode_id, encode_id
from core.types import CampaignId


def get_campaign(session: Session, text: str) -> Campaign:
    """The campaign of the address.

    Raises:
        UnknownIdentifierError, CampaignNotFoundError: there is none.
    """
    return service.get(session, CampaignId(decode_id("cmp", text)))


def get_draft(session: Session, text: str) -> Campaign:
    """The campaign of the address, if it can still be edited.

    Raises:
        UnknownIdentifierError, CampaignNotFoundError: there is none.
        InvalidTransitionError: it is published or over.
    """
    return service.must_be_draft(get_campaign(session, text), "edited")


def base_of(campaign: Campaign) -> str:
    """The address of the campaign."""
    return f"/admin/campaigns/{encode_id('cmp', campaign.id)}"


def to_step(campaign: Campaign, step: str) -> Response:
    """On to a step of the creation flow."""
    return RedirectResponse(f"{base_of(campaign)}/{step}", status_code=303)
