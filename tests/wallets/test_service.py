"""Keys are made, sealed and used; no path gives one out or opens one for somebody else."""

import logging
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from core.db import Role, unit_of_work
from core.ids import new_id
from core.types import MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.wallets import make_payload, make_wallet, sign
from tests.signing import acting_as, reveal
from wallets import approvals, data_keys, sealed
from wallets.approvals import Call
from wallets.errors import CiphertextError, SigningRefusedError, WalletNotFoundError
from wallets.models import DataKey, Wallet, WalletKind
from wallets.service import WALLETS_A_DATA_KEY, create_wallets, sign_transactions

OTHER_KEY = bytes.fromhex("22" * 32)


def count_wallets(merchant: MerchantId) -> int:
    with unit_of_work(merchant=merchant) as session:
        return session.scalar(select(func.count()).select_from(Wallet)) or 0


def opened_shard(session: Session, wallet: Wallet) -> sealed.Shard:
    data_key = session.get_one(DataKey, wallet.data_key_id)
    reveal(session, wallet, data_key)
    return data_keys.shard_of(data_key)


def swap_rows(session: Session, one: Wallet, two: Wallet, *columns: str) -> None:
    """What a person with write access to the table could do."""
    reveal(session, one, two)
    values = [{name: getattr(wallet, name) for name in columns} for wallet in (two, one)]
    session.expunge_all()
    with acting_as(session):
        for wallet, taken in zip((one, two), values, strict=True):
            session.execute(update(Wallet).where(Wallet.id == wallet.id).values(**taken))


class TestCreateWallets:
    def test_addresses_come_in_the_order_of_the_owners(self, session: Session) -> None:
        owners = [new_id() for _ in range(30)]
        addresses = create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)
        rows = session.execute(select(Wallet.owner_id, Wallet.address)).all()
        assert dict(rows) == dict(zip(owners, addresses, strict=True))
        assert len(set(addresses)) == 30

    def test_nobody_needs_no_wallet(self, session: Session) -> None:
        assert create_wallets(session, WalletKind.MEMBER, owners=[], at=NOW) == []

    def test_every_row_has_a_salt_and_a_sealed_key_of_its_own(self, session: Session) -> None:
        create_wallets(session, WalletKind.MEMBER, owners=[new_id() for _ in range(20)], at=NOW)
        with acting_as(session, Role.SIGNER):
            assert len(set(session.scalars(select(Wallet.salt)))) == 20
            assert len(set(session.scalars(select(Wallet.ciphertext)))) == 20

    def test_an_owner_has_one_wallet_of_a_kind(self, merchant: Merchant) -> None:
        owner = new_id()
        with unit_of_work(merchant=merchant.id) as session:
            make_wallet(session, WalletKind.MEMBER, owner)
        with (
            pytest.raises(IntegrityError, match="uq_wallets_merchant_id_kind_owner_id"),
            unit_of_work(merchant=merchant.id) as session,
        ):
            make_wallet(session, WalletKind.MEMBER, owner)

    def test_more_wallets_than_a_statement_holds_are_stored_in_order(
        self, session: Session
    ) -> None:
        owners = [new_id() for _ in range(2_500)]
        addresses = create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)
        rows = session.execute(select(Wallet.owner_id, Wallet.address)).all()
        assert dict(rows) == dict(zip(owners, addresses, strict=True))
        assert len(set(addresses)) == 2_500

    def test_a_full_data_key_is_followed_by_another(self, session: Session) -> None:
        make_wallet(session)
        first = session.scalars(select(DataKey)).one()
        first.wallet_count = WALLETS_A_DATA_KEY - 2
        owners = [new_id() for _ in range(5)]
        create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)
        counts = session.scalars(select(DataKey.wallet_count).order_by(DataKey.id)).all()
        assert counts == [WALLETS_A_DATA_KEY, 3]

    def test_two_first_needs_at_once_end_in_one_wallet(self, committed: None) -> None:
        merchant, owner = make_merchant().id, new_id()

        def create(_number: int) -> bool:
            try:
                with unit_of_work(merchant=merchant) as session:
                    create_wallets(session, WalletKind.MEMBER, owners=[owner], at=NOW)
            except IntegrityError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(create, range(4))) == [False, False, False, True]
        assert count_wallets(merchant) == 1

    def test_parallel_sets_count_every_wallet_on_its_data_key(self, committed: None) -> None:
        merchant = make_merchant().id

        def create(number: int) -> None:
            with unit_of_work(merchant=merchant) as session:
                owners: list[UUID | None] = [new_id() for _ in range(number)]
                create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)

        create(1)
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(create, range(1, 11)))
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.sum(DataKey.wallet_count))) == 56
        assert count_wallets(merchant) == 56

    def test_a_count_read_before_the_lock_is_read_again_under_it(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            address = make_wallet(session).address
        with unit_of_work(merchant=merchant) as session:
            sign(session, address, make_payload())
            with unit_of_work(merchant=merchant) as other:
                make_wallet(other)
            make_wallet(session)
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(DataKey.wallet_count)) == 3

    def test_a_rollback_leaves_nothing(self, committed: None) -> None:
        merchant = make_merchant().id
        with pytest.raises(RuntimeError), unit_of_work(merchant=merchant) as session:
            make_wallet(session)
            raise RuntimeError
        assert count_wallets(merchant) == 0


