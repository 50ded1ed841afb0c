"""Digests on a real chain: the contract once, a call each, and where they are found."""

import pytest
from sqlalchemy import func, select

from app.draws import boxes, documents, heads
from app.draws.models import Box, Draw
from app.engine import reconcile, step
from chain.bindings.anchor import encode_count
from chain.client import ChainClient
from chain.models import Discrepancy
from core.db import unit_of_work
from core.types import utc_now
from minting import anchors
from minting.anchor_models import AnchoredDigest
from minting.models import Plan, PlanKind
from tests.app.draws.made import some
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.draws import hand_out, make_draw
from tests.factories.engine import Installation, make_installation

ONE, TWO = some(1, 32, "digest"), some(2, 32, "digest")


@pytest.fixture
def installation(committed: None, node: ChainClient) -> Installation:
    """A merchant on the development chain."""
    return make_installation(node)


def request(installation: Installation, *digests: bytes) -> None:
    with unit_of_work(merchant=installation.merchant) as session:
        for digest in digests:
            anchors.request(session, digest, at=utc_now())


class TestAnchors:
    def test_each_digest_is_told_once_whatever_is_repeated(
        self, installation: Installation, node: ChainClient
    ) -> None:
        request(installation, ONE, TWO, ONE)
        installation.step_until(lambda session: anchors.find(session, TWO) is not None)
        installation.step_until(lambda session: anchors.find(session, ONE) is not None)
        request(installation, ONE)
        for _ in range(3):
            step(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            found = anchors.find(session, ONE)
            assert found is not None
            assert int.from_bytes(node.call(found.contract, encode_count())) == 2
            receipt = node.receipt(found.tx_hash)
            assert receipt is not None and receipt.block_number == found.block_number
            [log] = receipt.logs
            assert ONE.hex() in str(log["topics"][1])
            contracts = select(func.count()).where(Plan.kind == PlanKind.ANCHOR_CONTRACT)
            assert session.scalar(contracts) == 1
        reconcile(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            assert session.scalar(select(func.count()).select_from(Discrepancy)) == 0

    def test_nothing_is_planned_while_nobody_asks(self, installation: Installation) -> None:
        for _ in range(3):
            step(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            assert anchors.find(session, ONE) is None
            kinds = set(session.scalars(select(Plan.kind)))
            assert not kinds & {PlanKind.ANCHOR, PlanKind.ANCHOR_CONTRACT}

    def test_a_draw_says_where_its_commitment_and_the_heads_of_its_log_are(
        self, installation: Installation
    ) -> None:
        with unit_of_work(merchant=installation.merchant) as session:
            draw = make_draw(session)
            hand_out(session, draw, *make_members(session, "a@example.com"), times=2)
            box = session.scalars(select(Box).limit(1)).one()
            head = boxes.open_box(session, box, nonce=None, at=NOW).hash
            heads.publish(session, draw, [(1, head)], at=NOW)
            said = documents.summary(session, draw)
            assert (said["commitmentAnchor"], said["heads"][0]["anchor"]) == (None, None)
        installation.step_until(lambda session: anchors.find(session, head) is not None)
        installation.step_until(lambda session: anchors.find(session, draw.commitment) is not None)
        with unit_of_work(merchant=installation.merchant) as session:
            said = documents.summary(session, session.get_one(Draw, draw.id))
            assert said["commitmentAnchor"]["chainId"] == installation.place.chain.id
            assert said["commitmentAnchor"]["txHash"].startswith("0x")
            [told] = said["heads"]
            found = anchors.find(session, head)
            assert found is not None and (told["k"], told["logHash"]) == (1, head.hex())
            assert told["anchor"]["txHash"] == "0x" + found.tx_hash.hex()
            digests = set(session.scalars(select(AnchoredDigest.digest)))
            assert digests == {draw.commitment, head}
