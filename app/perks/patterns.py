"""Codes made by a pattern: a prefix, random characters, and a character that finds typing errors.

Pure, but for the operating system's random numbers.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.perks.errors import PatternInvalidError

EASY = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Digits and capitals without those that look alike."""
MOST_PREFIX = 32
_GUESSES_A_CODE = 10_000
"""Of so many guesses one may hit a code, at the most."""


@dataclass(frozen=True)
class Pattern:
    """How codes are made.

    Args:
        alphabet: the characters of the random part and of the check character.
        length: of the random part.
        has_check: whether a check character follows.
    """

    prefix: str = ""
    alphabet: str = EASY
    length: int = 10
    has_check: bool = False

    def dump(self) -> dict[str, Any]:
        """As the row keeps it."""
        return asdict(self)

    @classmethod
    def load(cls, said: Mapping[str, Any]) -> "Pattern":
        """What `dump` made."""
        return cls(**said)

    def check(self, count: int) -> None:
        """So many codes can be made, and none of them is easily guessed.

        Raises:
            PatternInvalidError: `fields` names what must change.
        """
        fields = {}
        if len(self.prefix) > MOST_PREFIX or not self.prefix.isprintable():
            fields["prefix"] = f"At most {MOST_PREFIX} printable characters."
        if not 8 <= self.length <= 32:
            fields["length"] = "Between 8 and 32 characters."
        is_sound = self.alphabet.isprintable() and " " not in self.alphabet
        if len(set(self.alphabet)) != len(self.alphabet) or len(self.alphabet) < 2 or not is_sound:
            fields["alphabet"] = "At least two different characters, each of them once."
        elif self.has_check and len(self.alphabet) % 2:
            fields["alphabet"] = "With a check character, an even number of characters."
        if not fields and len(self.alphabet) ** self.length < count * _GUESSES_A_CODE:
            fields["length"] = "So many codes would be guessed. Make them longer."
        if fields:
            raise PatternInvalidError(fields)

    def make(self) -> str:
        """One code."""
        body = "".join(secrets.choice(self.alphabet) for _ in range(self.length))
        return self.prefix + body + (check_character(body, self.alphabet) if self.has_check else "")


def check_character(body: str, alphabet: str) -> str:
    """The character after which one wrong character, and nearly every swap of two, is found.

    References:
        ISO/IEC 7812-1 annex B (Luhn), with as many digits as the alphabet has.
    """
    base, total = len(alphabet), 0
    for place, character in enumerate(reversed(body)):
        number = alphabet.index(character) * (2 if place % 2 == 0 else 1)
        total += number // base + number % base
    return alphabet[-total % base]


def is_sound(code: str, alphabet: str) -> bool:
    """Whether the last character is the check character of those before it."""
    return check_character(code[:-1], alphabet) == code[-1]
