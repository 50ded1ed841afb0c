"""Destroys keys of members for good: inside the signer only, and never undone.

The row stays, with its address, so that what the address holds on the chain can be told; what opens
the key is overwritten. A backup made before holds it until the backup is gone.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wallets.errors import WalletInUseError
from wallets.models import Signature, Wallet, WalletKind


def destroy(session: Session, owners: Sequence[UUID], *, at: datetime) -> int:
    """The members' wallets have no key any more; those that had none stay so.

    Returns:
        How many keys were destroyed.

    Raises:
        WalletInUseError: one of them signed something: whether that is final is not known here.
    """
    theirs = (Wallet.kind == WalletKind.MEMBER, Wallet.owner_id.in_(owners))
    busy = select(Wallet.address).join(Signature, Signature.address == Wallet.address)
    address = session.scalar(busy.where(*theirs).limit(1))
    if address is not None:
        raise WalletInUseError(address)
    gone = session.scalars(
        update(Wallet)
        .where(*theirs, Wallet.destroyed_at.is_(None))
        .values(salt=b"", ciphertext=b"", destroyed_at=at)
        .returning(Wallet.id)
        .execution_options(synchronize_session=False)
    ).all()
    return len(gone)
