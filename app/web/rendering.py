"""Pages: one Jinja environment for the whole product, and `render()`, which answers with it.

A template of a feature is named `<feature>/<file>` and lives in `app/<feature>/templates/`; the
shared ones (`base/...`, `components/...`) live in `app/templates/`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
)
from jinja2_fragments import render_block
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.web import csrf, i18n
from app.web.barcode import bars
from app.web.components import Components
from app.web.formats import FILTERS
from app.web.qr import qr_code, qr_modules
from app.web.static import static_url
from app.web.zones import use_zone
from core.settings import core_settings

_APP = Path(__file__).parent.parent
_request: ContextVar[Request] = ContextVar("request")


@dataclass(frozen=True)
class Shell:
    """What a base layout shows around every page; whoever knows the caller sets it.

    Args:
        name: the merchant in the admin, the brand in the Space.
        is_test: nothing here is real; the layout says so unmistakably.
        person: the signed-in person as they know themselves, or None.
        logo: address of the brand's logo, or None for the name as text.
        zone: in which days are shown.
        tabs: addresses of the Space that exist, shown as tabs in the layout's order.
        brand_css: address of the brand's colours; hashed by whoever serves it.
        roles: of the team, those whose pages and buttons the person may use; empty for others.
    """

    name: str = "Cohort"
    is_test: bool = False
    person: str | None = None
    zone: str = "UTC"
    logo: str | None = None
    tabs: tuple[str, ...] = ("/space/home",)
    brand_css: str = "/space/brand.css"
    roles: frozenset[str] = frozenset()


def set_shell(request: Request, shell: Shell) -> None:
    """Every page of this request is surrounded by `shell`."""
    request.state.shell = shell


@cache
def environment() -> Environment:
    """The one environment: autoescape, unknown names are errors, texts in the caller's language."""
    env = Environment(
        loader=_loader(),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=not core_settings().is_production,
    )
    env.install_gettext_callables(  # type: ignore[attr-defined]
        i18n.gettext, i18n.ngettext, newstyle=True, pgettext=i18n.pgettext, npgettext=i18n.npgettext
    )
    env.filters.update(FILTERS)
    env.globals.update(
        csrf_token=lambda: csrf.csrf_token(_request.get()),
        current_path=lambda: _request.get().url.path,
        url_with=url_with,
        may=may,
        language=i18n.current_language,
        text_direction=i18n.text_direction,
        static_url=static_url,
        qr_code=qr_code,
        qr_modules=qr_modules,
        bars=bars,
        ui=Components(env),
    )
    return env


def _loader() -> BaseLoader:
    features = {
        folder.parent.name: FileSystemLoader(folder) for folder in sorted(_APP.glob("*/templates"))
    }
    return ChoiceLoader([FileSystemLoader(_APP / "templates"), PrefixLoader(features)])


def may(role: str) -> bool:
    """Whether what takes this role of the team is the reader's: a page offers nothing else."""
    shell: Shell = getattr(_request.get().state, "shell", Shell())
    return role in shell.roles


def url_with(**changes: object) -> str:
    """The current address with some query parameters changed; None removes one.

    A change of anything but the cursor leads back to the first page.
    """
    request = _request.get()
    changed = set(changes) | (set() if "cursor" in changes else {"cursor"})
    kept = [(key, value) for key, value in request.query_params.multi_items() if key not in changed]
    added = [(key, str(value)) for key, value in changes.items() if value is not None]
    query = urlencode(kept + added)
    return f"{request.url.path}?{query}" if query else request.url.path


def render(
    request: Request,
    template: str,
    *,
    block: str | None = None,
    status_code: int = 200,
    **context: Any,
) -> Response:
    """An HTML answer: the whole page, or one block of it for htmx.

    Args:
        block: name of a `{% block %}` in `template`; it sees the same context as the page.
    """
    context.setdefault("shell", getattr(request.state, "shell", Shell()))
    with _serving(request):
        if block is None:
            html = environment().get_template(template).render(context)
        else:
            html = render_block(environment(), template, block, context)
    return HTMLResponse(html, status_code=status_code, headers={"Cache-Control": "no-store"})


def render_part(
    request: Request, template: str, *, block: str, is_moving: bool, **context: Any
) -> Response:
    """A page whose `block` refreshes itself while `is_moving`; when that ends, the page reloads.

    The whole page shows what the block does not, for example the state in its heading.
    """
    if not is_htmx(request):
        return render(request, template, is_moving=is_moving, **context)
    response = render(request, template, block=block, is_moving=is_moving, **context)
    if not is_moving:
        response.headers["HX-Refresh"] = "true"
    return response


def is_htmx(request: Request) -> bool:
    """True when htmx asks for a part of a page; answer with `block=`."""
    return request.headers.get("hx-request") == "true"


@contextmanager
def _serving(request: Request) -> Iterator[None]:
    token = _request.set(request)
    try:
        language = getattr(request.state, "language", i18n.SOURCE_LANGUAGE)
        zone = getattr(request.state, "shell", Shell()).zone
        with i18n.use_language(language), use_zone(zone):
            yield
    finally:
        _request.reset(token)
