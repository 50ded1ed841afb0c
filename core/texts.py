"""Texts that people type."""

import unicodedata


def tidy(text: str) -> str:
    """As it is kept, counted and compared: composed (NFC), without space at the ends."""
    return unicodedata.normalize("NFC", text).strip()
