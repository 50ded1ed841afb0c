"""Settings of custom properties: which there are, what they are called, what they are used for."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst
from app.users import conversions, properties, queries
from app.users.conversion_rules import TARGETS
from app.users.models import Property
from app.users.properties import Flags
from app.users.slots import Kind
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import PropertyId

router = APIRouter(prefix="/admin/settings/properties")
_LIST = "/admin/settings/properties"


class PropertyForm(BaseModel):
    """What the form sends, as typed."""

    name: str = ""
    kind: str = Kind.TEXT.value
    reference_id: str = ""
    with_time: bool = False
    is_sensitive: bool = False
    is_user_visible: bool = False
    is_user_editable: bool = False

    def flags(self) -> Flags:
        """What it may be used for."""
        return Flags(
            with_time=self.with_time,
            is_sensitive=self.is_sensitive,
            is_user_visible=self.is_user_visible or self.is_user_editable,
            is_user_editable=self.is_user_editable,
        )


@router.get("")
def list_properties(request: Request, session: SessionDep, _who: Analyst) -> Response:
    """All properties, oldest first."""
    rows = properties.list_all(session)
    return render(
        request,
        "users/properties.html",
        rows=rows,
        most=properties.MOST_PROPERTIES,
        encode_id=encode_id,
    )


@router.get("/new")
def new_property(request: Request, _who: Admin) -> Response:
    """The form of a new property."""
    return _form_page(request, PropertyForm(), None)


@router.post("/new")
def create_property(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    form: Annotated[PropertyForm, Form()],
) -> Response:
    """Every member has the property, or the form comes back with what to change."""
    try:
        kind = Kind(form.kind) if form.kind in set(Kind) else Kind.TEXT
        reference = form.reference_id.strip() or None
        row = properties.create(
            session, form.name, kind, reference_id=reference, flags=form.flags(), at=at
        )
    except InvalidError as error:
        return _form_page(request, form, error)
    return RedirectResponse(address_of(row), status_code=303)


@router.get("/{property_id}")
def show_property(
    request: Request, session: SessionDep, at: AtDep, _who: Analyst, property_id: str
) -> Response:
    """One property: name and flags, its type, what can be done with it."""
    row = get_property(session, property_id)
    return show(request, session, row, can_roll_back=conversions.can_roll_back(row, at=at))


@router.post("/{property_id}")
def rename_property(
    request: Request,
    session: SessionDep,
    _who: Admin,
    property_id: str,
    form: Annotated[PropertyForm, Form()],
) -> Response:
    """The property is called and used as the form says."""
    row = get_property(session, property_id)
    try:
        properties.rename(
            session, row, name=form.name, reference_id=form.reference_id, flags=form.flags()
        )
    except InvalidError as error:
        return show(request, session, row, form=form, error=error)
    return RedirectResponse(_LIST, status_code=303)


def get_property(session: Session, text: str) -> Property:
    """The property behind a public id.

    Raises:
        PropertyNotFoundError: this merchant has none with the id.
    """
    return properties.get(session, PropertyId(decode_id("prp", text)))


def address_of(row: Property) -> str:
    """Where its page is."""
    return f"{_LIST}/{encode_id('prp', row.id)}"


def show(
    request: Request,
    session: Session,
    row: Property,
    *,
    form: PropertyForm | None = None,
    error: InvalidError | None = None,
    can_roll_back: bool = False,
) -> Response:
    """The page of one property, as it is or as the form was typed."""
    context: dict[str, Any] = {
        "row": row,
        "form": form or row,
        "address": address_of(row),
        "value_count": queries.count_values(session, row),
        "targets": TARGETS[row.kind],
        "open_conversion": conversions.find_open(session, row),
        "can_roll_back": can_roll_back,
        "error": error,
    }
    status = error.status if error else 200
    return render(request, "users/property.html", status_code=status, **context)


def _form_page(request: Request, form: PropertyForm, error: InvalidError | None) -> Response:
    return render(
        request,
        "users/property_new.html",
        status_code=error.status if error else 200,
        form=form,
        kinds=list(Kind),
        error=error,
    )
