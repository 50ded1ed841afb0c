"""What is somebody else's does not exist: every address is tried with identifiers of others.

The objects of another merchant, for the team; those of another member of the same brand, for a
member. Each answer is the one for an identifier that nobody ever had.
"""

import io
import re
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.draws.models import Box
from app.perks.terms import RedemptionType
from app.points import rules
from app.points.rules import RuleDraft
from app.privacy import copies
from app.rewards import manual
from app.rewards.granting import grant
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantSource
from app.rewards.service import Source
from app.segments import badges
from app.users import lists, properties
from app.users.exports import service as exports
from app.users.exports.models import ExportFormat, ExportKind
from app.users.imports import service as imports
from app.users.models import Kind, User
from app.web.access import declared_classes
from chain.models import NonceLane
from core.db import unit_of_work
from core.ids import decode_id, encode_id, new_id
from core.types import ImportId, ManualGrantId
from minting.models import Token
from tests.app.points.test_ledger import earn, make_unit
from tests.app.test_roles import call, token_of
from tests.app.test_routes import make_segment
from tests.app.web.client import TestClient
from tests.conftest import NOW
from tests.factories.brand import (
    make_asset,
    make_campaign,
    make_members,
    make_other_merchant,
    make_perk,
)
from tests.factories.chain import enqueue, make_intent, make_lane
from tests.factories.claims import make_batch
from tests.factories.draws import hand_out, make_draw
from tests.factories.minting import make_plan
from tests.factories.perks import hold, load, make_place, perk_of
from tests.factories.scanning import make_device

_PARAMETER = re.compile(r"\{(\w+)\}")
FIXED = {"position": "1", "kind": "users"}
"""Parameters that name no object."""
NOT_THERE_YET = {
    "/admin/users/exports/{export_id}/file",
    "/admin/users/{user_id}/privacy/copies/{export_id}",
    "/admin/campaigns/{campaign_id}/audience/rejected.csv",
}
"""Files that nobody made yet."""
UNRELATED = {"/admin/segments/{segment_id}/members/{user_id}"}
"""Asks whether any member is in any segment, and why not."""
NEEDED = {"reverse": {"reason": "because"}, "add": {"file": "1"}}
"""What a form must say, by the end of its address, before anybody looks for the object."""


def make_everything(session: Session) -> dict[str, str]:
    """An object of each kind that an address of the admin can name, by the name of its parameter.

    A copy of everything about a member is `copy_id` here, though its address says `export_id`.
    """
    [user] = make_members(session, f"{new_id().hex}@example.com")
    perk = perk_of(session, RedemptionType.UNIQUE_CODE, title=f"P {new_id().hex}")
    unit = make_unit(session, new_id().hex[-8:])
    lane = session.scalar(select(NonceLane)) or make_lane(session)  # a merchant has one
    file = load(session, perk, "A\n", name="c.txt")
    row = imports.upload(session, "m.csv", io.BytesIO(b"email\na@example.com\n"), at=NOW)
    choice = Choice(perk_id=make_perk(session, f"G {new_id().hex}").id)
    given = manual.give(session, ManualGrantId(new_id()), choice, [user], reason="because", at=NOW)
    options = {"columns": ["email"]}
    export = exports.request(session, ExportKind.USERS, ExportFormat.CSV, options, at=NOW)
    copy = copies.request(session, session.get_one(User, user), at=NOW)
    device = make_device(session, name=new_id().hex)[0].device
    rule = RuleDraft(unit.id, new_id().hex, "custom.order.paid", Decimal(1), NOW.date())
    assert device is not None
    found: dict[str, tuple[str, UUID]] = {
        "user_id": ("usr", user),
        "asset_id": ("das", make_asset(session).id),
        "campaign_id": ("cmp", make_campaign(session, new_id().hex).id),
        "list_id": ("lst", lists.create(session, new_id().hex, at=NOW).id),
        "badge_id": ("bdg", badges.create(session, new_id().hex[-20:], at=NOW).id),
        "segment_id": ("seg", make_segment(session, new_id().hex).id),
        "import_id": ("imp", row.id),
        "perk_id": ("prk", perk.id),
        "holding_id": ("hld", hold(session, perk, f"{new_id().hex}@example.com").id),
        "file_id": ("cdf", file.id),
        "draw_id": ("drw", make_draw(session).id),
        "place_id": ("plc", make_place(session, new_id().hex).id),
        "batch_id": ("clb", make_batch(session, choice=choice).id),
        "grant_id": ("mgr", given.id),
        "unit_id": ("pun", unit.id),
        "rule_id": ("prl", rules.create(session, rule, at=NOW).id),
        "transaction_id": ("ltx", earn(session, unit, user, 5, new_id().hex).id),
        "device_id": ("dev", device.id),
        "property_id": ("prp", properties.create(session, new_id().hex, Kind.TEXT, at=NOW).id),
        "export_id": ("exp", export.id),
        "copy_id": ("cpy", copy.id),
        "lane": ("lan", lane.id),
        "transaction": ("txn", enqueue(session, lane.id, make_intent()).id),
        "batch": ("bat", make_plan(session, b"\x01").batches[0].id),
    }
    return {name: encode_id(prefix, it) for name, (prefix, it) in found.items()}


def filled(path: str, known: dict[str, str]) -> str:
    """The address with these identifiers."""
    names = {**known, **FIXED}
    if "/copies/" in path:
        names["export_id"] = names["copy_id"]
    return _PARAMETER.sub(lambda found: names[found[1]], path)


