"""What every handler may ask for: the database session of the request, and the time."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request

from app.web.forms import read_form
from core.db import unit_of_work
from core.types import utc_now


def get_session() -> Iterator[Session]:
    """One unit of work around the handler.

    It commits before the answer leaves, because it is always declared with the scope `function`:
    a commit that fails is an error the client sees.
    """
    with unit_of_work() as session:
        yield session


def get_now() -> datetime:
    """The time of this request, read once."""
    return utc_now()


async def get_form(request: Request) -> FormData:
    """Everything the form sent, for handlers whose fields are not known beforehand."""
    return await read_form(request)


SessionDep = Annotated[Session, Depends(get_session, scope="function")]
AtDep = Annotated[datetime, Depends(get_now)]
FormDep = Annotated[FormData, Depends(get_form)]
