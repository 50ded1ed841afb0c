"""Screens over the pipeline: the admin's first page, transactions by state, lanes."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst
from app.operations import queries
from app.web.deps import SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from chain import lanes
from chain.errors import ChainUnavailableError
from chain.models import NonceLane, Transaction, TransactionState
from chain.networks import client_for
from core.ids import decode_id, encode_id
from core.types import BatchId, LaneId, Wei
from minting.sending import release

router = APIRouter(prefix="/admin")


@router.get("")
def home(request: Request, session: SessionDep, _who: Analyst) -> Response:
    """What there is, what needs attention, what to do next."""
    return render(request, "operations/home.html", home=queries.home(session))


@router.get("/operations")
def list_transactions(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    state: TransactionState | None = None,
    cursor: str | None = None,
) -> Response:
    """Every transaction, newest first, and the lanes they travel on."""
    page = list_page(
        session,
        queries.transactions(state),
        keys=[Transaction.id],
        is_descending=True,
        cursor=cursor,
    )
    standing = queries.standing(session)
    return render(
        request,
        "operations/list.html",
        page=page,
        plans=queries.plans_of(session, list(page.items)),
        standing=standing,
        balances={lane.id: _balance(lane) for lane in standing.lanes},
        state=state,
        states=list(TransactionState),
        encode_id=encode_id,
    )


@router.post("/operations/lanes/{lane}/resume")
def resume(session: SessionDep, _who: Admin, lane: str) -> Response:
    """The lane takes transactions again."""
    found = queries.get_lane(session, LaneId(decode_id("lan", lane)))
    lanes.resume(session, found.id)
    return RedirectResponse("/admin/operations", status_code=303)


@router.post("/operations/batches/{batch}/release")
def release_batch(session: SessionDep, _who: Admin, batch: str) -> Response:
    """A held batch is tried again with the same bytes."""
    release(session, BatchId(decode_id("bat", batch)))
    return RedirectResponse("/admin/operations", status_code=303)


def _balance(lane: NonceLane) -> Wei | None:
    """The relayer's balance, or None while the chain does not answer: the page shows that."""
    try:
        return client_for(lane.chain).balance(lane.address)
    except ChainUnavailableError:
        return None
