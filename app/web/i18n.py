"""Language of the current request: gettext catalogues, chosen per request, English as the source.

The texts stand in the templates and in the code; a missing catalogue leaves them as they are.
"""

import gettext as stdlib_gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from babel import Locale

SOURCE_LANGUAGE = "en"
CONTENT_LANGUAGES = (
    *("en", "ar", "cs", "da", "de", "es", "fi", "fr", "hu", "it", "ja", "ko", "nb", "nl", "pl"),
    *("pt", "ro", "sv", "tr", "zh"),
)
"""In which a brand may say what it says itself."""
_CATALOGUES = Path(__file__).parent.parent / "locales"
_language: ContextVar[str] = ContextVar("language", default=SOURCE_LANGUAGE)


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Inside the block every text, number and date is in this language."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def spoken(*wanted: str | None) -> str:
    """The first of these languages in which there are texts; English if there are in none."""
    for language in wanted:
        if language == SOURCE_LANGUAGE:
            break
        if language and language.isascii() and language.replace("-", "").isalnum():
            name = language.replace("-", "_")
            if stdlib_gettext.find("messages", localedir=_CATALOGUES, languages=[name]):
                return language
    return SOURCE_LANGUAGE


def current_language() -> str:
    """The language as HTML's `lang` wants it, for example `en`."""
    return _language.get()


def current_locale() -> Locale:
    """The Babel locale behind the current language."""
    return Locale.parse(_language.get(), sep="-")


def text_direction() -> str:
    """`ltr` or `rtl`, for HTML's `dir`."""
    return current_locale().text_direction


@cache
def _catalogue(language: str) -> stdlib_gettext.NullTranslations:
    return stdlib_gettext.translation(
        "messages", localedir=_CATALOGUES, languages=[language.replace("-", "_")], fallback=True
    )


def gettext(message: str) -> str:
    """The text in the current language."""
    return _catalogue(_language.get()).gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """The text in the current language, in the form that fits `number`."""
    return _catalogue(_language.get()).ngettext(singular, plural, number)


def pgettext(context: str, message: str) -> str:
    """The text in the current language, told apart by `context`."""
    return _catalogue(_language.get()).pgettext(context, message)


def npgettext(context: str, singular: str, plural: str, number: int) -> str:
    """`ngettext`, told apart by `context`."""
    return _catalogue(_language.get()).npgettext(context, singular, plural, number)
