"""Physical items: addressed, sent, delivered, lapsed, and the address forgotten."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.perks import shipping, sweeping, using
from app.perks.errors import (
    AddressInvalidError,
    HoldingTransitionError,
    TrackingInvalidError,
    WrongChannelError,
)
from app.perks.models import (
    Channel,
    Holding,
    HoldingState,
    Perk,
    PerkQuota,
    Redemption,
    Shipment,
    ShipmentState,
    Transition,
)
from app.perks.shipping import Address
from app.perks.terms import Options, RedemptionType
from core.errors import ConflictError
from core.events import Event
from core.ids import encode_id
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.perks import hold, perk_of

HOME = Address("Ada L.", "=1 Long Lane", "", "1000", "Brussels", "", "BE", "")
TERMS = Options(countries=("BE", "FR"), deadline_days=10)
DAY = timedelta(days=1)


@pytest.fixture
def perk(session: Session) -> Perk:
    """A mug that is sent to Belgium and France."""
    return perk_of(session, RedemptionType.PHYSICAL, title="Mug", terms=TERMS)


@pytest.fixture
def holding(session: Session, perk: Perk) -> Holding:
    """A mug in somebody's hands, so to speak."""
    return hold(session, perk)


def address(session: Session, holding: Holding, to: Address = HOME, **changes: Any) -> None:
    shipping.give_address(session, holding, to, **{"terms": TERMS, "at": NOW, **changes})


def ready(session: Session, perk: Perk, email: str = "ada@example.com") -> Holding:
    holding = hold(session, perk, email)
    address(session, holding)
    return holding


class TestAddress:
    def test_is_sealed_for_its_holding(self, session: Session, holding: Holding) -> None:
        assert holding.shipment is ShipmentState.ADDRESS_NEEDED
        assert holding.address_due_at == NOW + 10 * DAY
        address(session, holding)
        assert holding.shipment is ShipmentState.READY_TO_SHIP
        assert shipping.address_of(session, holding) == HOME
        rows = session.execute(text("SELECT to_jsonb(t)::text FROM shipments t")).scalars().all()
        assert "Long Lane" not in "".join(rows) and b"Long Lane".hex() not in "".join(rows)

    def test_may_be_given_anew_until_it_is_sent(self, session: Session, holding: Holding) -> None:
        address(session, holding)
        other = Address(**{**vars(HOME), "city": "Paris", "country": "FR"})
        address(session, holding, other, at=NOW + 20 * DAY)
        assert shipping.address_of(session, holding) == other
        shipping.ship(session, holding, at=NOW)
        with pytest.raises(HoldingTransitionError):
            address(session, holding)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("name", ""), ("line1", ""), ("city", ""), ("postal_code", ""), ("country", "DE")),
            *(("country", ""), ("line1", "x" * 121), ("city", "a\nb"), ("phone", "1" * 31)),
        ],
    )
    def test_says_what_must_change(
        self, session: Session, holding: Holding, field: str, value: str
    ) -> None:
        with pytest.raises(AddressInvalidError) as refused:
            address(session, holding, Address(**{**vars(HOME), field: value}))
        assert list(refused.value.fields) == [field]
        assert holding.shipment is ShipmentState.ADDRESS_NEEDED

    def test_a_telephone_number_is_needed_where_the_perk_says_so(
        self, session: Session, holding: Holding
    ) -> None:
        with pytest.raises(AddressInvalidError):
            address(session, holding, terms=Options(needs_phone=True))

    def test_after_the_deadline_it_is_too_late(self, session: Session, holding: Holding) -> None:
        with pytest.raises(HoldingTransitionError, match="deadline"):
            address(session, holding, at=NOW + 10 * DAY)

    def test_only_of_what_is_sent(self, session: Session) -> None:
        with pytest.raises(HoldingTransitionError):
            address(session, hold(session, make_perk(session)))