class TestSignTransaction:
    def test_equal_payloads_give_equal_bytes(self, session: Session) -> None:
        address = make_wallet(session).address
        first = sign(session, address, make_payload())
        assert sign(session, address, make_payload()) == first

    def test_another_payload_gives_other_bytes(self, session: Session) -> None:
        address = make_wallet(session).address
        first = sign(session, address, make_payload())
        assert sign(session, address, make_payload(nonce=8)).raw != first.raw

    @pytest.mark.parametrize("to", [None, "0x5FbDB2315678afecb367f032d93F642f64180aa3"])
    def test_the_signature_is_the_wallets(self, session: Session, to: str | None) -> None:
        address = make_wallet(session).address
        signed = sign(session, address, make_payload(to=to))
        assert Account.recover_transaction(signed.raw) == address
        assert signed.tx_hash == keccak(signed.raw)

    def test_members_wallets_sign_nothing(self, session: Session) -> None:
        address = make_wallet(session, WalletKind.MEMBER, new_id()).address
        with pytest.raises(SigningRefusedError, match="A member wallet may not sign this"):
            sign(session, address, make_payload())

    @pytest.mark.parametrize("kind", [WalletKind.RELAYER, WalletKind.ISSUER])
    def test_what_is_approved_for_one_kind_the_other_does_not_sign(
        self, session: Session, kind: WalletKind
    ) -> None:
        payload = make_payload()
        call = Call(payload.chain_id, payload.to, payload.data, kind)
        approvals.approve(session, [call], at=NOW)
        for other in (WalletKind.RELAYER, WalletKind.ISSUER):
            address = make_wallet(session, other).address
            if other is kind:
                [signed] = sign_transactions(session, address, [payload])
                assert Account.recover_transaction(signed.raw) == address
            else:
                with pytest.raises(SigningRefusedError, match="nobody approved this call"):
                    sign_transactions(session, address, [payload])

    def test_a_payload_outside_the_policy_is_refused(self, session: Session) -> None:
        with pytest.raises(SigningRefusedError, match="carries value"):
            sign(session, make_wallet(session).address, make_payload(value=1))

    def test_an_unknown_address_is_refused(self, session: Session) -> None:
        with pytest.raises(WalletNotFoundError, match="holds no key for 0x5FbDB"):
            sign(session, "0x5FbDB2315678afecb367f032d93F642f64180aa3", make_payload())


class TestSealedRows:
    @pytest.mark.parametrize(
        "columns",
        [("ciphertext",), ("salt",), ("ciphertext", "salt"), ("ciphertext", "salt", "data_key_id")],
    )
    def test_a_row_filled_from_another_does_not_open(
        self, session: Session, columns: tuple[str, ...]
    ) -> None:
        one, two = make_wallet(session), make_wallet(session)
        swap_rows(session, one, two, *columns)
        for address in (one.address, two.address):
            with pytest.raises(CiphertextError, match=address):
                sign(session, address, make_payload())

    def test_a_members_row_made_a_relayer_does_not_open(self, session: Session) -> None:
        wallet = make_wallet(session, WalletKind.MEMBER, new_id())
        with acting_as(session):
            session.execute(
                update(Wallet).where(Wallet.id == wallet.id).values(kind=WalletKind.RELAYER)
            )
        session.expire_all()
        with pytest.raises(CiphertextError):
            sign(session, wallet.address, make_payload())

    def test_an_owner_written_into_a_row_does_not_open_it(self, session: Session) -> None:
        wallet = make_wallet(session)
        with acting_as(session):
            session.execute(update(Wallet).where(Wallet.id == wallet.id).values(owner_id=new_id()))
        session.expire_all()
        with pytest.raises(CiphertextError):
            sign(session, wallet.address, make_payload())

    def test_a_well_sealed_key_of_another_address_is_not_used(self, session: Session) -> None:
        wallet = make_wallet(session)
        shard = opened_shard(session, wallet)
        with acting_as(session):
            owner = sealed.owner_of(wallet)
            wallet.ciphertext = sealed.seal(shard, owner, OTHER_KEY, salt=wallet.salt)
        with pytest.raises(CiphertextError):
            sign(session, wallet.address, make_payload())

    def test_a_wallet_copied_to_another_data_key_does_not_open(self, session: Session) -> None:
        wallet = make_wallet(session)
        with acting_as(session):
            values = session.execute(select(DataKey.__table__)).mappings().one()
            copy = {**values, "id": new_id()}
            session.execute(insert(DataKey).values(**copy))
            wallet.data_key_id = copy["id"]
        with pytest.raises(Exception, match=r"does not open|is not the one this data"):
            sign(session, wallet.address, make_payload())


class TestSecrecy:
    def test_no_representation_and_no_log_line_holds_a_key(
        self, session: Session, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        wallet = make_wallet(session)
        signed = sign(session, wallet.address, make_payload())
        shard = opened_shard(session, wallet)
        secret, data_key = sealed.open_key(shard, wallet), shard.data_key
        out, err = capsys.readouterr()
        seen = "".join(
            (repr(wallet), str(vars(wallet)), repr(shard), repr(signed), caplog.text, out, err)
        )
        for key in (secret, data_key):
            assert key.hex() not in seen
            assert repr(key)[2:-1] not in seen
            assert key not in signed.raw

    def test_the_stored_rows_do_not_show_the_key(self, session: Session) -> None:
        wallet = make_wallet(session)
        secret = sealed.open_key(opened_shard(session, wallet), wallet)
        assert secret not in wallet.ciphertext
        data_key = session.get_one(DataKey, wallet.data_key_id)
        reveal(session, data_key)
        assert secret not in data_key.wrapped
