"""A code has one spelling; whatever differs from it by a byte or a second is refused."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.passes import tokens
from app.passes.tokens import Claims, MalformedTokenError, Reason
from core.ids import encode_id, new_id
from core.types import HoldingId, MerchantId
from minting.numbers import SINGLES, pass_number

ROOT = Path(__file__).resolve().parents[3]
PRIVATE = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
CLAIMS = Claims("0kgs4w5x", "7h3k9m2p", 1_780_000_000, bytes(range(8)), number="12-0345")
TOKEN = tokens.sign(CLAIMS, PRIVATE)
HOLDING = HoldingId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))

tags = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=8, max_size=8)
numbers = st.builds(pass_number, st.integers(0, SINGLES + 500), st.integers(0, 2**16 - 1))
claims = st.builds(
    Claims,
    tags,
    tags,
    st.integers(0, 4_102_444_799),
    st.binary(min_size=8, max_size=8),
    numbers,
) | st.builds(
    lambda tag, key, second, nonce, holding: Claims(
        tag, key, second, nonce, holding=HoldingId(holding)
    ),
    tags,
    tags,
    st.integers(0, 4_102_444_799),
    st.binary(min_size=8, max_size=8),
    st.uuids(),
)


def spelled(payload: bytes, signature: bytes | None = None) -> str:
    """A code with this payload, really signed unless said otherwise."""
    if signature is None:
        signature = Ed25519PrivateKey.from_private_bytes(PRIVATE).sign(payload)
    return f"{tokens.to_base64url(payload)}.{tokens.to_base64url(signature)}"


def fields(**changes: Any) -> dict[str, Any]:
    """What the code says, with some of it changed; None leaves one out."""
    said = {**json.loads(tokens.payload_of(CLAIMS)), **changes}
    return {key: value for key, value in said.items() if value is not None}


def compact(said: dict[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def is_accepted(token: str) -> bool:
    """Whether the code can be read and is signed by our key."""
    try:
        return tokens.parse(token).is_signed_by(PUBLIC)
    except MalformedTokenError:
        return False


class TestWriting:
    def test_says_what_it_is_of_and_nothing_else(self) -> None:
        assert tokens.payload_of(CLAIMS) == (
            b'{"j":"AAECAwQFBgc","k":"7h3k9m2p","m":"0kgs4w5x","n":"12-0345","t":1780000000,"v":1}'
        )

    def test_a_perk_is_named_instead_of_a_pass(self) -> None:
        payload = tokens.payload_of(Claims("0kgs4w5x", "7h3k9m2p", 1, bytes(8), holding=HOLDING))
        assert json.loads(payload).keys() == {"h", "j", "k", "m", "t", "v"}

    @given(claims)
    def test_what_is_written_is_read_again(self, said: Claims) -> None:
        found = tokens.parse(tokens.sign(said, PRIVATE))
        assert found.claims == said
        assert found.is_signed_by(PUBLIC)

    def test_another_key_did_not_sign_it(self) -> None:
        other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        assert not tokens.parse(TOKEN).is_signed_by(other)

    def test_a_merchant_is_named_by_random_characters(self) -> None:
        merchant = MerchantId(new_id())
        assert encode_id("mer", merchant).endswith(tokens.merchant_tag(merchant))
        assert tokens.merchant_tag(merchant) != tokens.merchant_tag(MerchantId(new_id()))


class TestDocument:
    """What the documentation gives others to test against is what this code does."""

    VECTORS = json.loads(
        re.findall(r"```json\n(.*?)```", (ROOT / "docs/passes.md").read_text(), re.S)[-1]
    )

    def test_its_key_is_the_one_it_says(self) -> None:
        assert tokens.from_base64url(self.VECTORS["publicKey"]) == PUBLIC

    @pytest.mark.parametrize("vector", VECTORS["valid"], ids=["pass", "perk"])
    def test_its_codes_are_what_we_write_and_read(self, vector: dict[str, str]) -> None:
        found = tokens.parse(vector["token"])
        assert found.payload.decode() == vector["payload"]
        assert found.is_signed_by(PUBLIC)
        assert tokens.sign(found.claims, PRIVATE) == vector["token"]


class TestAlteration:
    def test_the_code_itself_is_accepted(self) -> None:
        assert is_accepted(TOKEN)

    @pytest.mark.parametrize("place", range(len(TOKEN)))
    def test_every_altered_character_is_refused(self, place: int) -> None:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
        for character in alphabet:
            if character != TOKEN[place]:
                assert not is_accepted(TOKEN[:place] + character + TOKEN[place + 1 :])

    @given(st.data())
    def test_every_altered_byte_of_payload_or_signature_is_refused(self, data: Any) -> None:
        signed = tokens.parse(TOKEN)
        whole = bytearray(signed.payload + signed.signature)
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        cut = len(signed.payload)
        assert not is_accepted(spelled(bytes(whole[:cut]), bytes(whole[cut:])))

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        assert not is_accepted(text)

    @given(st.binary(max_size=300))
    def test_any_bytes_that_we_signed_are_read_or_refused(self, payload: bytes) -> None:
        assert not is_accepted(spelled(payload))


class TestSpelling:
    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "a.b",
            TOKEN + ".",
            TOKEN + "=",
            TOKEN + "==",
            TOKEN + "\n",
            " " + TOKEN,
            TOKEN.replace(".", "=."),
            TOKEN.replace(".", ".."),
            TOKEN.partition(".")[0],
            TOKEN.partition(".")[2],
            TOKEN + "A" * 600,
        ],
    )
    def test_another_spelling_is_malformed(self, token: str) -> None:
        with pytest.raises(MalformedTokenError):
            tokens.parse(token)

    def test_stray_bits_at_the_end_are_malformed(self) -> None:
        """The last character of 64 bytes has four bits that mean nothing."""
        head, _, tail = TOKEN.partition(".")
        loose = base64.urlsafe_b64decode(tail + "==")
        for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            other = tail[:-1] + character
            if other != tail and base64.urlsafe_b64decode(other + "==") == loose:
                with pytest.raises(MalformedTokenError):
                    tokens.parse(f"{head}.{other}")
                break
        else:
            pytest.fail("no other spelling of the same bytes was found")

    @pytest.mark.parametrize(
        "payload",
        [
            b"null",
            b"[]",
            b"{}",
            b"\xff",
            b"[" * 400,
            b'{"j":"AAECAwQFBgc","j":"AAECAwQFBgc"}',
            json.dumps(fields(), sort_keys=True).encode(),
            compact(fields()) + b" ",
            json.dumps(dict(reversed(fields().items())), separators=(",", ":")).encode(),
            compact(fields(v=2)),
            compact(fields(v=True)),
            compact(fields(v="1")),
            compact(fields(t=1.5)),
            compact(fields(t="1780000000")),
            compact(fields(t=True)),
            compact(fields(t=-1)),
            compact(fields(t=10**20)),
            compact(fields(m="0KGS4W5X")),
            compact(fields(m="0kgs4w5")),
            compact(fields(k=7)),
            compact(fields(k="7h3k9m2!")),
            compact(fields(j="AAECAwQFBg")),
            compact(fields(j="AAECAwQFBgd")),
            compact(fields(j="")),
            compact(fields(j=None)),
            compact(fields(n=None)),
            compact(fields(n="12-345")),
            compact(fields(n="12-00345")),
            compact(fields(n="s-0345")),
            compact(fields(n="1²-0345")),
            compact(fields(n=12)),
            compact(fields(n=None, h="hld_1")),
            compact(fields(n=None, h="usr_01h455vb4pex5vsknk084sn02q")),
            compact(fields(h="hld_01h455vb4pex5vsknk084sn02q")),
            compact(fields(email="ada@example.com")),
        ],
    )
    def test_a_payload_that_says_something_else_is_malformed(self, payload: bytes) -> None:
        with pytest.raises(MalformedTokenError):
            tokens.parse(spelled(payload))


class TestTime:
    MADE = datetime.fromtimestamp(CLAIMS.issued_at, UTC)

    @pytest.mark.parametrize(
        ("seconds", "reason"),
        [
            (-31, Reason.NOT_YET_VALID),
            (-30.001, Reason.NOT_YET_VALID),
            (-30, None),
            (0, None),
            (89, None),
            (90, None),
            (90.001, Reason.EXPIRED),
            (91, Reason.EXPIRED),
            (86_400, Reason.EXPIRED),
        ],
    )
    def test_valid_from_thirty_before_to_ninety_after(
        self, seconds: float, reason: Reason | None
    ) -> None:
        assert CLAIMS.out_of_time(self.MADE + timedelta(seconds=seconds)) is reason
