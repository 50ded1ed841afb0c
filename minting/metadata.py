"""Metadata documents of tokens, contracts and passes: pure, canonical, the same for every holder.

Equal input gives equal bytes and therefore an equal CID: sorted keys, UTF-8, NFC, no spaces, no
fractions. Nothing in a document says who holds a token, and no document holds personal data.

References:
    ERC-721 metadata extension; ERC-7572 (`contractURI`); RFC 8259 (JSON).
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from minting.errors import MetadataInvalidError

_ATTRIBUTE_KEYS = frozenset(("trait_type", "value", "display_type"))
# RFC 8259 §6: integers beyond this are not read alike by all software.
_LARGEST_INTEGER = 2**53 - 1


def metadata_document(  # noqa: PLR0913 - a document has as many fields as it has
    *,
    name: str,
    description: str,
    image_cid: str,
    issuer: str,
    version: int,
    max_supply: int | None = None,
    external_url: str | None = None,
    attributes: Sequence[Mapping[str, Any]] = (),
    localized: Mapping[str, Mapping[str, str]] | None = None,
) -> bytes:
    """The one document all tokens of an edition point to.

    Args:
        max_supply: tokens there can ever be; None writes null, an open edition.
        attributes: `{trait_type, value, display_type?}`; a value is text, an integer or a boolean.
        localized: language code -> `{name, description}` for the other languages.

    Raises:
        MetadataInvalidError: a fraction, an unknown key, or an attribute without a name.
    """
    properties = {
        "edition": {"maxSupply": max_supply},
        "localized": {code: dict(texts) for code, texts in (localized or {}).items()},
        "issuer": issuer,
        "version": version,
    }
    return _canonical(
        {
            "name": name,
            "description": description,
            "image": _ipfs(image_cid),
            "external_url": external_url,
            "attributes": [_attribute(attribute) for attribute in attributes],
            "properties": properties,
        }
    )


def contract_document(
    *,
    name: str,
    description: str,
    image_cid: str | None = None,
    symbol: str | None = None,
    external_link: str | None = None,
) -> bytes:
    """What the contract says about the whole edition.

    References:
        ERC-7572 §Schema.
    """
    return _canonical(
        {
            "name": name,
            "symbol": symbol,
            "description": description,
            "image": _ipfs(image_cid),
            "external_link": external_link,
        }
    )


def pass_document(
    *,
    name: str,
    issuer: str,
    description: str | None = None,
    image_cid: str | None = None,
    external_url: str | None = None,
    attributes: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """The document of a design of the membership pass; the number is only the token id.

    Raises:
        MetadataInvalidError: a fraction, an unknown key, or an attribute without a name.
    """
    return _canonical(
        {
            "name": name,
            "description": description or f"Membership pass of {issuer}. It cannot be transferred.",
            "image": _ipfs(image_cid),
            "external_url": external_url,
            "attributes": [_attribute(attribute) for attribute in attributes],
            "properties": {"issuer": issuer},
        }
    )


def _ipfs(cid: str | None) -> str | None:
    return None if cid is None else f"ipfs://{cid}"


def _attribute(attribute: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(attribute) - _ATTRIBUTE_KEYS
    if unknown:
        raise MetadataInvalidError("attributes", f"“{min(unknown)}” is no part of an attribute.")
    if not str(attribute.get("trait_type", "")).strip() or "value" not in attribute:
        raise MetadataInvalidError("attributes", "Every attribute needs a name and a value.")
    if not isinstance(attribute["value"], (str, int)):
        raise MetadataInvalidError("attributes", "Write fractions and dates as text.")
    return dict(attribute)


def _canonical(document: Mapping[str, Any]) -> bytes:
    """Fields of the top level without a value are left out, so that later ones change no CID."""
    given = {key: _plain(value, key) for key, value in document.items() if value is not None}
    text = json.dumps(given, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def _plain(value: Any, field: str) -> Any:
    """The value in NFC, with nothing two programs could write or read differently."""
    if isinstance(value, str):
        return _text(value, field)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _integer(value, field)
    if isinstance(value, Mapping):
        return {_text(str(key), field): _plain(item, field) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, field) for item in value]
    raise MetadataInvalidError(field, "Write fractions and dates as text.")


def _integer(value: int, field: str) -> int:
    if abs(value) > _LARGEST_INTEGER:
        raise MetadataInvalidError(field, f"Write numbers above {_LARGEST_INTEGER:,} as text.")
    return value


def _text(value: str, field: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise MetadataInvalidError(field, "The text holds half a character.") from None
    return unicodedata.normalize("NFC", value)
