"""What a kind of wallet may sign: the allowed payloads, and every step outside of them."""

from random import Random
from typing import Any

import pytest

from tests.factories.wallets import CONTRACT, make_payload
from wallets.models import WalletKind
from wallets.policy import MAX_GAS, is_no_op, refusal

RELAYER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
NO_OP = {"to": RELAYER, "data": b"", "gas": 21_000}


def refuse(kind: WalletKind = WalletKind.RELAYER, **changes: Any) -> str | None:
    """Of an approved payload with these changes."""
    return refusal(kind, RELAYER, make_payload(**changes), is_approved=True)


class TestRefusal:
    @pytest.mark.parametrize("kind", [WalletKind.RELAYER, WalletKind.ISSUER])
    def test_relayer_and_issuer_may_sign_an_approved_call(self, kind: WalletKind) -> None:
        assert refuse(kind) is None

    def test_a_relayer_may_create_an_approved_contract(self) -> None:
        assert refuse(to=None) is None

    @pytest.mark.parametrize("changes", [{}, {"to": None}, {"data": b""}])
    def test_a_call_that_nobody_approved_is_refused(self, changes: dict[str, Any]) -> None:
        said = refusal(WalletKind.RELAYER, RELAYER, make_payload(**changes), is_approved=False)
        assert said == "nobody approved this call"

    def test_a_no_op_needs_no_approval(self) -> None:
        payload = make_payload(**NO_OP)
        assert refusal(WalletKind.RELAYER, RELAYER, payload, is_approved=False) is None

    @pytest.mark.parametrize("change", [{"to": CONTRACT}, {"data": b"\0"}, {"gas": 21_001}])
    def test_one_step_from_a_no_op_is_none(self, change: dict[str, Any]) -> None:
        payload = make_payload(**{**NO_OP, **change})
        assert not is_no_op(RELAYER, payload)
        assert refusal(WalletKind.RELAYER, RELAYER, payload, is_approved=False)

    @pytest.mark.parametrize("changes", [{}, NO_OP])
    def test_members_keys_sign_no_transaction(self, changes: dict[str, Any]) -> None:
        said = refuse(WalletKind.MEMBER, **changes)
        assert said == "only relayers and issuers sign transactions"

    @pytest.mark.parametrize("gas", [21_000, MAX_GAS])
    def test_gas_at_the_limits_is_allowed(self, gas: int) -> None:
        assert refuse(gas=gas) is None

    def test_a_tip_of_the_whole_fee_is_allowed(self) -> None:
        assert refuse(max_fee_per_gas=5, max_priority_fee_per_gas=5) is None

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"value": 1}, "the transaction carries value"),
            ({"gas": 20_999}, "a gas limit of 20999 is outside"),
            ({"gas": MAX_GAS + 1}, "a gas limit of 16777217 is outside"),
            (
                {"max_fee_per_gas": 5, "max_priority_fee_per_gas": 6},
                "the tip is above the fee cap",
            ),
        ],
    )
    def test_one_step_outside_is_refused(self, changes: dict[str, Any], sentence: str) -> None:
        assert sentence in (refuse(**changes) or "")

    def test_ten_thousand_steps_outside_are_refused_and_as_many_inside_are_not(self) -> None:
        random = Random(7)
        outside = [
            lambda: {"value": random.randint(1, 2**200)},
            lambda: {"gas": random.randint(0, 20_999)},
            lambda: {"gas": MAX_GAS + random.randint(1, 2**40)},
            lambda: {"max_fee_per_gas": 10, "max_priority_fee_per_gas": random.randint(11, 2**90)},
        ]
        for _ in range(10_000):
            price = random.randint(1, 2**90)
            inside = {
                "nonce": random.randint(0, 2**60),
                "data": random.randbytes(random.randint(0, 40)),
                "gas": random.randint(21_000, MAX_GAS),
                "max_fee_per_gas": price,
                "max_priority_fee_per_gas": random.randint(0, price),
            }
            assert refuse(**inside) is None
            assert refuse(**{**inside, **random.choice(outside)()})
            assert refusal(WalletKind.RELAYER, RELAYER, make_payload(**inside), is_approved=False)
