"""Screens over the pipeline: the admin's first page, transactions by state, lanes."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst, Editor
from app.operations import mails, queries
from app.operations.integrity import integrity
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from chain import lanes, replacements
from chain.errors import ChainUnavailableError
from chain.models import NonceLane, Transaction, TransactionState
from chain.networks import client_for
from core.ids import decode_id, encode_id
from core.types import BatchId, LaneId, TransactionId, Wei, utc_now
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
    _who: Editor,
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
        progress=queries.recoveries(session),
        on_chain={lane.id: _on_chain(lane) for lane in standing.lanes},
        is_late=standing.is_late(utc_now()),
        state=state,
        states=list(TransactionState),
        encode_id=encode_id,
    )


@router.get("/operations/integrity")
def show_integrity(request: Request, session: SessionDep, _who: Editor) -> Response:
    """Whether database and chain agree, as last compared."""
    return render(request, "operations/integrity.html", integrity=integrity(session))


@router.get("/operations/mail")
def show_mail(request: Request, session: SessionDep, _who: Editor) -> Response:
    """Whether mail leaves, and what did not."""
    return render(request, "operations/mail.html", standing=mails.standing(session))


@router.post("/operations/lanes/{lane}/resume")
def resume(session: SessionDep, _who: Admin, lane: str) -> Response:
    """The lane takes transactions again."""
    found = queries.get_lane(session, LaneId(decode_id("lan", lane)))
    lanes.resume(session, found.id)
    return RedirectResponse("/admin/operations", status_code=303)


@router.post("/operations/lanes/{lane}/pause")
def pause(session: SessionDep, _who: Admin, lane: str) -> Response:
    """The lane takes no transactions; those on their way finish."""
    found = queries.get_lane(session, LaneId(decode_id("lan", lane)))
    lanes.pause(session, found.id, "paused by hand")
    return RedirectResponse("/admin/operations", status_code=303)


@router.post("/operations/lanes/{lane}/resync")
def resync(session: SessionDep, _who: Admin, lane: str) -> Response:
    """Everything on its way is sent to every node again."""
    found = queries.get_lane(session, LaneId(decode_id("lan", lane)))
    lanes.resync(session, found.id)
    return RedirectResponse("/admin/operations", status_code=303)


@router.post("/operations/transactions/{transaction}/speed-up")
def speed_up(session: SessionDep, _who: Admin, transaction: str) -> Response:
    """The transaction pays an eighth more."""
    found = TransactionId(decode_id("txn", transaction))
    replacements.speed_up(session, found, at=utc_now())
    return RedirectResponse("/admin/operations", status_code=303)


@router.post("/operations/transactions/{transaction}/cancel")
def cancel(session: SessionDep, _who: Admin, transaction: str) -> Response:
    """A no-op competes with the transaction."""
    found = TransactionId(decode_id("txn", transaction))
    replacements.cancel_unmined(session, found, at=utc_now())
    return RedirectResponse("/admin/operations", status_code=303)


@router.post("/operations/batches/{batch}/release")
def release_batch(session: SessionDep, at: AtDep, _who: Admin, batch: str) -> Response:
    """A held batch is tried again with the same bytes."""
    release(session, BatchId(decode_id("bat", batch)), at=at)
    return RedirectResponse("/admin/operations", status_code=303)


@dataclass(frozen=True)
class OnChain:
    """What the chain says of a relayer.

    Args:
        drift: how many nonces were handed out that the chain has not used.
    """

    balance: Wei
    drift: int


def _on_chain(lane: NonceLane) -> OnChain | None:
    """None while the chain does not answer: the page shows that."""
    client = client_for(lane.chain)
    try:
        used = client.transaction_count(lane.address)
        return OnChain(client.balance(lane.address), lane.next_nonce - used)
    except ChainUnavailableError:
        return None
