"""What the form of a grant by hand sends, exactly as typed, so that nothing typed is lost."""

from pydantic import BaseModel

from app.rewards.errors import RecipientsInvalidError
from app.rewards.lines import Choice
from core.ids import decode_id, encode_id, new_id
from core.types import AssetId, ManualGrantId, PerkId


class ManualGrantForm(BaseModel):
    """The fields of the form; numbers are still text. `key` makes a second sending harmless."""

    key: str = ""
    reward: str = ""
    emails: str = ""
    each: str = "1"
    reason: str = ""

    @classmethod
    def new(cls, *, reward: str, emails: str) -> "ManualGrantForm":
        """An empty form with an identifier of its own."""
        return cls(key=encode_id("mgr", new_id()), reward=reward, emails=emails)

    @property
    def grant_id(self) -> ManualGrantId:
        """Under which it is given once."""
        return ManualGrantId(decode_id("mgr", self.key))

    def as_choice(self) -> Choice:
        """What is given.

        Raises:
            RecipientsInvalidError: no reward is chosen, or how many is no number.
        """
        if not (self.each.strip().isascii() and self.each.strip().isdecimal()):
            raise RecipientsInvalidError("A whole number.", "each")
        each = int(self.each)
        if self.reward.startswith("prk_"):
            return Choice(perk_id=PerkId(decode_id("prk", self.reward)), per_recipient=each)
        if self.reward.startswith("das_"):
            return Choice(AssetId(decode_id("das", self.reward)), per_recipient=each)
        raise RecipientsInvalidError("Choose what to give.", "reward")
