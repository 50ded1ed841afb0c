"""The empty application: headers, limits, compression, errors, forged requests, static files.

`app.main` adds the routers of the features; nothing else is ever configured there.
"""

from collections.abc import Mapping

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from app.web.cookies import RenewedCookies
from app.web.csrf import refuse_forged
from app.web.errors import LastResort, answer_errors
from app.web.security import BodyLimit, SecurityHeaders
from app.web.static import static_mount


def new_application(*, larger_bodies: Mapping[str, int] | None = None) -> FastAPI:
    """An application that refuses, limits and answers as the product does, without any page.

    Args:
        larger_bodies: path pattern (`/admin/assets/*/media`) -> bytes, for routes with uploads.
    """
    app = FastAPI(
        title="Cohort",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(refuse_forged)],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=6),
            Middleware(RenewedCookies),
            Middleware(LastResort),
            Middleware(BodyLimit, larger=larger_bodies or {}),
        ],
    )
    answer_errors(app)
    app.router.routes.append(static_mount())
    return app
