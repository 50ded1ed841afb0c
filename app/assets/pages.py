"""The gateway: media and metadata by content id, for everybody, for ever."""

from fastapi import APIRouter
from starlette.responses import Response

from app.web.access import PUBLIC
from minting.content import content_store, media_type_of

router = APIRouter(dependencies=[PUBLIC])
_FOREVER = "public, max-age=31536000, immutable"


@router.get("/ipfs/{cid}")
def read_content(cid: str) -> Response:
    """The bytes behind a content id; their type is found in the bytes, never in the request."""
    data = content_store().read(cid)
    return Response(
        data,
        media_type=media_type_of(data),
        headers={
            "Cache-Control": _FOREVER,
            "Access-Control-Allow-Origin": "*",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )
