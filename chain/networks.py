"""Chains and lanes: which nodes, which finality line, which relayer."""

from collections.abc import Callable
from datetime import datetime
from functools import cache

from eth_typing import ChecksumAddress
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chain.client import ChainClient
from chain.errors import ChainForgottenError, ChainMismatchError, UnknownChainError
from chain.models import Chain, ChainKind, ContractAddress, LaneRole, NonceLane
from chain.settings import chain_settings
from core.db import merchant_of
from core.ids import new_id
from core.types import LaneId, MerchantId
from wallets.models import Wallet, WalletKind
from wallets.service import create_wallets

FINALIZED_TAG = None


def urls_of(chain: Chain) -> list[str]:
    """Node URLs of a chain; the embedded one answers where this process was told."""
    if chain.kind is ChainKind.EMBEDDED:
        return chain_settings().rpc_urls or [chain_settings().local_url]
    return [str(url) for url in chain.rpc_urls]


def client_for(chain: Chain) -> ChainClient:
    """The client of a chain; connections are shared by all callers in the process."""
    return _client(chain.name, tuple(urls_of(chain)))


@cache
def _client(name: str, urls: tuple[str, ...]) -> ChainClient:
    return ChainClient(name, urls)


def get_chain(session: Session, chain_id: int) -> Chain:
    """The chain row.

    Raises:
        UnknownChainError: there is none.
    """
    chain = session.get(Chain, chain_id)
    if chain is None:
        raise UnknownChainError(chain_id)
    return chain


def ensure_chain(session: Session, *, kind: ChainKind, client: ChainClient) -> Chain:
    """The first chain's row exists, seeded from the settings, and the node serves that chain.

    The addresses of its nodes follow the settings at every start; everything else stays as it was
    seeded.

    Raises:
        ChainMismatchError: the node's id is not the configured or stored one.
        ChainForgottenError: the node serves the right id with another history.
        ChainUnavailableError: no node answers.
    """
    settings = chain_settings()
    found = client.chain_id()
    if found != settings.id:
        raise ChainMismatchError(settings.name, settings.id, found)
    session.execute(
        insert(Chain)
        .values(
            id=settings.id,
            kind=kind,
            name=settings.name,
            rpc_urls=[] if kind is ChainKind.EMBEDDED else settings.rpc_urls,
            explorer_url=settings.explorer_url,
            native_symbol=settings.native_symbol,
            confirmations=settings.confirmations,
            final_number=0,
        )
        .on_conflict_do_nothing()
    )
    chain = get_chain(session, settings.id)
    check_identity(chain, client)
    if chain.kind is ChainKind.EXTERNAL:
        chain.rpc_urls = settings.rpc_urls
    return chain


def check_identity(chain: Chain, client: ChainClient) -> None:
    """The node still has the newest block that was final.

    The genesis block would say less, and the development chain makes a new one at every start.

    Raises:
        ChainForgottenError: another block at that height, or a head below it.
    """
    if chain.final_hash is None:
        return
    found = client.block_hash(chain.final_number)
    if found != chain.final_hash:
        detail = "is not there" if found is None else "is another one"
        raise ChainForgottenError(chain.name, f"its block {chain.final_number} {detail}")


def advance_finality(session: Session, chain_id: int, *, number: int, block_hash: bytes) -> None:
    """The newest final block is at least this one.

    Locks: the chain.
    """
    chain = session.get_one(Chain, chain_id, with_for_update=True, populate_existing=True)
    if chain.final_hash is None or number > chain.final_number:
        chain.final_number, chain.final_hash = number, block_hash


def finality_line(
    chain: Chain, client: ChainClient, *, durable: Callable[[], int] | None = None
) -> int:
    """The newest block that counts as final.

    Args:
        durable: for the embedded chain, the newest block that survives a kill of its process.
    """
    if chain.confirmations is FINALIZED_TAG:
        line = client.finalized_number()
    else:
        line = max(0, client.head().number - chain.confirmations)
    return line if durable is None else min(line, durable())


def ensure_lane(
    session: Session,
    chain: Chain,
    client: ChainClient,
    *,
    role: LaneRole = LaneRole.RELAYER,
    at: datetime,
) -> NonceLane:
    """The merchant has an account of this role on the chain.

    Each chain has a relayer of its own; the issuer is one account on all of them.

    Raises:
        ChainUnavailableError: the account's first nonce could not be read.

    Locks: an advisory one a (merchant, chain), so that two first starts make one lane.
    """
    session.execute(
        select(func.pg_advisory_xact_lock(func.hashtext(f"lane:{merchant_of(session)}:{chain.id}")))
    )
    lane = find_lane(session, chain.id, role)
    if lane is not None:
        return lane
    if role is LaneRole.ISSUER:
        address = issuer_address(session, at=at)
    else:
        [address] = create_wallets(session, WalletKind.RELAYER, owners=[None], at=at)
    first, head = client.transaction_count(address), client.head()
    lane = NonceLane(
        id=LaneId(new_id()),
        chain_id=chain.id,
        role=role,
        address=address,
        next_nonce=first,
        base_nonce=first,
        base_block=head.number,
    )
    session.add(lane)
    session.flush()
    return lane


def find_lane(
    session: Session, chain_id: int, role: LaneRole = LaneRole.RELAYER
) -> NonceLane | None:
    """The merchant's lane of this role on the chain, or None before there is one."""
    return session.scalar(
        select(NonceLane).where(NonceLane.chain_id == chain_id, NonceLane.role == role)
    )


def issuer_address(session: Session, *, at: datetime) -> ChecksumAddress:
    """The account that owns the merchant's contracts, made at first need."""
    found = session.scalar(select(Wallet.address).where(Wallet.kind == WalletKind.ISSUER))
    if found is not None:
        return found
    [address] = create_wallets(session, WalletKind.ISSUER, owners=[None], at=at)
    return address


def register_contract(session: Session, chain_id: int, address: ChecksumAddress) -> None:
    """Public pages find the merchant of this contract from now on; repeating changes nothing."""
    session.execute(
        insert(ContractAddress)
        .values(chain_id=chain_id, address=address, merchant_id=merchant_of(session))
        .on_conflict_do_nothing()
    )


def find_contract(session: Session, chain_id: int, address: ChecksumAddress) -> MerchantId | None:
    """The merchant a contract belongs to, or None for a stranger's contract."""
    row = session.get(ContractAddress, (chain_id, address))
    return None if row is None else row.merchant_id
