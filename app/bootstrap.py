"""First start: the organisation, its chain, its accounts there and its pass contract exist."""

from datetime import datetime

from app.accounts.models import Merchant
from app.accounts.service import ensure_installation
from chain import local
from chain.client import ChainClient
from chain.models import ChainKind, LaneRole
from chain.networks import client_for, ensure_chain, ensure_lane
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import MerchantId
from minting import passes
from minting.content import ContentStore, content_store
from minting.metadata import pass_document


def prepare_installation(*, at: datetime) -> MerchantId:
    """Everything a merchant needs before its first member; repeating changes nothing.

    Raises:
        ChainMismatchError: the node serves another chain.
        ChainForgottenError: the node lost what was final.
        ChainUnavailableError: no node answers.
    """
    with unit_of_work() as session:
        merchant = ensure_installation(session, at=at)
    settings = chain_settings()
    kind = ChainKind.EMBEDDED if settings.is_embedded else ChainKind.EXTERNAL
    with unit_of_work(merchant=merchant.id) as session:
        seed = ChainClient(settings.name, settings.rpc_urls or [settings.local_url])
        chain = ensure_chain(session, kind=kind, client=seed)
        client = client_for(chain)
        lane, issuer = (
            ensure_lane(session, chain, client, role=role, at=at)
            for role in (LaneRole.RELAYER, LaneRole.ISSUER)
        )
        if kind is ChainKind.EMBEDDED:
            local.fund(client, lane.address)
            local.fund(client, issuer.address)
        passes.define_contract(
            session,
            lane,
            name=f"{merchant.name} Pass",
            symbol="PASS",
            metadata_cid=_pass_metadata(merchant, content_store()),
            at=at,
        )
    return merchant.id


def _pass_metadata(merchant: Merchant, store: ContentStore) -> str:
    cid = store.put(pass_document(name=f"{merchant.name} Pass", issuer=merchant.name))
    store.pin(cid)
    return cid
