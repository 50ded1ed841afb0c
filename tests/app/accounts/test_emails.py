"""Addresses: which spellings are one person, and what is no address."""

import unicodedata
from contextlib import suppress

import pytest
from email_validator import EmailNotValidError
from hypothesis import given, settings
from hypothesis import strategies as st

from app.accounts.emails import MAX_LENGTH, EmailInvalidError, _any_key, email_key


class TestSamePerson:
    def test_case_and_surrounding_space_do_not_matter(self) -> None:
        assert email_key("  Ada.Lovelace@Example.COM ") == "ada.lovelace@example.com"

    def test_composed_and_decomposed_letters_are_the_same(self) -> None:
        composed = "joëlle@example.com"
        decomposed = unicodedata.normalize("NFD", composed)
        assert composed != decomposed
        assert email_key(decomposed) == email_key(composed) == composed

    def test_a_domain_in_letters_and_in_ascii_are_the_same(self) -> None:
        assert email_key("ada@müller.example") == "ada@xn--mller-kva.example"
        assert email_key("ada@xn--mller-kva.example") == email_key("ada@MÜLLER.example")

    def test_an_alias_is_somebody_else(self) -> None:
        assert email_key("ada+news@example.com") != email_key("ada@example.com")

    def test_a_dot_makes_somebody_else(self) -> None:
        assert email_key("a.da@example.com") != email_key("ada@example.com")

    @given(st.from_regex(r"[a-z0-9]{1,20}@[a-z]{1,20}\.com", fullmatch=True))
    def test_the_key_of_a_key_is_the_key(self, address: str) -> None:
        assert email_key(email_key(address.upper())) == email_key(address) == address


class TestNoAddress:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   ",
            "ada",
            "ada@",
            "@example.com",
            "ada@@example.com",
            "ada@example",
            "ada@.com",
            "ada lovelace@example.com",
            "ada.@example.com",
            ".ada@example.com",
            "ada@exa mple.com",
            "ada@example.com, bob@example.com",
            "Ada <ada@example.com>",
            "ada@example.com\nBcc: bob@example.com",
            "ada\0@example.com",
            "ada@[127.0.0.1]",
        ],
    )
    def test_is_refused_with_what_to_enter(self, text: str) -> None:
        with pytest.raises(EmailInvalidError) as refused:
            email_key(text)
        assert refused.value.fields == {"email": "Enter an address such as name@example.com."}

    def test_the_longest_address_is_taken_and_one_character_more_is_refused(self) -> None:
        labels = ".".join(["d" * 61, "e" * 61, "f" * 57, "com"])
        longest = f"{'a' * 64}@{labels}"
        longest += "m" * (MAX_LENGTH - len(longest))
        assert email_key(longest) == longest
        with pytest.raises(EmailInvalidError):
            email_key(longest + "m")

    @given(st.text(max_size=60))
    def test_any_text_is_an_address_or_refused(self, text: str) -> None:
        try:
            key = email_key(text)
        except EmailInvalidError:
            return
        assert email_key(key) == key


_PIECES = st.lists(
    st.sampled_from(
        [*"aZ09.-_+!#'\"@ ", "xn--", "é", "ß", "\u0130", "local", "test", "com", "a" * 40]
    ),
    max_size=8,
).map("".join)


class TestShortCut:
    """Remembering domains changes no answer."""

    @settings(max_examples=500)
    @given(_PIECES, _PIECES, st.sampled_from(["", ".com", ".example", ".local", ".müller"]))
    def test_every_answer_is_the_slow_one(self, local: str, domain: str, end: str) -> None:
        text = unicodedata.normalize("NFC", f"{local}@{domain}{end}".strip())
        slow = quick = None
        with suppress(EmailNotValidError):
            slow = _any_key(text) if len(text) <= MAX_LENGTH else None
        with suppress(EmailInvalidError):
            quick = email_key(text)
        assert quick == slow
