"""The public proof for programs; open to every origin."""

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from app.verification import service
from app.verification.deps import limited
from app.web.access import PUBLIC

router = APIRouter(dependencies=[PUBLIC, Depends(limited)])


@router.get("/v1/public/ownership/{chain_id}/{contract}/{token_id}")
def ownership(chain_id: int, contract: str, token_id: str, owner: str | None = None) -> Response:
    """Who owns the token at a named block, and the call that repeats the question."""
    proof = service.prove(chain_id, contract, token_id, claimed=owner)
    return JSONResponse(
        service.as_document(proof),
        headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=5"},
    )
