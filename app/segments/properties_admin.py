"""What is refused while something uses a property: deleting it, and changing its type."""

from typing import Annotated

from fastapi import APIRouter, Form
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin
from app.segments import usage
from app.uploads.export import as_csv
from app.users import conversions, properties
from app.users.conversion_rules import MARKS, ORDERS, TARGETS, Rules, Shape
from app.users.errors import ConversionStateError, PropertyInUseError
from app.users.models import Property
from app.users.properties_admin import address_of, get_property
from app.users.slots import Kind
from app.users.upkeep_models import Conversion, ConversionState
from app.web.deps import AtDep, SessionDep
from app.web.i18n import gettext as _
from app.web.rendering import is_htmx, render, render_part
from core.errors import InvalidError
from core.ids import encode_id

router = APIRouter(prefix="/admin/settings/properties")
_CONVERSION = "segments/conversion.html"


class ConversionForm(BaseModel):
    """The rules, as typed."""

    kind: str = ""
    with_time: bool = False
    order: str = ORDERS[0]
    mark: str = MARKS[0]
    true_words: str = "true, yes, 1"
    false_words: str = "false, no, 0"

    def shape(self) -> Shape:
        """What the values shall be.

        Raises:
            InvalidError: no type is chosen.
        """
        if self.kind not in set(Kind):
            raise _refusal("kind", _("Choose the new type."))
        return Shape(Kind(self.kind), self.with_time)

    def rules(self) -> Rules:
        """How they are read.

        Raises:
            InvalidError: an unknown order or mark, or a word that means both.
        """
        true, false = _words(self.true_words), _words(self.false_words)
        if self.order not in ORDERS or self.mark not in MARKS:
            raise _refusal("order", _("Choose one of the offered spellings."))
        if set(true) & set(false):
            raise _refusal("false_words", _("A word cannot mean both."))
        return Rules(self.order, self.mark, true, false)


@router.post("/{property_id}/delete")
def delete_property(session: SessionDep, at: AtDep, _who: Admin, property_id: str) -> Response:
    """The property and its values are gone, unless something uses it."""
    row = get_property(session, property_id)
    _refuse_used(session, row)
    properties.delete(session, row, at=at)
    return RedirectResponse("/admin/settings/properties", status_code=303)


@router.get("/{property_id}/type")
def choose_type(request: Request, session: SessionDep, _who: Admin, property_id: str) -> Response:
    """The rules of a change of type, or the change that is open."""
    row = get_property(session, property_id)
    found = conversions.find_open(session, row)
    if found is None and is_htmx(request):  # it has just ended
        return Response(headers={"HX-Redirect": address_of(row)})
    if found is None:
        return _rules_page(request, session, row, ConversionForm(), None)
    return _conversion_page(request, session, row, found)


@router.post("/{property_id}/type")
def try_type(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    property_id: str,
    form: Annotated[ConversionForm, Form()],
) -> Response:
    """The dry run begins."""
    row = get_property(session, property_id)
    _refuse_used(session, row)
    try:
        conversions.begin(session, row, form.shape(), form.rules(), at=at)
    except InvalidError as error:
        return _rules_page(request, session, row, form, error)
    return RedirectResponse(f"{address_of(row)}/type", status_code=303)


@router.post("/{property_id}/type/run")
def run_type(session: SessionDep, _who: Admin, property_id: str) -> Response:
    """The values are converted; those that cannot be are empty afterwards."""
    row = get_property(session, property_id)
    _refuse_used(session, row)
    conversions.run(session, _open(session, row))
    return RedirectResponse(f"{address_of(row)}/type", status_code=303)


@router.post("/{property_id}/type/abort")
def abort_type(session: SessionDep, at: AtDep, _who: Admin, property_id: str) -> Response:
    """The type stays what it is."""
    row = get_property(session, property_id)
    conversions.abort(session, _open(session, row), at=at)
    return RedirectResponse(address_of(row), status_code=303)


@router.post("/{property_id}/type/undo")
def undo_type(session: SessionDep, at: AtDep, _who: Admin, property_id: str) -> Response:
    """The property is what it was before its last change of type."""
    row = get_property(session, property_id)
    _refuse_used(session, row)
    conversions.roll_back(session, row, at=at)
    return RedirectResponse(address_of(row), status_code=303)


@router.post("/{property_id}/type/keep")
def keep_type(session: SessionDep, _who: Admin, property_id: str) -> Response:
    """The old values are forgotten."""
    row = get_property(session, property_id)
    conversions.keep(session, row)
    return RedirectResponse(address_of(row), status_code=303)


@router.get("/{property_id}/type/failed.csv")
def download_failed(session: SessionDep, _who: Admin, property_id: str) -> Response:
    """Every value that cannot be converted, or could not."""
    row = get_property(session, property_id)
    found = conversions.find_open(session, row) or conversions.find_last(session, row)
    lines = [("user", "email", "value")]
    lines += conversions.failures(session, row, found) if found else ()
    return StreamingResponse(
        iter(list(as_csv(lines))),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="failed-values.csv"'},
    )


def _refuse_used(session: Session, row: Property) -> None:
    uses = usage.of_property(session, row)
    if uses:
        raise PropertyInUseError(row.name, uses)


def _open(session: Session, row: Property) -> Conversion:
    found = conversions.find_open(session, row)
    if found is None:
        raise ConversionStateError(_("No change of type is open. Begin one first."))
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().casefold() for word in text.split(",") if word.strip())


def _refusal(field: str, sentence: str) -> InvalidError:
    return InvalidError(_("The type cannot be changed like this."), fields={field: sentence})


def _rules_page(
    request: Request,
    session: Session,
    row: Property,
    form: ConversionForm,
    error: InvalidError | None,
) -> Response:
    return render(
        request,
        "segments/property_type.html",
        status_code=error.status if error else 200,
        row=row,
        address=address_of(row),
        form=form,
        error=error,
        targets=TARGETS[row.kind],
        uses=usage.of_property(session, row),
    )


def _conversion_page(
    request: Request, session: Session, row: Property, found: Conversion
) -> Response:
    return render_part(
        request,
        _CONVERSION,
        block="progress",
        is_moving=found.state in conversions.UNFINISHED,
        row=row,
        found=found,
        is_tried=found.state is ConversionState.PREVIEWED,
        address=address_of(row),
        examples=conversions.examples(session, row, found),
        encode_id=encode_id,
    )