class TestShip:
    def test_uses_the_perk(self, session: Session, perk: Perk) -> None:
        holding = ready(session, perk)
        shipping.ship(session, holding, carrier="Post", tracking="1Z", at=NOW)
        row = session.get_one(Shipment, holding.id)
        assert (row.carrier, row.tracking, row.shipped_at) == ("Post", "1Z", NOW)
        assert (holding.state, holding.shipment) == (HoldingState.USED, ShipmentState.SHIPPED)
        [used] = session.scalars(select(Redemption))
        assert (used.transition, used.channel) == (Transition.USED, Channel.STAFF)
        shipping.deliver(session, holding, at=NOW)
        assert holding.shipment is ShipmentState.DELIVERED

    def test_taken_back_it_waits_again_until_it_is_delivered(
        self, session: Session, perk: Perk
    ) -> None:
        holding = ready(session, perk)
        shipping.ship(session, holding, at=NOW)
        [used] = session.scalars(select(Redemption))
        using.undo(session, used, actor="test", at=NOW)
        assert (holding.state, holding.shipment) == (
            *(HoldingState.AVAILABLE, ShipmentState.READY_TO_SHIP),
        )
        shipping.ship(session, holding, at=NOW)
        shipping.deliver(session, holding, at=NOW)
        again = session.scalars(select(Redemption).order_by(Redemption.id.desc())).first()
        assert again is not None
        with pytest.raises(HoldingTransitionError, match="delivered"):
            using.undo(session, again, actor="test", at=NOW, is_admin=True)

    def test_nobody_uses_it_at_a_till(self, session: Session, perk: Perk) -> None:
        holding = ready(session, perk)
        with pytest.raises(WrongChannelError):
            using.use(session, holding, channel=Channel.STAFF, actor="test", at=NOW)

    def test_what_is_revoked_is_not_sent_and_its_address_is_gone(
        self, session: Session, perk: Perk
    ) -> None:
        holding = ready(session, perk)
        using.revoke(session, holding, reason="refunded", at=NOW)
        assert shipping.address_of(session, holding) is None
        with pytest.raises(ConflictError), session.begin_nested():
            shipping.ship(session, holding, at=NOW)


class TestLapse:
    def test_without_an_address_others_may_get_it(self, session: Session) -> None:
        perk = perk_of(
            session, RedemptionType.PHYSICAL, terms=TERMS, total_quantity=2, max_per_user=1
        )
        late, good = hold(session, perk, "late@example.com"), ready(session, perk)
        rows = [
            PerkQuota(perk_id=perk.id, user_id=it.user_id, granted_count=1, max_per_user=1)
            for it in (late, good)
        ]
        session.add_all(rows)
        session.flush()
        assert not sweeping.lapse_due(session, NOW + 9 * DAY)
        assert perk.left == 0
        while sweeping.lapse_due(session, NOW + 10 * DAY):
            pass
        for row in (late, good, perk):
            session.refresh(row)
        assert (late.state, late.shipment) == (HoldingState.EXPIRED, ShipmentState.LAPSED)
        assert good.shipment is ShipmentState.READY_TO_SHIP
        assert (perk.granted_count, perk.left) == (1, 1)
        quotas = dict(session.execute(select(PerkQuota.user_id, PerkQuota.granted_count)).all())
        assert quotas == {late.user_id: 0, good.user_id: 1}
        with pytest.raises(HoldingTransitionError, match="lapsed"):
            using.extend(session, late, until=NOW + 20 * DAY, at=NOW + 11 * DAY)


class TestForgetting:
    def test_ninety_days_after_the_delivery(self, session: Session, perk: Perk) -> None:
        holding = ready(session, perk)
        shipping.ship(session, holding, at=NOW)
        assert shipping.forget_delivered(session, at=NOW + 400 * DAY) == 0
        shipping.deliver(session, holding, at=NOW)
        assert shipping.forget_delivered(session, at=NOW + 89 * DAY) == 0
        assert shipping.forget_delivered(session, at=NOW + 90 * DAY) == 1
        session.expire_all()
        assert shipping.address_of(session, holding) is None


