"""What pages show of a file of recipients, whatever it is for."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from app.campaigns import audiences, files
from app.campaigns.models import AudienceFile, FileState

_MOVING = (FileState.READING, FileState.CHECKING)


def standing(session: Session, file: AudienceFile | None, *, at: datetime) -> dict[str, Any]:
    """How far the file is; whom it reaches and what it rejects is known once it is checked."""
    is_ready = file is not None and file.state is FileState.READY
    return {
        "file": file,
        "limit": files.FILE_BYTES,
        "is_moving": file is not None and file.state in _MOVING,
        "progress": files.progress(file, at=at) if file else None,
        "reach": audiences.reach_of(session, file) if file and is_ready else None,
        "rejected": files.sample_rejected(session, file) if file and is_ready else [],
    }


def rejected_rows(session: Session, file: AudienceFile) -> Response:
    """The rejected rows with line and reason, to be taken home."""
    lines = list(files.rejected_as_csv(session, file))
    return StreamingResponse(
        iter(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="rejected-rows.csv"'},
    )
