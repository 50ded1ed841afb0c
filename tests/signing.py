"""A signer for tests, inside the transaction that asks: what is rolled back was never signed.

The product asks a process behind a socket, which cannot see the rows of an open transaction; that
process has tests of its own. Questions and answers go through JSON here, too.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, select, text
from sqlalchemy.orm import Session

from app.postgres import OWNER, EmbeddedPostgres
from core.db import Role
from wallets import data_keys, operations, sealed
from wallets.client import CALLER, Answer
from wallets.models import DataKey, Wallet


class SameSession:
    """Performs operations as the signer's role, in the caller's transaction."""

    def ask(self, session: Session, operation: str, arguments: Mapping[str, Any]) -> Answer:
        """As `wallets.client.Signer`."""
        given = json.loads(json.dumps(arguments))
        return lambda: _perform(session, operation, given)


def login(server: EmbeddedPostgres, **options: Any) -> Engine:
    """Connections of a role without rights, which may take on the product's and the signer's."""
    owner = create_engine(server.owner_url)
    with owner.begin() as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = 'tests'")):
            connection.execute(text("CREATE ROLE tests LOGIN NOINHERIT"))
            connection.execute(
                text(f"GRANT cohort_app, cohort_engine, cohort_signer, {OWNER} TO tests")
            )
    owner.dispose()
    return create_engine(make_url(server.login_url).set(username="tests"), **options)


def _perform(session: Session, operation: str, arguments: Mapping[str, Any]) -> Any:
    with acting_as(session, Role.SIGNER):
        caller = int(session.scalar(CALLER) or 0)
        answer = operations.perform(session, operation, arguments, caller=caller)
        return json.loads(json.dumps(answer))


@contextmanager
def acting_as(session: Session, wanted: str = OWNER) -> Iterator[None]:
    """Inside the block the transaction has another role's rights: the owner's may do all."""
    session.flush()
    role = session.scalar(text("SELECT current_user"))
    _take_on(session, wanted)
    try:
        with session.no_autoflush:
            yield
            session.flush()
    finally:
        if session.is_active:
            _take_on(session, str(role))


def _take_on(session: Session, role: str) -> None:
    session.execute(text("SELECT set_config('role', :role, true)"), {"role": role})


def reveal(session: Session, *rows: Wallet | DataKey) -> None:
    """The rows show what only the signer may read."""
    with acting_as(session):
        for row in rows:
            names = ["salt", "ciphertext"] if isinstance(row, Wallet) else ["wrapped"]
            session.refresh(row, names)


def stolen_key(session: Session, address: str) -> bytes:
    """The private key, as somebody has it who opened the database and the key of keys."""
    with acting_as(session):
        wallet = session.scalars(select(Wallet).where(Wallet.address == address)).one()
        data_key = session.get_one(DataKey, wallet.data_key_id)
        reveal(session, wallet, data_key)
    return sealed.open_key(data_keys.shard_of(data_key), wallet)
