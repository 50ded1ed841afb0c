"""Static files: read once, compressed once, served under the hash of their content for ever.

The hash names the whole tree, so a relative `url()` inside a style sheet stays correct. A bundle is
several files sent as one; a page needs one style sheet and one script.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

ROOT = Path(__file__).parent.parent / "static"
BUNDLES = {
    "bundle/admin.css": (
        "vendor/tabler/tabler.min.css",
        "css/tokens.css",
        "css/components.css",
        "css/data.css",
        "css/boxes.css",
        "css/admin.css",
        "css/layout.css",
    ),
    "bundle/space.css": (
        "css/tokens.css",
        "css/components.css",
        "css/membership.css",
        "css/boxes.css",
        "css/space.css",
        "css/layout.css",
    ),
    "bundle/scan.css": (
        "css/tokens.css",
        "css/components.css",
        "css/data.css",
        "css/space.css",
        "css/layout.css",
        "css/scan.css",
    ),
    "bundle/scan.js": (
        "vendor/htmx/htmx.min.js",
        "js/csrf.js",
        "js/dialog.js",
        "js/scan.js",
        "js/scan-offline.js",
    ),
    "bundle/public.js": ("js/copy.js",),
    "bundle/app.js": (
        "vendor/htmx/htmx.min.js",
        "js/csrf.js",
        "js/copy.js",
        "js/dialog.js",
        "js/upload.js",
        "js/shortcuts.js",
        "js/code.js",
    ),
}
_COMPRESSIBLE = {".css", ".js", ".svg", ".json", ".txt", ".md"}
_FOREVER = "public, max-age=31536000, immutable"
_CHECK = "no-cache"
# The system's table of media types differs between machines; these are ours.
for _suffix, _media_type in {".js": "text/javascript", ".woff2": "font/woff2"}.items():
    mimetypes.add_type(_media_type, _suffix)


@dataclass(frozen=True)
class Asset:
    """One servable file; `gzipped` is None where compression gains nothing."""

    body: bytes
    media_type: str
    gzipped: bytes | None


@dataclass(frozen=True)
class StaticTree:
    """All static files of the product and the hash that names them together."""

    digest: str
    assets: dict[str, Asset]


def load_tree(root: Path, bundles: dict[str, tuple[str, ...]]) -> StaticTree:
    """The files below `root` and the bundles made of them."""
    bodies = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    bodies |= {name: b"\n".join(bodies[part] for part in parts) for name, parts in bundles.items()}
    digest = hashlib.sha256()
    for name in sorted(bodies):
        digest.update(name.encode() + b"\0" + hashlib.sha256(bodies[name]).digest())
    return StaticTree(
        digest=digest.hexdigest()[:12],
        assets={name: _asset(name, body) for name, body in bodies.items()},
    )


def _asset(name: str, body: bytes) -> Asset:
    compressible = Path(name).suffix in _COMPRESSIBLE
    return Asset(
        body=body,
        media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        gzipped=gzip.compress(body, mtime=0) if compressible else None,
    )


@cache
def static_tree() -> StaticTree:
    """The tree of this process; a changed file is seen by the next process."""
    return load_tree(ROOT, BUNDLES)


def static_url(name: str) -> str:
    """The address of a static file, different for every content.

    Raises:
        KeyError: no such file; found by rendering the template once.
    """
    tree = static_tree()
    if name not in tree.assets:
        raise KeyError(f"static file {name!r} does not exist")
    return f"/static/{tree.digest}/{name}"


def static_mount() -> Mount:
    """The route that serves `/static/<hash>/<name>`."""
    return Mount("/static", routes=[Route("/{digest}/{name:path}", _serve)], name="static")


async def _serve(request: Request) -> Response:
    tree = static_tree()
    asset = tree.assets.get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    is_current = request.path_params["digest"] == tree.digest
    headers = {"Cache-Control": _FOREVER if is_current else _CHECK, "Vary": "Accept-Encoding"}
    if asset.gzipped and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.gzipped, media_type=asset.media_type, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
