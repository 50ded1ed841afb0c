"""What a kind of wallet may sign: the allowed payload, and every step outside of it."""

from typing import Any

import pytest

from tests.factories.wallets import make_payload
from wallets.models import WalletKind
from wallets.policy import MAX_GAS, refusal


class TestRefusal:
    def test_a_relayer_may_sign_a_call_without_value(self) -> None:
        assert refusal(WalletKind.RELAYER, make_payload()) is None

    def test_a_relayer_may_create_a_contract(self) -> None:
        assert refusal(WalletKind.RELAYER, make_payload(to=None)) is None

    @pytest.mark.parametrize("kind", [WalletKind.MEMBER, WalletKind.ISSUER])
    def test_no_other_kind_signs_transactions(self, kind: WalletKind) -> None:
        assert refusal(kind, make_payload()) == "only relayers sign transactions"

    @pytest.mark.parametrize("gas", [21_000, MAX_GAS])
    def test_gas_at_the_limits_is_allowed(self, gas: int) -> None:
        assert refusal(WalletKind.RELAYER, make_payload(gas=gas)) is None

    def test_a_tip_of_the_whole_fee_is_allowed(self) -> None:
        payload = make_payload(max_fee_per_gas=5, max_priority_fee_per_gas=5)
        assert refusal(WalletKind.RELAYER, payload) is None

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
        assert sentence in (refusal(WalletKind.RELAYER, make_payload(**changes)) or "")
