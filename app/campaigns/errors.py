"""What can go wrong with campaigns."""

from collections.abc import Mapping

from core.errors import ConflictError, InvalidError, NotFoundError
from core.types import CampaignId


class CampaignNotFoundError(NotFoundError):
    """This merchant has no such campaign."""

    def __init__(self, campaign_id: CampaignId) -> None:
        super().__init__("There is no such campaign. Go back to the list.")
        self.campaign_id = campaign_id


class CampaignNotPublishableError(InvalidError):
    """Something is missing; `fields` lists every failing rule at once."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("The campaign cannot be published yet.", fields=fields)


class PreviewStaleError(ConflictError):
    """What would be published is no longer what was shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The preview is out of date: {reason}. Look at a fresh one, then publish."
        )


class InvalidTransitionError(ConflictError):
    """The campaign's state refuses the action."""

    def __init__(self, state: str, action: str) -> None:
        super().__init__(f"A campaign that is {state} cannot be {action}.")


class FileNotReadyError(ConflictError):
    """The file cannot be used for the campaign, or not yet."""

    def __init__(self) -> None:
        super().__init__(
            "The file is not read to its end, or belongs to another campaign. Upload it here and "
            "wait until it is checked."
        )


class AudienceFileMissingError(InvalidError):
    """A file was to name the recipients, but none was chosen."""

    def __init__(self) -> None:
        sentence = "Choose the file that names the recipients."
        super().__init__("The audience cannot be saved yet.", fields={"file": sentence})


class CohortMissingError(InvalidError):
    """The campaign was to be for a list or segment, but none in use was chosen."""

    def __init__(self, kind: str) -> None:
        sentence = "Choose one that is in use."
        super().__init__("The audience cannot be saved yet.", fields={kind: sentence})


class AudienceNotFromFileError(NotFoundError):
    """The campaign is not for whom a file names."""

    def __init__(self) -> None:
        super().__init__("This campaign has no file of recipients. Go back to its audience.")


class NotPublishedError(ConflictError):
    """There is no run of the campaign yet."""

    def __init__(self) -> None:
        super().__init__("The campaign is not published, so there is nothing to pause or resume.")
