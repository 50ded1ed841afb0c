"""The installation's first organisation, and who is on its team."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts import service
from app.accounts.emails import EmailInvalidError
from app.accounts.errors import MerchantUnknownError
from app.accounts.models import Mode, Organisation, TeamMember, TeamRole
from core.db import unit_of_work
from tests.conftest import NOW


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


class TestEnsureInstallation:
    def test_makes_a_test_merchant_and_its_owner(self, session: Session) -> None:
        merchant = service.first_merchant(session)
        assert (merchant.mode, merchant.name) == (Mode.TEST, merchant.organisation.name)
        owner = session.scalars(select(TeamMember)).one()
        assert (owner.email, owner.role) == ("owner@example.com", TeamRole.OWNER)

    def test_again_changes_nothing(self, session: Session) -> None:
        first = service.first_merchant(session)
        assert service.ensure_installation(session, at=NOW).id == first.id
        assert (count(session, Organisation), count(session, TeamMember)) == (1, 1)

    def test_without_it_nothing_can_be_shown(self, rolled_back: None) -> None:
        with unit_of_work() as session, pytest.raises(MerchantUnknownError):
            service.first_merchant(session)


class TestAddMember:
    def test_is_found_by_any_spelling(self, session: Session) -> None:
        organisation = service.first_merchant(session).organisation
        added = service.add_member(
            session, organisation, " Bob@Example.com ", role=TeamRole.EDITOR, at=NOW
        )
        found = service.find_active_member(session, "bob@example.COM")
        assert found is not None
        assert (found.id, found.email) == (added.id, "Bob@Example.com")

    def test_no_address_is_refused(self, session: Session) -> None:
        organisation = service.first_merchant(session).organisation
        with pytest.raises(EmailInvalidError):
            service.add_member(session, organisation, "bob", role=TeamRole.EDITOR, at=NOW)
