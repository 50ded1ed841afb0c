"""Screens of earning rules: the list, the form with what it would have given, pause and go on."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.accounts.models import Merchant
from app.points import earning, rule_forms, rules, units
from app.points.errors import RuleChangedError, RuleInvalidError
from app.points.rule_forms import Typed
from app.points.rule_models import PointsRule
from app.points.rules import Standing, Trial
from app.segments.badge_views import text_in
from app.segments.queries import event_types
from app.segments.rules import MOST_FILTERS
from app.segments.words import operators
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.rendering import render
from core.errors import AppError
from core.ids import decode_id, encode_id
from core.types import PointsRuleId

router = APIRouter(prefix="/admin/points/rules")
_LIST = "/admin/points/rules"


@router.get("")
def list_rules(request: Request, session: SessionDep, who: Analyst) -> Response:
    """Every rule with what it gave."""
    return render(
        request,
        "points/rules.html",
        rules=rules.list_all(session),
        units={it.id: it for it in units.list_all(session)},
        standing=rules.standing(session),
        nothing=Standing(),
        rate_text=rule_forms.rate_text,
        spoken=who.merchant.language,
        text_in=text_in,
        encode_id=encode_id,
    )


@router.get("/new")
def new_rule(request: Request, session: SessionDep, at: AtDep, who: Editor) -> Response:
    """The form of a new rule, whose first day is today."""
    today = at.astimezone(earning.zone_of(session)).date()
    typed = rule_forms.read({"first_day": today.isoformat()})
    return _page(request, session, who.merchant, typed)


@router.post("/new")
def create_rule(
    request: Request, session: SessionDep, at: AtDep, who: Editor, form: FormDep
) -> Response:
    """Events earn points by the rule, or the form comes back with what is wrong or was tried."""
    typed = rule_forms.read(form)
    try:
        draft = rule_forms.draft_of(typed)
        if form.get("action") == "try":
            trial = rules.try_out(session, draft, at=at)
            return _page(request, session, who.merchant, typed, trial=trial)
        rules.create(session, draft, at=at)
    except RuleInvalidError as error:
        return _page(request, session, who.merchant, typed, error=error)
    return RedirectResponse(_LIST, status_code=303)


@router.get("/{rule_id}")
def edit_rule(request: Request, session: SessionDep, who: Editor, rule_id: str) -> Response:
    """The form with what the rule is."""
    row = _get(session, rule_id)
    return _page(request, session, who.merchant, rule_forms.typed_of(row), row)


@router.post("/{rule_id}")
def save_rule(
    request: Request, session: SessionDep, at: AtDep, who: Editor, rule_id: str, form: FormDep
) -> Response:
    """The rule is as typed, or the form comes back with what is wrong or was tried."""
    row, typed = _get(session, rule_id), rule_forms.read(form)
    try:
        draft = rule_forms.draft_of(typed)
        if form.get("action") == "try":
            trial = rules.try_out(session, draft, at=at)
            return _page(request, session, who.merchant, typed, row, trial=trial)
        rules.change(session, row, draft, version=rule_forms.version_of(typed))
    except (RuleInvalidError, RuleChangedError) as error:
        return _page(request, session, who.merchant, typed, row, error=error)
    return RedirectResponse(_LIST, status_code=303)


@router.post("/{rule_id}/pause")
def pause_rule(session: SessionDep, _who: Editor, rule_id: str) -> Response:
    """Events earn nothing by it from now on."""
    rules.switch(session, _get(session, rule_id), is_on=False)
    return RedirectResponse(_LIST, status_code=303)


@router.post("/{rule_id}/resume")
def resume_rule(session: SessionDep, _who: Editor, rule_id: str) -> Response:
    """Events earn by it again."""
    rules.switch(session, _get(session, rule_id), is_on=True)
    return RedirectResponse(_LIST, status_code=303)


def _get(session: Session, text: str) -> PointsRule:
    return rules.get(session, PointsRuleId(decode_id("prl", text)))


def _page(
    request: Request,
    session: Session,
    merchant: Merchant,
    typed: Typed,
    row: PointsRule | None = None,
    *,
    error: AppError | None = None,
    trial: Trial | None = None,
) -> Response:
    if isinstance(error, RuleChangedError) and row is not None:
        typed = typed | {"version": str(row.version)}
    context: dict[str, Any] = {
        "typed": typed,
        "row": row,
        "error": error,
        "fields": getattr(error, "fields", {}),
        "trial": trial,
        "units": [
            (encode_id("pun", it.id), text_in(it.plural, merchant.language))
            for it in units.list_all(session)
        ],
        "event_types": [it for it in event_types(session) if not it.startswith("cohort.points.")],
        "operators": operators()["event"],
        "rows": min(len(typed["filters"]) + 1, MOST_FILTERS),
        "address": f"{_LIST}/{encode_id('prl', row.id) if row else 'new'}",
        "zone": merchant.time_zone,
    }
    return render(
        request, "points/rule.html", status_code=error.status if error else 200, **context
    )
