"""Campaigns for whom a file names."""

import io

from sqlalchemy.orm import Session

from app.campaigns import files, service
from app.campaigns.models import AudienceFile, Campaign
from tests.conftest import NOW


def choose(session: Session, campaign: Campaign, content: str | bytes) -> AudienceFile:
    """The campaign is for this file, which nobody has read yet."""
    raw = content.encode() if isinstance(content, str) else content
    return service.choose_file(session, campaign, "to.csv", io.BytesIO(raw), at=NOW)


def read(session: Session, file: AudienceFile) -> AudienceFile:
    """The file, read to its end."""
    while files.run_part(session, file.id, at=NOW):
        pass
    return file


def upload(session: Session, campaign: Campaign, content: str) -> AudienceFile:
    """A file for the campaign that replaces none."""
    return files.upload(session, campaign, "to.csv", io.BytesIO(content.encode()), at=NOW)
