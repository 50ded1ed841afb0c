"""What a brand says to whoever checks a pass, in as many languages as it likes."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.passes.models import VerifierMessage
from app.web.i18n import CONTENT_LANGUAGES
from core.errors import InvalidError
from core.events import emit
from core.texts import tidy

LONGEST = 120


def texts_of(session: Session) -> dict[str, str]:
    """The message by language; empty where there is none."""
    rows = session.scalars(select(VerifierMessage).order_by(VerifierMessage.language))
    return {row.language: row.text for row in rows}


def save(session: Session, texts: Mapping[str, str], *, at: datetime) -> None:
    """The message is this from now on; a language that is left out has none.

    Raises:
        InvalidError: `fields` names the language whose text is too long, or that nobody speaks.
    """
    tidied = {language: tidy(text) for language, text in texts.items()}
    fields = {
        f"message-{language}": f"At most {LONGEST} characters."
        for language, text in tidied.items()
        if len(text) > LONGEST
    }
    fields |= {
        f"message-{language}": "Choose one of the languages."
        for language in tidied
        if language not in CONTENT_LANGUAGES
    }
    if fields:
        raise InvalidError("The message cannot be saved yet.", fields=fields)
    session.execute(delete(VerifierMessage))
    session.add_all(
        VerifierMessage(language=language, text=text) for language, text in tidied.items() if text
    )
    session.flush()
    emit(session, "cohort.pass-settings.changed", at=at)
