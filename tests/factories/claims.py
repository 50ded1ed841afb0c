"""Batches of claim codes, with all their codes made."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.claims import making, service
from app.claims.models import ClaimBatch
from app.claims.service import BatchDraft
from app.perks.models import Perk
from app.rewards.lines import Choice
from core.db import beyond_policies
from tests.conftest import NOW
from tests.factories.brand import make_perk


def make_batch(
    session: Session, *, choice: Choice | None = None, codes: int = 1, **changes: Any
) -> ClaimBatch:
    """A batch whose codes give a perk, or what is chosen."""
    if choice is None:
        coffee = session.scalar(select(Perk).where(Perk.title == "Coffee"))
        choice = Choice(perk_id=(coffee or make_perk(session)).id)
    draft = BatchDraft(name="Flyers", choice=choice, code_count=codes, **changes)
    batch = service.create(session, draft, at=NOW)
    make_codes(session, batch)
    return batch


def make_codes(session: Session, batch: ClaimBatch) -> None:
    """Every code of the batch is there."""
    with beyond_policies(session):
        while making.run_part(session, batch.id, at=NOW):
            pass
