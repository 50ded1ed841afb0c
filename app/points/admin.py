"""Screens of points: units, and a member's balance, history and corrections."""

from typing import Annotated

from fastapi import APIRouter, Form
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Analyst, Editor
from app.accounts.service import names_of
from app.points import moving, queries, units
from app.points.errors import AdjustmentInvalidError, InsufficientPointsError
from app.points.models import Expiry, PointsUnit
from app.points.units import ICONS, UnitDraft
from app.segments.badge_views import text_in
from app.users.queries import identities
from app.users.record_admin import address_of, get_user, head_of
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.errors import AppError, InvalidError
from core.ids import decode_id, encode_id, new_id
from core.types import PointsTransactionId, PointsUnitId

router = APIRouter(prefix="/admin/points")
record = APIRouter(prefix="/admin/users/{user_id}/points")
_LIST = "/admin/points"


class AdjustmentForm(BaseModel):
    """A correction by hand, as typed; `key` lets a form that is sent twice count once."""

    unit: str = ""
    amount: str = ""
    reason: str = ""
    key: str = Field(default="", max_length=100)

    def number(self) -> int:
        """The amount, or 0, which no correction has, where it is no whole number."""
        digits = self.amount.strip().removeprefix("-")
        is_number = digits.isascii() and digits.isdecimal() and len(digits) <= 15
        return int(self.amount) if is_number else 0


class UnitForm(BaseModel):
    """A unit, as typed."""

    code: str = ""
    name: str = ""
    plural: str = ""
    icon: str = ICONS[0]
    expiry: str = Expiry.NEVER
    expiry_count: str = "0"
    is_spendable: bool = False
    is_status: bool = False
    allows_debt: bool = False

    def draft(self, language: str, row: PointsUnit | None = None) -> UnitDraft:
        """What the unit shall be; names in other languages stay."""
        count = self.expiry_count.strip()
        is_number = count.isascii() and count.isdecimal() and len(count) <= 4
        return UnitDraft(
            code=self.code.strip() if row is None else row.code,
            name={**(row.name if row else {}), language: self.name.strip()},
            plural={**(row.plural if row else {}), language: self.plural.strip()},
            icon=self.icon,
            expiry=Expiry(self.expiry) if self.expiry in set(Expiry) else Expiry.NEVER,
            expiry_count=int(count) if is_number else -1,
            is_spendable=self.is_spendable,
            is_status=self.is_status,
            allows_debt=self.allows_debt if row is None else row.allows_debt,
        )


@router.get("")
def list_units(request: Request, session: SessionDep, who: Analyst) -> Response:
    """Every unit with what was issued and redeemed of it, and the last proof."""
    return render(
        request,
        "points/units.html",
        units=units.list_all(session),
        totals=queries.totals(session),
        proof=queries.find_proof(session),
        most=units.MOST_UNITS,
        spoken=who.merchant.language,
        text_in=text_in,
        encode_id=encode_id,
    )


@router.get("/new")
def new_unit(request: Request, _who: Admin) -> Response:
    """The form of a new unit."""
    return _form_page(request, UnitForm(is_spendable=True), None)


@router.post("/new")
def create_unit(
    request: Request, session: SessionDep, at: AtDep, who: Admin, form: Annotated[UnitForm, Form()]
) -> Response:
    """The brand has these points, or the form comes back."""
    try:
        units.create(session, form.draft(who.merchant.language), at=at)
    except InvalidError as error:
        return _form_page(request, form, error)
    return RedirectResponse(_LIST, status_code=303)


@router.get("/{unit_id}")
def edit_unit(request: Request, session: SessionDep, who: Admin, unit_id: str) -> Response:
    """The form with what the unit is."""
    row = _get(session, unit_id)
    values = {it: getattr(row, it) for it in UnitForm.model_fields}
    texts = {it: text_in(getattr(row, it), who.merchant.language) for it in ("name", "plural")}
    form = UnitForm(**{**values, **texts, "expiry_count": str(row.expiry_count)})
    return _form_page(request, form, None, row)


