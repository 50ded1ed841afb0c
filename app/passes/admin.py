"""Settings of the membership pass: what whoever checks one reads."""

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst
from app.passes import messages
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.i18n import CONTENT_LANGUAGES
from app.web.rendering import render
from core.errors import InvalidError

router = APIRouter(prefix="/admin/settings/pass")


@router.get("")
def show_settings(request: Request, session: SessionDep, who: Analyst) -> Response:
    """The message as it is."""
    return _page(request, messages.texts_of(session), language=who.merchant.language)


@router.post("")
def save_settings(
    request: Request, session: SessionDep, at: AtDep, who: Admin, form: FormDep
) -> Response:
    """The message is as typed, or the form says what to change."""
    texts = _texts(form)
    try:
        messages.save(session, texts, at=at)
    except InvalidError as error:
        return _page(request, texts, language=who.merchant.language, error=error)
    return RedirectResponse("/admin/settings/pass", status_code=303)


def _texts(form: FormData) -> dict[str, str]:
    """What was typed in each language; that of an added row is chosen beside it."""
    typed = {it: str(form.get(f"message-{it}", "")) for it in CONTENT_LANGUAGES}
    added = str(form.get("language", ""))
    if not typed.get(added, "").strip():
        typed[added] = str(form.get("message-new", ""))
    return {language: text for language, text in typed.items() if text.strip()}


def _page(
    request: Request,
    texts: dict[str, str],
    *,
    language: str,
    error: InvalidError | None = None,
) -> Response:
    own = language if language in CONTENT_LANGUAGES else CONTENT_LANGUAGES[0]
    return render(
        request,
        "passes/settings.html",
        status_code=error.status if error else 200,
        texts=texts,
        spoken=[it for it in CONTENT_LANGUAGES if it in texts] or [own],
        languages=CONTENT_LANGUAGES,
        longest=messages.LONGEST,
        error=error,
    )
