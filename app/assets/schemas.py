"""What the asset form sends, exactly as typed, so that nothing typed is lost."""

import re
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from core.errors import InvalidError
from minting.drafts import AssetDraft
from minting.models import ContractState, DigitalAsset, Transferability


class AssetForm(BaseModel):
    """The fields of the form; numbers are still text, `image` is the uploaded file."""

    internal_name: str = ""
    title: str = ""
    description: str = ""
    symbol: str = ""
    external_url: str = ""
    max_supply: str = ""
    transferability: str = Transferability.TRANSFERABLE.value
    revocable: bool = False
    royalty: str = ""
    royalty_receiver: str = ""
    attributes: str = ""
    reference_id: str = ""
    image: Any = None

    @classmethod
    def of(cls, asset: DigitalAsset) -> "AssetForm":
        """The form that would make the draft what it is."""
        lines = (f"{it['trait_type']}: {it['value']}" for it in asset.attributes)
        return cls(
            internal_name=asset.internal_name,
            title=asset.title,
            description=asset.description,
            symbol=asset.symbol,
            external_url=asset.external_url or "",
            max_supply="" if asset.max_supply is None else str(asset.max_supply),
            transferability=asset.transferability,
            revocable=asset.revocable,
            royalty=_percent(asset.royalty_points),
            royalty_receiver=asset.royalty_receiver or "",
            attributes="\n".join(lines),
            reference_id=asset.reference_id or "",
        )

    def with_fixed(self, asset: DigitalAsset) -> "AssetForm":
        """The form with what the form of a published asset does not ask for."""
        if asset.state is ContractState.DRAFT:
            return self
        fixed = {
            "symbol": asset.symbol,
            "transferability": asset.transferability.value,
            "revocable": asset.revocable,
        }
        return self.model_copy(update=fixed)

    def as_draft(self) -> AssetDraft:
        """The typed values.

        Raises:
            InvalidError: the supply is no number, or an attribute line has no colon.
        """
        return AssetDraft(
            internal_name=self.internal_name.strip() or self.title.strip(),
            title=self.title.strip(),
            description=self.description.strip(),
            symbol=self.symbol,
            external_url=self.external_url.strip() or None,
            attributes=_attributes(self.attributes),
            max_supply=_supply(self.max_supply),
            transferability=_transferability(self.transferability),
            revocable=self.revocable,
            royalty_points=_points(self.royalty),
            royalty_receiver=self.royalty_receiver.strip() or None,
            reference_id=self.reference_id.strip() or None,
        )


def _supply(text: str) -> int | None:
    plain = text.strip().replace(",", "").replace(" ", "")
    if not plain:
        return None
    if not (plain.isascii() and plain.isdecimal()):
        raise _refusal("max_supply", "A whole number, or empty for no limit.")
    return int(plain)


def _percent(points: int | None) -> str:
    return "" if points is None else f"{points / 100:.2f}".rstrip("0").rstrip(".")


def _points(text: str) -> int | None:
    """Hundredths of a percent."""
    plain = text.strip().removesuffix("%").strip().replace(",", ".")
    if not plain:
        return None
    if not re.fullmatch(r"\d{1,3}(\.\d{1,2})?", plain, re.ASCII):
        raise _refusal("royalty_points", "A percentage with at most two decimals, such as 2.5.")
    return int(Decimal(plain) * 100)


def _transferability(text: str) -> Transferability:
    if text not in set(Transferability):
        raise _refusal("transferability", "Choose what holders can do.")
    return Transferability(text)


def _attributes(text: str) -> list[dict[str, str]]:
    found = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        trait, colon, value = line.partition(":")
        if not (colon and 1 <= len(trait.strip()) <= 40 and 1 <= len(value.strip()) <= 100):
            raise _refusal("attributes", f"Write “trait: value” on each line, not “{line[:40]}”.")
        found.append({"trait_type": trait.strip(), "value": value.strip()})
    if len(found) > 30:
        raise _refusal("attributes", "At most 30 attributes.")
    return found


def _refusal(field: str, sentence: str) -> InvalidError:
    return InvalidError("The digital asset cannot be saved yet.", fields={field: sentence})