class TestFiles:
    def test_shipments_leave_as_a_table_no_spreadsheet_runs(
        self, session: Session, perk: Perk
    ) -> None:
        holding = ready(session, perk)
        hold(session, perk, "eve@example.com")
        lines = "".join(shipping.export(session, perk, at=NOW)).splitlines()
        assert len(lines) == 2
        assert lines[1].startswith(f"{encode_id('hld', holding.id)},Ada L.,'=1 Long Lane,,1000,")
        kinds = session.scalars(select(Event.type)).all()
        assert "cohort.perk.addresses-exported" in kinds

    def take(self, session: Session, perk: Perk, folder: Path, *lines: str) -> int:
        path = folder / "tracking.csv"
        path.write_text("\n".join(lines))
        return shipping.take_tracking(session, perk, path, at=NOW)

    def test_tracking_numbers_come_back(self, session: Session, perk: Perk, tmp_path: Path) -> None:
        one, two = ready(session, perk, "a@example.com"), ready(session, perk, "b@example.com")
        names = [encode_id("hld", it.id) for it in (one, two)]
        head = "holdingId;carrier;tracking;state"
        rows = (head, f"{names[0]};Post;1Z;shipped", f"{names[1]};Post;2Z;delivered")
        assert self.take(session, perk, tmp_path, *rows) == 2
        assert (one.shipment, two.shipment) == (ShipmentState.SHIPPED, ShipmentState.DELIVERED)
        assert self.take(session, perk, tmp_path, head, f"{names[0]};;;delivered") == 1
        assert one.shipment is ShipmentState.DELIVERED
        assert session.get_one(Shipment, one.id).tracking == "1Z"

    @pytest.mark.parametrize(
        ("lines", "sentence"),
        [
            (["carrier,tracking", "a,b"], "first line must name"),
            (["holdingId,carrier", "nobody,Post"], "Line 2"),
            (["holdingId,carrier", f"{encode_id('hld', UUID(int=1))},P"], "Line 2"),
        ],
    )
    def test_what_names_nothing_is_refused_with_its_line(
        self, session: Session, perk: Perk, tmp_path: Path, lines: list[str], sentence: str
    ) -> None:
        ready(session, perk)
        with pytest.raises(TrackingInvalidError, match=sentence):
            self.take(session, perk, tmp_path, *lines)

    def test_what_is_not_ready_is_refused(
        self, session: Session, perk: Perk, holding: Holding, tmp_path: Path
    ) -> None:
        name = encode_id("hld", holding.id)
        with pytest.raises(TrackingInvalidError, match="Line 2"):
            self.take(session, perk, tmp_path, "holdingId", name)

    def test_nothing_is_cut(self, session: Session, perk: Perk, tmp_path: Path) -> None:
        holding = ready(session, perk)
        name = encode_id("hld", holding.id)
        for carrier, number in (("x" * 81, "1Z"), ("Post", "x" * 121)):
            row = f"{name},{carrier},{number}"
            with pytest.raises(TrackingInvalidError, match="Line 2: A carrier has at most 80"):
                self.take(session, perk, tmp_path, "holdingId,carrier,tracking", row)
        row = f"{name},{'x' * 80},{'y' * 120}"
        assert self.take(session, perk, tmp_path, "holdingId,carrier,tracking", row) == 1
        parcel = session.get_one(Shipment, holding.id)
        assert (parcel.carrier, parcel.tracking) == ("x" * 80, "y" * 120)

    def test_what_was_revoked_is_refused_too(
        self, session: Session, perk: Perk, tmp_path: Path
    ) -> None:
        holding = ready(session, perk)
        using.revoke(session, holding, reason="refunded", at=NOW)
        with pytest.raises(TrackingInvalidError, match="Line 2: It is revoked"):
            self.take(session, perk, tmp_path, "holdingId", encode_id("hld", holding.id))
