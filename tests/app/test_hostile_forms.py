"""Every form of the admin once with nonsense in each field: refused or taken, never our bug."""

import typing
from collections.abc import Iterator
from itertools import cycle

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from app.accounts.models import Merchant
from core.db import unit_of_work
from tests.app.test_foreign import filled, make_everything
from tests.app.test_roles import token_of
from tests.app.web.client import HTML, ORIGIN, TestClient

VALUES = (
    *("", "x" * 6_000, "-1", "0", "a\0b", "é\u202e", "9" * 5_000, "2026-13-01T00:00", "usr_1"),
    *("1e9", "[", "2026-05-01T10:00", "1.5", "²", "١", "remove:0.²", "remove:0.99"),
)
FREE = (
    *("act", "typed", "columns", "column-0", "emails", "name"),
    *("g0.c0.kind", "g0.c0.field", "g0.c0.value", "g0.c0.f0.value"),
)
"""Fields of forms that are read as a whole."""


def fields_of(dependant: Dependant) -> Iterator[str]:
    """What the handler declares to read from a form."""
    for parameter in dependant.body_params:
        kind = parameter.field_info.annotation
        models = [
            it
            for it in (kind, *typing.get_args(kind))
            if isinstance(it, type) and issubclass(it, BaseModel)
        ]
        yield from (name for it in models for name in it.model_fields)
        if not models:
            yield parameter.alias
    for child in dependant.dependencies:
        yield from fields_of(child)


def forms(app: FastAPI) -> list[tuple[str, list[str]]]:
    """Paths of the admin that take forms, each with its fields."""
    return [
        (found.path, sorted({*fields_of(found.route.dependant), *FREE}))
        for found in iter_route_contexts(app.routes)
        if isinstance(found.route, APIRoute)
        and found.path.startswith("/admin/")
        and "/sign-" not in found.path
        and "POST" in (found.methods or ())
    ]


@pytest.mark.parametrize("shift", [0, 7])
def test_no_form_is_our_bug(
    whole_app: FastAPI, admin: TestClient, merchant: Merchant, shift: int
) -> None:
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        known = make_everything(session)
    headers = {**HTML, "origin": ORIGIN, "x-csrf-token": token_of(admin)}
    values = cycle(VALUES[shift:] + VALUES[:shift])
    paths = forms(whole_app)
    assert len(paths) > 100
    for path, names in paths:
        said = {name: next(values) for name in names}
        answer = admin.post(filled(path, known), data=said, headers=headers)
        assert answer.status_code < 500, (path, said)
