"""Claim codes: 26 characters of Crockford's base32, which are 130 bits nobody can guess.

The codes of a batch are a keyed hash of their positions under the batch's random seed. Whoever
lacks the seed cannot tell them from random ones; with it they can be printed again without storing
one of them, and forgetting it forgets them all at once.
"""

import base64
import hmac
import secrets
from itertools import pairwise

from core.secrets import fingerprint

LENGTH = 26
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RFC_4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD = bytes.maketrans(_RFC_4648, ALPHABET.encode())
_LOOK_ALIKES = str.maketrans("ILO", "110", " -")
_LONGEST_TYPED = 64
_GROUP = 5
_SEED_BYTES = 32


def new_seed() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(_SEED_BYTES)


def code_at(seed: bytes, position: int) -> str:
    """The code at this position of the batch that has the seed.

    References:
        RFC 2104 (HMAC), with SHA-256, of which the first 130 bits are taken.
    """
    digest = hmac.digest(seed, position.to_bytes(8), "sha256")
    return base64.b32encode(digest[:20]).translate(_TO_CROCKFORD)[:LENGTH].decode()


def canonical(typed: str) -> str | None:
    """The code somebody typed or scanned, or None if it is none.

    Case, spaces and hyphens do not matter; I and L are read as 1, O as 0; U is in no code.
    """
    if len(typed) > _LONGEST_TYPED or not typed.isascii():
        return None
    code = typed.upper().translate(_LOOK_ALIKES)
    is_code = len(code) == LENGTH and all(character in ALPHABET for character in code)
    return code if is_code else None


def in_groups(code: str) -> str:
    """The code as people read it: five groups."""
    cuts = [*range(0, LENGTH - _GROUP, _GROUP), LENGTH]
    return "-".join(code[start:end] for start, end in pairwise(cuts))


def code_fingerprint(code: str) -> bytes:
    """What is stored of a code: it cannot be turned back."""
    return fingerprint("claim-code", code)
