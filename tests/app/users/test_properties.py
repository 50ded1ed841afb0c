"""Custom properties: names are data, slots are shared by merchants and never by properties."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.users import fields, properties, slots
from app.users.errors import PropertyInvalidError
from app.users.models import Property
from app.users.slots import Kind
from core.db import unit_of_work
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant


def make(session: Session, name: str, kind: Kind = Kind.TEXT) -> Property:
    return properties.create(session, name, kind, at=NOW)


class TestCreate:
    def test_gives_each_property_a_slot_of_its_kind(self, session: Session) -> None:
        rows = [make(session, "Size", Kind.TEXT), make(session, "Age", Kind.NUMBER)]
        rows.append(make(session, "City", Kind.TEXT))
        assert [(it.kind, it.slot) for it in rows] == [
            (Kind.TEXT, 1),
            (Kind.NUMBER, 1),
            (Kind.TEXT, 2),
        ]
        session.execute(text("SELECT t1, k1, t2, k2, n1 FROM users"))

    def test_makes_a_reference_from_the_name(self, session: Session) -> None:
        assert make(session, "Shoe size (EU)").reference_id == "shoe_size_eu"
        assert make(session, "Shoe-size EU").reference_id == "shoe_size_eu_2"
        assert make(session, "42").reference_id == "p_42"
        assert make(session, "Ключ").reference_id == "p"
        assert make(session, "E-mail address").reference_id == "e_mail_address"

    @pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\0b", "a\nb", "Email", "siZe"])
    def test_refuses_names_that_are_taken_or_unreadable(self, session: Session, name: str) -> None:
        make(session, "Size")
        with pytest.raises(PropertyInvalidError) as caught:
            make(session, name)
        assert "name" in caught.value.fields

    @pytest.mark.parametrize("reference", ["Size", "1a", "a-b", "x" * 51, "email", "taken"])
    def test_refuses_misspelt_and_taken_references(self, session: Session, reference: str) -> None:
        properties.create(session, "Taken", Kind.TEXT, reference_id="taken", at=NOW)
        with pytest.raises(PropertyInvalidError) as caught:
            properties.create(session, "New", Kind.TEXT, reference_id=reference, at=NOW)
        assert "reference_id" in caught.value.fields

    def test_refuses_a_property_too_many(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(properties, "MOST_PROPERTIES", 1)
        make(session, "One")
        with pytest.raises(PropertyInvalidError):
            make(session, "Two")

    def test_two_merchants_use_the_same_slot_for_different_things(self, rolled_back: None) -> None:
        first = make_merchant()
        second = make_other_merchant(first)
        with unit_of_work(merchant=first.id) as session:
            assert make(session, "Size").slot == 1
        with unit_of_work(merchant=second) as session:
            assert make(session, "Colour").slot == 1
            assert list(fields.catalogue(session))[-1].startswith("prp_")
            assert len(fields.catalogue(session)) == len(fields.CORE) + 1


class TestSlots:
    @pytest.mark.parametrize("slot", [0, 301, -1])
    def test_refuses_slots_that_do_not_exist(self, slot: int) -> None:
        with pytest.raises(ValueError, match="no such slot"):
            slots.value_name(Kind.TEXT, slot)
