"""The public proof: who owns a token, read from the chain while you wait."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from app.spaces.deps import shell_of
from app.verification import registered, service
from app.verification.deps import limited
from app.verification.registered import PassRecord
from app.verification.service import Proof
from app.web.access import PUBLIC
from app.web.rendering import render, set_shell
from core.settings import core_settings

router = APIRouter(dependencies=[PUBLIC, Depends(limited)])


@router.get("/verify/t/{chain_id}/{contract}/{token_id}")
def verify(
    request: Request,
    chain_id: int,
    contract: str,
    token_id: str,
    owner: Annotated[str | None, "the address somebody claims"] = None,
) -> Response:
    """One sentence anybody understands, and how to check it without us."""
    return _show(request, service.prove(chain_id, contract, token_id, claimed=owner))


@router.get("/verify/pass/{number}")
def verify_pass(
    request: Request,
    number: str,
    owner: Annotated[str | None, "the address somebody claims"] = None,
) -> Response:
    """The same for the number on somebody's pass, and whether it stands; never whose it is."""
    record, proof = registered.prove_pass(number, claimed=owner)
    return _show(request, proof, record)


def _show(request: Request, proof: Proof, record: PassRecord | None = None) -> Response:
    set_shell(request, shell_of(proof.merchant))
    return render(
        request,
        "verification/show.html",
        status_code=200,
        proof=proof,
        record=record,
        ownership=proof.ownership,
        address=f"{core_settings().public_url}{request.url.path}",
    )