@router.post("/{unit_id}")
def save_unit(
    request: Request,
    session: SessionDep,
    who: Admin,
    unit_id: str,
    form: Annotated[UnitForm, Form()],
) -> Response:
    """The unit is as typed, or the form comes back."""
    row = _get(session, unit_id)
    try:
        units.change(session, row, form.draft(who.merchant.language, row))
    except InvalidError as error:
        return _form_page(request, form, error, row)
    return RedirectResponse(_LIST, status_code=303)


@record.get("")
def show_points(
    request: Request, session: SessionDep, at: AtDep, who: Analyst, user_id: str
) -> Response:
    """What the member has, and how it came and went."""
    return _record_page(request, session, at, who.merchant.language, user_id)


@record.post("")
def adjust_points(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: Editor,
    user_id: str,
    form: Annotated[AdjustmentForm, Form()],
) -> Response:
    """The member has more points or fewer, or the form comes back."""
    user, unit = get_user(session, user_id), _get(session, form.unit)
    amount, why = form.number(), form.reason
    try:
        with session.begin_nested():
            moving.adjust(session, unit, user.id, amount, key=form.key, reason=why, at=at)
    except (AdjustmentInvalidError, InsufficientPointsError) as error:
        return _record_page(request, session, at, who.merchant.language, user_id, error, form)
    return RedirectResponse(f"{address_of(user.id)}/points", status_code=303)


@record.post("/{transaction_id}/reverse")
def reverse_transaction(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: Editor,
    user_id: str,
    transaction_id: str,
    reason: Annotated[str, Form()] = "",
) -> Response:
    """A second transaction took the first one back, or the page says why it cannot."""
    user = get_user(session, user_id)
    found = PointsTransactionId(decode_id("ltx", transaction_id))
    try:
        with session.begin_nested():
            moving.reverse(session, user.id, found, reason=reason, at=at)
    except (AdjustmentInvalidError, InsufficientPointsError) as error:
        return _record_page(request, session, at, who.merchant.language, user_id, error)
    return RedirectResponse(f"{address_of(user.id)}/points", status_code=303)


@record.get("/history.csv")
def download_history(session: SessionDep, _who: Editor, user_id: str) -> Response:
    """Everything that came and went."""
    ids = identities(session, get_user(session, user_id).id)
    return StreamingResponse(
        iter(list(queries.history_as_csv(session, ids))),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="points.csv"'},
    )


def _get(session: Session, text: str) -> PointsUnit:
    return units.get(session, PointsUnitId(decode_id("pun", text)))


def _form_page(
    request: Request, form: UnitForm, error: InvalidError | None, row: PointsUnit | None = None
) -> Response:
    return render(
        request,
        "points/unit.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        row=row,
        icons=ICONS,
        address=f"{_LIST}/{encode_id('pun', row.id) if row else 'new'}",
    )


def _record_page(
    request: Request,
    session: Session,
    at: AtDep,
    language: str,
    user_id: str,
    error: AppError | None = None,
    typed: AdjustmentForm | None = None,
) -> Response:
    user = get_user(session, user_id)
    ids = identities(session, user.id)
    lines = list(queries.history(session, ids, most=queries.MOST_SHOWN))
    return render(
        request,
        "points/member.html",
        status_code=error.status if error else 200,
        balances=queries.balances(session, ids, at=at),
        lines=lines,
        reversible=moving.COUNTERS,
        reversed=queries.reversed_among(session, lines),
        names=names_of(session, [it.transaction.actor for it in lines]),
        units=[
            (encode_id("pun", it.id), text_in(it.plural, language))
            for it in units.list_all(session)
        ],
        typed=typed or AdjustmentForm(),
        key=new_id().hex,
        error=error,
        text_in=text_in,
        spoken=language,
        **head_of(session, user),
    )
