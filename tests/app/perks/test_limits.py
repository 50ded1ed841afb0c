"""Limits of what people type for perks and pools: at the limit it is taken, one beyond is named."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

import pytest
from sqlalchemy.orm import Session

from app.perks import code_files, codes, places, service, shipping, using
from app.perks.drafting import PerkDraft
from app.perks.errors import (
    AddressInvalidError,
    PatternInvalidError,
    PerkInvalidError,
    PerkUnpublishableError,
    PoolFullError,
    ReasonMissingError,
)
from app.perks.models import PerkState
from app.perks.patterns import Pattern
from app.perks.shipping import Address
from app.perks.terms import Hours, Options, RedemptionType, UsedOn, Validity
from core.errors import InvalidError
from core.ids import new_id
from core.types import PlaceId
from tests.conftest import NOW
from tests.factories.perks import load, perk_of

DRAFT = PerkDraft("Coffee, internally", "Coffee")
HOME = Address("Ada L.", "1 Long Lane", "", "1000", "Brussels", "", "BE", "")
DECOMPOSED = "e\u0301"  # one character, typed as two
MOST = 100_000_000
LATER = NOW + timedelta(days=1)
SHARED, LINK = RedemptionType.SHARED_CODE, RedemptionType.LINK
PHYSICAL, UNIQUE = RedemptionType.PHYSICAL, RedemptionType.UNIQUE_CODE


class Limit(NamedTuple):
    """Values of a field that are taken, and values that are refused.

    Args:
        said: what else is chosen, for the field to count.
        named: what the refusal names, where that is not the field.
    """

    field: str
    taken: list[Any]
    refused: list[Any]
    said: dict[str, Any] = {}  # noqa: RUF012 - never changed
    named: str | None = None


def text(least: int, most: int) -> tuple[list[str], list[str]]:
    """As many characters as may be, however they are typed, and one more."""
    fitting = ["x" * least, "x" * most, DECOMPOSED * most, f"  {'x' * most}\n"]
    return fitting, ["x" * (most + 1), *(["", " \t"] if least else [])]


LIMITS = [
    Limit("internal_name", *text(1, 120)),
    Limit("title", *text(1, 80)),
    Limit("subtitle", *text(0, 120)),
    Limit("description", *text(0, 5_000)),
    Limit("conditions", *text(0, 10_000)),
    Limit("reference_id", [None, "x", "x" * 64], ["x" * 65]),
    Limit("cta_label", *text(0, 40)),
    Limit("total_quantity", [None, 1, MOST], [0, -1, MOST + 1]),
    Limit("max_per_user", [None, 1, 1_000], [0, 1_001]),
    *(
        Limit("uses_per_holding", [1, 1_000, None], [0, 1_001], {"redemption": kind})
        for kind in (RedemptionType.NONE, SHARED, LINK)
    ),
    *(
        Limit("uses_per_holding", [1, 1_000], [0, 1_001, None], {"redemption": kind})
        for kind in (UNIQUE, RedemptionType.SCAN)
    ),
    Limit("uses_per_holding", [1], [0, 2, None], {"redemption": PHYSICAL}),
    Limit("undo_minutes", [0, 1_440], [-1, 1_441]),
    Limit("low_stock_percent", [None, 0, 50], [-1, 51], named="low_stock"),
    Limit(
        "low_stock_count",
        [None, 0, MOST],
        [-1, MOST + 1],
        {"low_stock_percent": None},
        named="low_stock",
    ),
    Limit("valid_days", [1, 3_650], [None, 0, 3_651], {"validity": Validity.DAYS}),
    Limit("valid_until", [NOW], [None], {"validity": Validity.UNTIL}),
    Limit("valid_from", [NOW], [None], {"validity": Validity.WINDOW, "valid_until": LATER}),
    Limit(
        "valid_until",
        [NOW + timedelta(microseconds=1)],
        [NOW, NOW - timedelta(days=1), None],
        {"validity": Validity.WINDOW, "valid_from": NOW},
    ),
    Limit("validity", [Validity.NONE], [Validity.DAYS], {"redemption": PHYSICAL, "valid_days": 1}),
    Limit(
        "places",
        [(), tuple(PlaceId(new_id()) for _ in range(1_000))],
        [tuple(PlaceId(new_id()) for _ in range(1_001))],
    ),
]


TERMS = [
    Limit("code", ["", "x", "x" * 64, DECOMPOSED * 64], ["x" * 65, "a\nb"], {"redemption": SHARED}),
    Limit(
        "signature", ["", "s", "x" * 40], ["x" * 41, "a b", "é", "1a", "a="], {"redemption": LINK}
    ),
    Limit("deadline_days", [1, 365], [0, 366], {"redemption": PHYSICAL}),
]


def drafts(wanted: str) -> Iterator[Any]:
    """Each value that is taken, or refused, as a draft, with the field that would be named."""
    for limit in LIMITS:
        for value in getattr(limit, wanted):
            draft = replace(DRAFT, **{**limit.said, limit.field: value})
            yield pytest.param(draft, limit.named or limit.field, id=_id(limit, value))
    for limit in TERMS:
        for value in getattr(limit, wanted):
            draft = replace(DRAFT, **limit.said, terms=Options(**{limit.field: value}))
            yield pytest.param(draft, limit.field, id=_id(limit, value))


def _id(limit: Limit, value: Any) -> str:
    size = len(value) if isinstance(value, (str, tuple)) else value
    return f"{limit.said.get('redemption', '')}-{limit.field}-{size}"


class TestPerk:
    @pytest.mark.parametrize(("draft", "field"), drafts("taken"))
    def test_at_the_limit_is_saved(self, session: Session, draft: PerkDraft, field: str) -> None:
        perk = service.create(session, draft, at=NOW)
        session.refresh(perk)
        assert perk.title == draft.title.strip().replace(DECOMPOSED, "é"), field

    @pytest.mark.parametrize(("draft", "field"), drafts("refused"))
    def test_beyond_it_the_field_is_named(
        self, session: Session, draft: PerkDraft, field: str
    ) -> None:
        with pytest.raises(PerkInvalidError) as refused:
            service.create(session, draft, at=NOW)
        assert (refused.value.status, list(refused.value.fields)) == (422, [field])

    def test_everything_wrong_is_named_at_once(self, session: Session) -> None:
        draft = replace(DRAFT, title="", total_quantity=0, undo_minutes=-1)
        with pytest.raises(PerkInvalidError) as refused:
            service.create(session, draft, at=NOW)
        assert set(refused.value.fields) == {"title", "total_quantity", "undo_minutes"}

    def test_a_name_is_the_same_however_it_is_typed(self, session: Session) -> None:
        service.create(session, replace(DRAFT, internal_name="Café"), at=NOW)
        with pytest.raises(PerkInvalidError) as refused:
            service.create(session, replace(DRAFT, internal_name=f" Caf{DECOMPOSED}"), at=NOW)
        assert list(refused.value.fields) == ["internal_name"]


class TestPublish:
    def missing(self, session: Session, **changes: Any) -> tuple[str, ...]:
        perk = service.create(session, replace(DRAFT, **changes), at=NOW - timedelta(days=1))
        try:
            service.publish(session, perk, at=NOW)
        except PerkUnpublishableError as refused:
            assert refused.status == 422 and len(refused.fields) == len(refused.problems)
            return refused.problems
        return ()

    @pytest.mark.parametrize(
        "url", ["https://a.example", "https://a.example/?c={{lang}}", f"https://a/{'x' * 1_990}"]
    )
    def test_an_address_with_https_is_taken(self, session: Session, url: str) -> None:
        assert self.missing(session, cta_url=url) == ()
        assert (
            self.missing(session, internal_name="2", redemption=LINK, terms=Options(url=url)) == ()
        )

    @pytest.mark.parametrize(
        "url",
        [
            *("http://a.example", "javascript:alert(1)", "//a.example", "a.example", "https://"),
            *("https://{{lang}}.example", "https://a.example/{{name}}", "https://a.example/a b"),
            *("https://u:p@a.example", "https://a.example\\@b.example", f"https://a/{'x' * 1_991}"),
        ],
    )
    def test_no_other_is(self, session: Session, url: str) -> None:
        assert self.missing(session, cta_url=url) == ("cta_url_invalid",)
        link = {"internal_name": "2", "redemption": LINK, "terms": Options(url=url)}
        assert self.missing(session, **link) == ("cta_url_invalid",)

    def test_a_link_without_an_address_neither(self, session: Session) -> None:
        assert self.missing(session, redemption=LINK) == ("cta_url_invalid",)

    @pytest.mark.parametrize(
        ("validity", "seconds", "expected"),
        [
            (Validity.UNTIL, 1, ()),
            (Validity.UNTIL, 0, ("validity_in_past",)),
            (Validity.WINDOW, 1, ()),
            (Validity.WINDOW, 0, ("validity_in_past",)),
        ],
    )
    def test_its_time_is_still_to_come(
        self, session: Session, validity: Validity, seconds: int, expected: tuple[str, ...]
    ) -> None:
        span = {"valid_from": NOW - timedelta(days=9), "valid_until": NOW + timedelta(0, seconds)}
        assert self.missing(session, validity=validity, **span) == expected

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"redemption": UNIQUE}, ("codes_missing",)),
            (
                {"redemption": LINK, "terms": Options(url="https://a.example/{{code}}")},
                ("codes_missing",),
            ),
            ({"cta_url": "https://a.example/{{code}}"}, ("cta_url_invalid",)),
            ({"redemption": SHARED}, ("parameters_missing",)),
            ({"redemption": SHARED, "terms": Options(code="X")}, ()),
            (
                {
                    "redemption": LINK,
                    "terms": Options(url="https://a.example", used_on=UsedOn.CLICK),
                    "hours": Hours(((0, 0, 60),)),
                },
                ("parameters_missing",),
            ),
        ],
    )
    def test_its_type_has_what_it_needs(
        self, session: Session, changes: dict[str, Any], expected: tuple[str, ...]
    ) -> None:
        assert self.missing(session, **changes) == expected

    def test_a_title_is_there(self, session: Session) -> None:
        perk = service.create(session, DRAFT, at=NOW)
        perk.title = " "
        session.flush()
        with pytest.raises(PerkUnpublishableError) as refused:
            service.publish(session, perk, at=NOW)
        assert (refused.value.problems, list(refused.value.fields)) == (
            *(("title_missing",), ["title"]),
        )


class TestLive:
    """Members see a live perk, so a change holds it to what publishing it asked."""

    REFUSED: ClassVar[dict[str, dict[str, Any]]] = {
        "cta_url": {"cta_url": "javascript:alert(1)"},
        "url": {"redemption": LINK, "terms": Options(url="http://a.example")},
        "code": {"redemption": SHARED, "terms": Options(code="")},
    }

    @pytest.mark.parametrize("name", REFUSED)
    @pytest.mark.parametrize("state", [PerkState.DRAFT, PerkState.LIVE, PerkState.ARCHIVED])
    def test_is_changed_to_nothing_that_is_not_published(
        self, session: Session, name: str, state: PerkState
    ) -> None:
        perk = service.create(session, DRAFT, at=NOW)
        service.publish(session, perk, at=NOW)
        perk.state = state
        session.flush()
        wanted = replace(DRAFT, title="Tea", **self.REFUSED[name])
        if state is not PerkState.LIVE:
            service.edit(session, perk, wanted)
            assert perk.title == "Tea"
            return
        with pytest.raises(PerkInvalidError) as refused:
            service.edit(session, perk, wanted)
        assert list(refused.value.fields) == [name]
        session.refresh(perk)
        assert (perk.title, perk.cta_url, perk.redemption) == (
            *(DRAFT.title, "", RedemptionType.NONE),
        )

    def test_whose_time_is_over_is_changed_all_the_same(self, session: Session) -> None:
        said = replace(DRAFT, validity=Validity.UNTIL, valid_until=NOW + timedelta(days=1))
        perk = service.create(session, said, at=NOW)
        service.publish(session, perk, at=NOW)
        perk.valid_until = NOW - timedelta(days=1)
        session.flush()
        service.edit(session, perk, replace(said, title="Tea", valid_until=perk.valid_until))
        assert perk.title == "Tea"


class TestPool:
    @pytest.mark.parametrize(
        "pattern", [Pattern(length=8), Pattern(length=32), Pattern(prefix="x" * 32)]
    )
    @pytest.mark.parametrize("count", [1, 10_000])
    def test_a_pattern_at_its_limits_makes_codes(
        self, session: Session, pattern: Pattern, count: int
    ) -> None:
        row = code_files.generate(session, perk_of(session, UNIQUE), pattern, count, at=NOW)
        assert row.wanted_count == count

    @pytest.mark.parametrize(
        ("pattern", "field"),
        [
            (Pattern(length=7), "length"),
            (Pattern(length=33), "length"),
            (Pattern(prefix="x" * 33), "prefix"),
        ],
    )
    def test_beyond_them_none(self, session: Session, pattern: Pattern, field: str) -> None:
        with pytest.raises(PatternInvalidError) as refused:
            code_files.generate(session, perk_of(session, UNIQUE), pattern, 1, at=NOW)
        assert list(refused.value.fields) == [field]

    def test_ten_million_codes_and_no_more(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        assert code_files.generate(session, perk, Pattern(), 10_000_000, at=NOW).id
        perk.code_count = 1
        with pytest.raises(PoolFullError) as refused:
            code_files.generate(session, perk, Pattern(), 10_000_000, at=NOW)
        assert refused.value.status == 422

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("x,,", None),
            (f"{'x' * 128},,", None),
            (f"{'x' * 129},,", "too_long"),
            ("a,2026-12-31,ada@example.com", None),
            ("a,,ada", "email_invalid"),
        ],
    )
    def test_a_row_is_a_code_or_says_why_not(
        self, session: Session, line: str, reason: str | None
    ) -> None:
        row = load(session, perk_of(session, UNIQUE), f"code,expiresAt,email\n{line}\n")
        refused = "".join(code_files.refusals_as_csv(session, row)).splitlines()[1:]
        assert refused == ([] if reason is None else [f"2,{reason}"])
        assert row.added_count == (reason is None)


def _revoke(session: Session, reason: str) -> object:
    perk = perk_of(session, UNIQUE)
    load(session, perk, "A\n", name="c.txt")
    return codes.void_typed(session, perk, "A", reason=reason, at=NOW)


class TestReasonsPlacesAddresses:
    @pytest.mark.parametrize(
        "act", [_revoke, lambda _, reason: using.check_reason(reason)], ids=["void", "revoke"]
    )
    def test_a_reason_has_up_to_500_characters(
        self, session: Session, act: Callable[[Session, str], object]
    ) -> None:
        for reason in ("", "  ", "x" * 501, "a\0b"):
            with pytest.raises(ReasonMissingError) as refused, session.begin_nested():
                act(session, reason)
            assert (refused.value.status, list(refused.value.fields)) == (422, ["reason"])
        for reason in ("x", f" {'x' * 500} "):
            world = session.begin_nested()
            act(session, reason)
            world.rollback()
            session.expire_all()

    @pytest.mark.parametrize(
        ("name", "address", "named"),
        [
            ("x", "", []),
            ("x" * 120, "x" * 300, []),
            (DECOMPOSED * 120, "", []),
            (" ", "", ["name"]),
            ("x" * 121, "", ["name"]),
            ("x", "x" * 301, ["address"]),
        ],
    )
    def test_a_place_has_a_name(
        self, session: Session, name: str, address: str, named: list[str]
    ) -> None:
        fields: list[str] = []
        try:
            places.save(session, None, name, address, at=NOW)
        except InvalidError as refused:
            fields = list(refused.fields)
        assert fields == named

    @pytest.mark.parametrize(
        ("field", "least", "most"),
        [(name, least, most) for name, (least, most) in shipping._LENGTHS.items()],
    )
    def test_each_line_of_an_address_has_its_length(
        self, field: str, least: int, most: int
    ) -> None:
        for size in {least, most}:
            replace(HOME, **{field: "x" * size}).check(Options())
        for size in {least - 1, most + 1} - {-1}:
            with pytest.raises(AddressInvalidError) as refused:
                replace(HOME, **{field: "x" * size}).check(Options())
            assert list(refused.value.fields) == [field]