def fresh(known: dict[str, str]) -> dict[str, str]:
    """Identifiers of the same kinds that nobody ever had."""
    return {name: encode_id(it.split("_")[0], new_id()) for name, it in known.items()}


def named_routes(app: FastAPI, side: str) -> list[tuple[str, str]]:
    """Routes that name objects, of callers of this class."""
    return [
        (method, name.split(" ")[1])
        for name, classes in declared_classes(app).items()
        for method in name.split(" ")[0].split(",")
        if classes[0].startswith(side) and set(_PARAMETER.findall(name)) - set(FIXED)
    ]


class TestOtherMerchants:
    @pytest.fixture
    def theirs(self, merchant: Merchant) -> Iterator[dict[str, str]]:
        """Objects of another merchant."""
        with unit_of_work(merchant=make_other_merchant(merchant), actor="test") as session:
            found = make_everything(session)
        yield found
        imports.forget_files(ImportId(decode_id("imp", found["import_id"])))

    @pytest.fixture
    def ours(self, merchant: Merchant) -> Iterator[dict[str, str]]:
        """Objects of the owner's own merchant."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            found = make_everything(session)
        yield found
        imports.forget_files(ImportId(decode_id("imp", found["import_id"])))

    def test_every_kind_is_tried(self, whole_app: FastAPI, ours: dict[str, str]) -> None:
        paths = " ".join(path for _, path in named_routes(whole_app, "team:"))
        asked = set(_PARAMETER.findall(paths)) - set(FIXED)
        assert asked == set(ours) - {"copy_id"}, "`make_everything` lacks some, or has too many"

    def test_ones_own_exist(
        self, whole_app: FastAPI, admin: TestClient, ours: dict[str, str]
    ) -> None:
        """Else nothing here would prove anything."""
        missing = {
            path
            for method, path in named_routes(whole_app, "team:")
            if method == "GET" and call(admin, method, filled(path, ours))[0] == 404
        }
        assert missing == NOT_THERE_YET

    def test_do_not_exist(
        self,
        whole_app: FastAPI,
        admin: TestClient,
        theirs: dict[str, str],
        ours: dict[str, str],
    ) -> None:
        token, never = token_of(admin), fresh(ours)
        for method, path in named_routes(whole_app, "team:"):
            form = NEEDED.get(path.rpartition("/")[2])
            *_, last = [it for it in _PARAMETER.findall(path) if it not in FIXED]
            for known in ({}, {name: it for name, it in ours.items() if name != last}):
                told = call(admin, method, filled(path, {**theirs, **known}), token, form=form)
                nobodys = call(admin, method, filled(path, {**never, **known}), token, form=form)
                assert told == nobodys and told[0] == 404, (method, path, told, nobodys)

    def test_nor_under_an_address_they_do_not_belong_to(
        self, whole_app: FastAPI, merchant: Merchant, admin: TestClient, ours: dict[str, str]
    ) -> None:
        """A holding of one perk, say, under another perk of the same brand."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            others = make_everything(session)
        token = token_of(admin)
        for method, path in named_routes(whole_app, "team:"):
            names = [it for it in _PARAMETER.findall(path) if it not in FIXED]
            if len(names) > 1 and path not in UNRELATED:
                known = {**ours, names[0]: others[names[0]]}
                form = NEEDED.get(path.rpartition("/")[2])
                told = call(admin, method, filled(path, known), token, form=form)
                assert told[0] == 404, (method, path, told)


class TestOtherMembers:
    """Eve's things, asked for by Ada, who is a member of the same brand."""

    @pytest.fixture
    def hers(self, merchant: Merchant) -> dict[str, str]:
        """A perk to be sent, a box, a collectible and a copy of another member."""
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            [eve] = make_members(session, "eve@example.com")
            physical = perk_of(session, RedemptionType.PHYSICAL)
            holding = hold(session, physical, "eve@example.com")
            hand_out(session, make_draw(session), eve)
            line = make_line(session, Choice(make_asset(session).id))
            source = Source(GrantSource.CLAIM, UUID(int=1))
            grant(session, line, eve, source=source, at=NOW)
            box = encode_id("box", session.scalars(select(Box.id)).one())
            copy = copies.request(session, session.get_one(User, eve), at=NOW)
            return {
                "holding_id": encode_id("hld", holding.id),
                "box_id": box,
                "entry_id": box,
                "token": encode_id("tok", session.scalars(select(Token.id)).one()),
                "copy_id": encode_id("cpy", copy.id),
                "code": "A" * 26,
                "place": encode_id("plc", make_place(session).id),
            }

    def test_do_not_exist(
        self, whole_app: FastAPI, member: TestClient, hers: dict[str, str]
    ) -> None:
        token = token_of(member, "/space/login")
        never = {**fresh(hers), "code": hers["code"]}
        routes = named_routes(whole_app, "member")
        asked = {name for _, path in routes for name in _PARAMETER.findall(path)}
        assert asked - {"export_id"} == set(hers) - {"copy_id"}, "`hers` lacks some"
        for method, path in routes:
            said = {"clientNonce": ""} if path.startswith("/space/api/") else None
            told = call(member, method, filled(path, hers), token, document=said)
            nobodys = call(member, method, filled(path, never), token, document=said)
            assert told == nobodys and told[0] == 404, (method, path, told, nobodys)
