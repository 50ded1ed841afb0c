"""Keys of members destroyed: for good, and no others."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import Role
from core.ids import new_id
from tests.conftest import NOW
from tests.factories.wallets import make_payload, make_wallet, sign
from tests.signing import acting_as, reveal, stolen_key
from wallets import data_keys
from wallets.errors import CiphertextError, WalletInUseError, WalletNotFoundError
from wallets.models import DataKey, Signature, Wallet, WalletKind
from wallets.rotation import _move
from wallets.service import destroy_wallets


def make(session: Session) -> Wallet:
    return make_wallet(session, WalletKind.MEMBER, new_id())


class TestDestroy:
    def test_leaves_the_address_and_no_key(self, session: Session) -> None:
        gone, kept = make(session), make(session)
        assert gone.owner_id is not None
        assert destroy_wallets(session, [gone.owner_id]) == 1
        session.refresh(gone)
        reveal(session, gone)
        assert (gone.salt, gone.ciphertext) == (b"", b"")
        assert gone.destroyed_at is not None
        assert len(stolen_key(session, kept.address)) == 32
        with pytest.raises((CiphertextError, ValueError)):
            stolen_key(session, gone.address)

    def test_again_destroys_nothing_more(self, session: Session) -> None:
        wallet = make(session)
        assert wallet.owner_id is not None
        assert destroy_wallets(session, [wallet.owner_id, new_id()]) == 1
        assert destroy_wallets(session, [wallet.owner_id]) == 0

    @pytest.mark.parametrize("kind", [WalletKind.RELAYER, WalletKind.ISSUER])
    def test_never_reaches_the_keys_of_the_brand(self, session: Session, kind: WalletKind) -> None:
        owner = new_id()
        wallet = make_wallet(session, kind, owner)
        assert destroy_wallets(session, [owner]) == 0
        assert len(stolen_key(session, wallet.address)) == 32

    def test_is_refused_for_a_wallet_that_signed(self, session: Session) -> None:
        member, relayer = make(session), make_wallet(session)
        sign(session, relayer.address, make_payload())
        with acting_as(session):
            session.scalars(select(Signature)).one().address = member.address
        assert member.owner_id is not None
        with pytest.raises(WalletInUseError, match=member.address):
            destroy_wallets(session, [member.owner_id])
        assert len(stolen_key(session, member.address)) == 32

    def test_a_destroyed_wallet_signs_nothing(self, session: Session) -> None:
        wallet = make(session)
        assert wallet.owner_id is not None
        destroy_wallets(session, [wallet.owner_id])
        with pytest.raises(WalletNotFoundError):
            sign(session, wallet.address, make_payload())

    def test_a_data_key_is_replaced_without_it(self, session: Session) -> None:
        wallet, other = make(session), make(session)
        assert wallet.owner_id is not None
        destroy_wallets(session, [wallet.owner_id])
        old = session.get_one(DataKey, wallet.data_key_id)
        with acting_as(session, Role.SIGNER):
            successor = data_keys.generate(old.merchant_id, at=NOW)
            session.add(successor)
            session.flush()
            old.replaced_by_id = successor.id
            session.flush()
            rows = session.scalars(select(Wallet).order_by(Wallet.id)).all()
            for row in rows:
                session.refresh(row, ["salt", "ciphertext", "destroyed_at"])
            assert _move(session, old.id, rows) == 2
        for row in (wallet, other):
            session.refresh(row)
            assert row.data_key_id == successor.id
        assert len(stolen_key(session, other.address)) == 32
