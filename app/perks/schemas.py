"""What the perk form sends, exactly as typed, so that nothing typed is lost."""

from pydantic import BaseModel

from app.perks.drafting import PerkDraft
from app.perks.models import Perk
from core.errors import InvalidError


class PerkForm(BaseModel):
    """The fields of the form; numbers are still text."""

    internal_name: str = ""
    title: str = ""
    subtitle: str = ""
    description: str = ""
    reference_id: str = ""
    total_quantity: str = ""
    max_per_user: str = ""

    @classmethod
    def of(cls, perk: Perk) -> "PerkForm":
        """The form that would make the perk what it is."""
        return cls(
            internal_name=perk.internal_name,
            title=perk.title,
            subtitle=perk.subtitle,
            description=perk.description,
            reference_id=perk.reference_id or "",
            total_quantity="" if perk.total_quantity is None else str(perk.total_quantity),
            max_per_user="" if perk.max_per_user is None else str(perk.max_per_user),
        )

    def as_draft(self) -> PerkDraft:
        """The typed values.

        Raises:
            InvalidError: a limit is no number.
        """
        return PerkDraft(
            internal_name=self.internal_name.strip() or self.title.strip(),
            title=self.title.strip(),
            subtitle=self.subtitle.strip(),
            description=self.description.strip(),
            reference_id=self.reference_id.strip() or None,
            total_quantity=_limit("total_quantity", self.total_quantity),
            max_per_user=_limit("max_per_user", self.max_per_user),
        )


def _limit(field: str, text: str) -> int | None:
    plain = text.strip().replace(",", "").replace(" ", "")
    if not plain:
        return None
    if not (plain.isascii() and plain.isdecimal()):
        sentence = "A whole number, or empty for no limit."
        raise InvalidError("The perk cannot be saved yet.", fields={field: sentence})
    return int(plain)
