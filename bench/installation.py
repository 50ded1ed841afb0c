"""An installation for benchmarks: PostgreSQL and a chain of its own, and members with passes.

Members are written by set-based SQL with keys nobody has, and their passes are issued by a second
minter, so that a million of them exist in minutes; what is measured begins afterwards.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import psycopg
from eth_utils.address import to_checksum_address
from sqlalchemy.orm import Session

from app import database, engine
from app.bootstrap import prepare_installation
from app.postgres import EmbeddedPostgres
from bench.node import SENDER, Node, node
from chain.bindings import membership_pass, roles
from core.db import unit_of_work
from core.ids import new_id
from core.settings import core_settings
from core.types import AssetId, MerchantId, utc_now
from minting import assets
from minting.content import content_store
from minting.drafts import AssetDraft
from minting.media import Media, Rendition
from minting.models import ContractState, DigitalAsset
from minting.passes import find_contract
from wallets.client import is_listening

FULL = membership_pass.MAX_BATCH
PATIENCE_SECONDS = 60


class Parts(NamedTuple):
    """What runs.

    Args:
        signer: the id of its process.
    """

    chain: Node
    signer: int


@contextmanager
def parts() -> Iterator[Parts]:
    """Database, chain, signer; processes started meanwhile find them in the environment."""
    home = Path(tempfile.mkdtemp(prefix="cohort-bench-"))
    server = EmbeddedPostgres(home / "postgres")
    server.initialise()
    with node(mines=True) as chain, _running(server):
        database.prepare(server.owner_url, server.login_url, server.signer_url)
        os.environ.update(
            COHORT_DATA_DIR=str(home),
            COHORT_DATABASE_URL=server.login_url,
            COHORT_DATABASE_OWNER_URL=server.owner_url,
            COHORT_DATABASE_SIGNER_URL=server.signer_url,
            COHORT_LOG_LEVEL="ERROR",
            CHAIN_RPC_URLS=chain.url,
            CHAIN_CONFIRMATIONS="0",
        )
        with signing(server) as signer:
            yield Parts(chain, signer)
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def signing(server: EmbeddedPostgres) -> Iterator[int]:
    """A signer's process, as the product runs it; its id."""
    core_settings.cache_clear()
    command = [sys.executable, "-m", "wallets.signer"]
    environment = {**os.environ, "COHORT_DATABASE_URL": server.signer_url}
    with subprocess.Popen(command, env=environment) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not is_listening() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()


def plain_url() -> str:
    """Where the database is, for psycopg itself, as the owner of the tables."""
    return os.environ["COHORT_DATABASE_OWNER_URL"].replace("+psycopg", "")


@contextmanager
def _running(server: EmbeddedPostgres) -> Iterator[None]:
    with subprocess.Popen(server.command(), stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not database.answers(server.owner_url) and time.monotonic() < deadline:
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGINT)


def set_up(*, members: int, editions: int) -> MerchantId:
    """A merchant with a live pass contract, members with active passes, and live assets.

    Call it in a process that was started inside `parts`: settings are read once a process.
    """
    chain = Node(os.environ["CHAIN_RPC_URLS"])
    merchant = prepare_installation(at=utc_now())
    [place] = engine.workplaces()
    with unit_of_work(merchant=merchant) as session:
        lane = engine.lane_of(session, place.chain)
        chain.call("anvil_setBalance", lane.address, hex(10**24))
    step_until(merchant, _has_pass_contract)
    for number in range(editions):
        _publish(merchant, f"Edition {number}")
    _add_members(chain, merchant, members)
    return merchant


def step_until(merchant: MerchantId, ready: Callable[[Session], bool]) -> None:
    """The engine goes on until `ready` says so."""
    [place] = engine.workplaces()
    while True:
        engine.step(place)
        with unit_of_work(merchant=merchant) as session:
            if ready(session):
                return


def _has_pass_contract(session: Session) -> bool:
    contract = find_contract(session)
    return contract is not None and contract.state is ContractState.LIVE


def _publish(merchant: MerchantId, title: str) -> None:
    rendition = Rendition(secrets.token_bytes(64), "image/webp", 400, 400)
    media = Media(original=rendition, renditions=(rendition,))
    with unit_of_work(merchant=merchant) as session:
        draft = AssetDraft(internal_name=title, title=title)
        asset = assets.create(session, content_store(), draft, media, at=utc_now())
        assets.publish(session, content_store(), asset, issuer_name="Brand", at=utc_now())
        asset_id: AssetId = asset.id
    step_until(
        merchant,
        lambda session: session.get_one(DigitalAsset, asset_id).state is ContractState.LIVE,
    )


def _add_members(chain: Node, merchant: MerchantId, count: int) -> None:
    with unit_of_work(merchant=merchant) as session:
        contract = find_contract(session)
        assert contract is not None and contract.address is not None
        registry = contract.address
    owner = to_checksum_address("0x" + owner_of(chain, registry))
    chain.call("anvil_impersonateAccount", owner)
    chain.call("anvil_setBalance", owner, hex(10**20))
    chain.send(roles.encode_set_minter(SENDER, allowed=True), registry, sender=owner)
    with psycopg.connect(plain_url()) as connection:
        key_id = new_id()
        connection.execute(
            "INSERT INTO data_keys (id, merchant_id, kek_id, wrapped, wallet_count, created_at)"
            " VALUES (%s, %s, 'none', '', %s, now())",
            (key_id, merchant, count),
        )
        for number, start in enumerate(range(0, count, FULL)):
            members = sorted(secrets.token_bytes(20) for _ in range(min(FULL, count - start)))
            packed = membership_pass.pack_members(members)
            chain.send(membership_pass.encode_issue(number, packed), registry)
            _write(connection, merchant, key_id, number, members)
        connection.execute("UPDATE pass_contracts SET next_batch = %s", (-(-count // FULL),))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE users, wallets, passes")


def owner_of(chain: Node, contract: str) -> str:
    """The owner of a contract, as forty hexadecimal digits."""
    call = {"to": contract, "data": "0x" + roles.encode_owner().hex()}
    return str(chain.call("eth_call", call, "latest"))[-40:]


def _write(
    connection: psycopg.Connection[tuple[object, ...]],
    merchant: MerchantId,
    key_id: UUID,
    number: int,
    members: list[bytes],
) -> None:
    users = [new_id() for _ in members]
    wallets = [new_id() for _ in members]
    with connection.cursor() as cursor:
        with cursor.copy(
            "COPY users (id, merchant_id, email, email_key, name_key, state, source, mail_status,"
            " created_at, version) FROM STDIN"
        ) as copy:
            for user in users:
                mail = f"{user.hex}@example.com"
                row = (user, merchant, mail, mail, "", "active", "bench", "ok", utc_now(), 1)
                copy.write_row(row)
        with cursor.copy(
            "COPY wallets (id, merchant_id, kind, owner_id, address, data_key_id, salt, ciphertext,"
            " created_at) FROM STDIN"
        ) as copy:
            for wallet, user, member in zip(wallets, users, members, strict=True):
                sealed = (bytes(16), b"nobody has this key")
                copy.write_row(
                    (wallet, merchant, "member", user, member, key_id, *sealed, utc_now())
                )
        with cursor.copy(
            "COPY passes (id, merchant_id, user_id, wallet_id, address, state, batch_number, index,"
            " queued_at, active_at) FROM STDIN"
        ) as copy:
            for index, (user, wallet, member) in enumerate(
                zip(users, wallets, members, strict=True)
            ):
                place = ("active", number, index, utc_now(), utc_now())
                copy.write_row((new_id(), merchant, user, wallet, member, *place))
