"""The signing ledger: one nonce, one call, whoever asks at the same time and whoever dies."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from core.db import Role, unit_of_work
from core.types import MerchantId
from tests.factories.wallets import forge, make_payload, make_wallet, sign
from tests.signing import acting_as
from wallets.errors import SigningRefusedError
from wallets.models import Signature
from wallets.service import sign_transactions

THREADS, NONCES = 20, 40
PRICE, TIP = 2_000_000_000, 1_000_000_000


def count(session: Session) -> int:
    with acting_as(session, Role.SIGNER):
        return session.scalar(select(func.count()).select_from(Signature)) or 0


class TestLedger:
    def test_a_signature_leaves_an_entry(self, session: Session) -> None:
        wallet = make_wallet(session)
        signed = sign(session, wallet.address, make_payload())
        with acting_as(session, Role.SIGNER):
            [entry] = session.scalars(select(Signature))
        assert (entry.address, entry.nonce, entry.tx_hash) == (wallet.address, 7, signed.tx_hash)
        assert (entry.gas, entry.max_fee_per_gas) == (100_000, PRICE)

    def test_another_call_for_the_nonce_is_refused(self, session: Session) -> None:
        wallet = make_wallet(session)
        sign(session, wallet.address, make_payload())
        with pytest.raises(SigningRefusedError, match="nonce 7 belongs to another call"):
            sign(session, wallet.address, make_payload(data=b"other", max_fee_per_gas=10 * PRICE))
        sign(session, wallet.address, make_payload(data=b"other", nonce=8))
        assert count(session) == 2

    def test_another_chain_or_relayer_has_nonces_of_its_own(self, session: Session) -> None:
        one, two = make_wallet(session), make_wallet(session)
        sign(session, one.address, make_payload())
        sign(session, one.address, make_payload(data=b"other", chain_id=5))
        sign(session, two.address, make_payload(data=b"other"))

    @pytest.mark.parametrize(
        ("price", "tip"),
        [
            (PRICE * 11 // 10 - 1, TIP * 2),
            (PRICE * 2, TIP * 11 // 10 - 1),
            (PRICE * 2, TIP),
            (PRICE // 2, TIP // 2),
        ],
    )
    def test_a_replacement_that_no_node_takes_is_refused(
        self, session: Session, price: int, tip: int
    ) -> None:
        wallet = make_wallet(session)
        sign(session, wallet.address, make_payload())
        dearer = make_payload(max_fee_per_gas=price, max_priority_fee_per_gas=tip)
        with pytest.raises(SigningRefusedError, match="higher fees"):
            sign(session, wallet.address, dearer)

    def test_a_tenth_more_on_both_is_signed(self, session: Session) -> None:
        wallet = make_wallet(session)
        sign(session, wallet.address, make_payload())
        fees = {"max_fee_per_gas": PRICE * 11 // 10, "max_priority_fee_per_gas": TIP * 11 // 10}
        sign(session, wallet.address, make_payload(**fees))
        with pytest.raises(SigningRefusedError):  # the dearest counts, not the newest
            sign(session, wallet.address, make_payload(max_fee_per_gas=PRICE + 1))

    def test_the_same_bytes_may_be_asked_for_again(self, session: Session) -> None:
        wallet = make_wallet(session)
        first = sign(session, wallet.address, make_payload())
        assert sign(session, wallet.address, make_payload()) == first

    def test_a_no_op_may_take_a_nonce_and_nothing_may_take_it_back(self, session: Session) -> None:
        wallet = make_wallet(session)
        sign(session, wallet.address, make_payload())
        no_op = make_payload(to=wallet.address, data=b"", gas=21_000)
        sign(session, wallet.address, no_op)
        with pytest.raises(SigningRefusedError, match="belongs to another call"):
            sign(session, wallet.address, make_payload(max_fee_per_gas=10 * PRICE, data=b"third"))

    def test_a_rollback_frees_the_nonce(self, merchant_id: MerchantId) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            address = make_wallet(session).address
        with unit_of_work(merchant=merchant_id) as session:
            sign(session, address, make_payload())
            session.rollback()
        with unit_of_work(merchant=merchant_id) as session:
            sign(session, address, make_payload(data=b"other"))

    def test_entries_of_another_home_do_not_bind(self, session: Session) -> None:
        wallet = make_wallet(session)
        sign(session, wallet.address, make_payload())
        with acting_as(session):
            session.execute(text("UPDATE signatures SET home = 'elsewhere', caller = 2^50"))
        sign(session, wallet.address, make_payload(data=b"other"))

    def test_many_at_once_sign_one_call_a_nonce(self, merchant_id: MerchantId) -> None:
        """Nobody takes turns: every thread wants its own call for every nonce."""
        with unit_of_work(merchant=merchant_id) as session:
            address = make_wallet(session).address

        def work(thread: int) -> list[int]:
            won = []
            for nonce in range(NONCES):
                payload = make_payload(nonce=nonce, data=bytes([thread]))
                try:
                    with unit_of_work(merchant=merchant_id) as session:
                        sign(session, address, payload)
                except SigningRefusedError:
                    continue
                won.append(nonce)
            return won

        with ThreadPoolExecutor(THREADS) as pool:
            won = Counter(nonce for part in pool.map(work, range(THREADS)) for nonce in part)
        assert won == Counter(range(NONCES))

    @pytest.mark.parametrize(
        "statement", ["UPDATE signatures SET nonce = 9", "DELETE FROM signatures"]
    )
    def test_nobody_changes_it(self, merchant: Merchant, statement: str) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission"),
            unit_of_work(merchant=merchant.id, role=Role.SIGNER) as session,
        ):
            session.execute(text(statement))


class TestApprovals:
    def test_what_was_never_approved_is_refused(self, session: Session) -> None:
        wallet = make_wallet(session)
        payload = make_payload()
        with pytest.raises(SigningRefusedError, match="nobody approved this call"):
            sign_transactions(session, wallet.address, [payload])
        sign(session, wallet.address, payload)

    @pytest.mark.parametrize("changes", [{"data": b"\1\2\3"}, {"to": None}, {"chain_id": 1}])
    def test_an_approval_is_of_one_call(self, session: Session, changes: dict[str, object]) -> None:
        wallet = make_wallet(session)
        sign(session, wallet.address, make_payload())
        with pytest.raises(SigningRefusedError, match="nobody approved"):
            sign_transactions(session, wallet.address, [make_payload(nonce=8, **changes)])

    def test_forged_bytes_leave_no_entry(self, session: Session) -> None:
        forge(session, make_wallet(session).address, make_payload())
        assert count(session) == 0
