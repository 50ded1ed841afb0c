"""A sealed key opens for the row it was sealed for, and for nothing else."""

import os
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from tests.factories.wallets import make_binding
from wallets.errors import CiphertextError
from wallets.vault import Binding, seal, unseal

DATA_KEY, SALT = bytes(range(32)), bytes(range(16))
SECRET = b"\x11" * 32
NONCE = bytes(range(100, 112))
OTHER_FIELDS = {
    "environment": "production",
    "merchant_id": UUID(int=11),
    "owner_id": UUID(int=12),
    "wallet_id": UUID(int=13),
    "address": "0x" + "ab" * 20,
    "data_key_id": UUID(int=14),
    "purpose": "relayer",
}
KNOWN_ANSWER = bytes.fromhex(
    "01000000000000000000000000000000046465666768696a6b6c6d6e6f37bb2a"
    "8360dc901b56d2d78d0c0fa6434224020761caa991a84ed233d24a312fecb997"
    "92b569b8b33b22099325774134"
)


def opened(sealed: bytes, *, binding: Binding) -> bytes:
    return unseal(sealed, data_key=DATA_KEY, salt=SALT, binding=binding)


def sealed_for(binding: Binding) -> bytes:
    return seal(SECRET, data_key=DATA_KEY, salt=SALT, binding=binding)


def prefixed(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(2, "big") + field for field in fields)


def known_answer() -> bytes:
    """The format of the module's docstring, written down a second time."""
    hkdf = HKDF(hashes.SHA256(), length=32, salt=SALT, info=b"wallet-key/v1")
    address = b"0x5FbDB2315678afecb367f032d93F642f64180aa3"
    ids = [UUID(int=number).bytes for number in (1, 2, 3, 4)]
    bound_to = prefixed(b"v1", b"development", *ids[:3], b"evm", address, ids[3], b"member")
    sealed = AESGCM(hkdf.derive(DATA_KEY)).encrypt(NONCE, SECRET, bound_to)
    return b"\x01" + ids[3] + NONCE + sealed


class TestSeal:
    def test_the_bytes_name_their_version_and_data_key(self) -> None:
        assert sealed_for(make_binding())[:17] == b"\x01" + UUID(int=4).bytes

    def test_the_secret_is_not_readable_in_them(self) -> None:
        assert SECRET not in sealed_for(make_binding())

    def test_sealing_twice_never_uses_a_nonce_twice(self) -> None:
        nonces = {sealed_for(make_binding())[17:29] for _ in range(500)}
        assert len(nonces) == 500


class TestUnseal:
    @given(secret=st.binary(min_size=32, max_size=32), salt=st.binary(min_size=16, max_size=16))
    def test_gives_back_what_was_sealed(self, secret: bytes, salt: bytes) -> None:
        binding = make_binding()
        sealed = seal(secret, data_key=DATA_KEY, salt=salt, binding=binding)
        assert unseal(sealed, data_key=DATA_KEY, salt=salt, binding=binding) == secret

    def test_a_wallet_without_owner_opens(self) -> None:
        binding = make_binding(owner_id=None)
        assert opened(sealed_for(binding), binding=binding) == SECRET

    @pytest.mark.parametrize("field", OTHER_FIELDS)
    def test_another_value_in_any_field_of_the_binding_is_refused(self, field: str) -> None:
        sealed = sealed_for(make_binding())
        with pytest.raises(CiphertextError, match="does not open"):
            opened(sealed, binding=make_binding(**{field: OTHER_FIELDS[field]}))

    def test_an_owner_in_place_of_none_is_refused(self) -> None:
        sealed = sealed_for(make_binding(owner_id=None))
        with pytest.raises(CiphertextError):
            opened(sealed, binding=make_binding())

    def test_another_data_key_behind_the_same_id_is_refused(self) -> None:
        sealed = sealed_for(make_binding())
        with pytest.raises(CiphertextError):
            unseal(sealed, data_key=os.urandom(32), salt=SALT, binding=make_binding())

    def test_another_salt_is_refused(self) -> None:
        sealed = sealed_for(make_binding())
        with pytest.raises(CiphertextError):
            unseal(sealed, data_key=DATA_KEY, salt=os.urandom(16), binding=make_binding())

    @pytest.mark.parametrize("number", range(8))
    def test_every_changed_byte_is_refused(self, number: int) -> None:
        sealed = sealed_for(make_binding())
        for place in range(len(sealed)):
            changed = bytearray(sealed)
            changed[place] ^= 1 << number
            with pytest.raises(CiphertextError):
                opened(bytes(changed), binding=make_binding())

    def test_every_cut_is_refused(self) -> None:
        sealed = sealed_for(make_binding())
        for length in range(len(sealed)):
            with pytest.raises(CiphertextError):
                opened(sealed[:length], binding=make_binding())

    @pytest.mark.parametrize("version", [0, 2, 255])
    def test_another_version_is_refused(self, version: int) -> None:
        with pytest.raises(CiphertextError):
            opened(bytes([version]) + sealed_for(make_binding())[1:], binding=make_binding())

    def test_the_sentence_names_the_address_and_no_key(self) -> None:
        with pytest.raises(CiphertextError) as caught:
            opened(b"", binding=make_binding())
        assert "0x5FbDB2315678afecb367f032d93F642f64180aa3" in str(caught.value)
        assert SECRET.hex() not in str(caught.value)


class TestKnownAnswer:
    def test_the_pinned_bytes_open(self) -> None:
        assert opened(KNOWN_ANSWER, binding=make_binding()) == SECRET

    def test_the_format_written_down_twice_gives_the_pinned_bytes(self) -> None:
        assert known_answer() == KNOWN_ANSWER


class TestAssociatedData:
    def test_no_two_ways_to_cut_the_fields_read_the_same(self) -> None:
        one = make_binding(environment="ab", purpose="c").associated_data()
        assert one != make_binding(environment="a", purpose="bc").associated_data()
