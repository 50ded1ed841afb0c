"""Who may call a route: every route declares exactly one class, and a test finds those that do not.

A class is an object that FastAPI calls as a dependency. `PUBLIC` is here; team roles, members and
key scopes derive from `Access` where those people are known.
"""

from collections.abc import Iterator

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.routing import Mount


class Access:
    """A declared class of route; `__call__` refuses whoever is not of it.

    A subclass may declare any dependencies as parameters of `__call__` and may answer the caller it
    found, so that a handler can take it as a parameter.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class PublicAccess(Access):
    """Anybody, signed in or not."""

    def __init__(self) -> None:
        super().__init__("public")

    def __call__(self, request: Request) -> None:
        """Everybody may pass."""
        request.state.access = self.name


PUBLIC = Depends(PublicAccess())
"""Declare with `APIRouter(dependencies=[PUBLIC])` or on one route."""


def declared_classes(app: FastAPI) -> dict[str, list[str]]:
    """Every route as `GET /path` with the names of the classes it declares."""
    return {
        f"{','.join(sorted(route.methods or {'*'}))} {route.path}": _names(
            getattr(route, "dependant", None)
        )
        for route in iter_route_contexts(app.routes)
        if not _is_static(route.route)
    }


def undeclared_routes(app: FastAPI) -> list[str]:
    """Routes that declare no class, or more than one; empty in a sound application."""
    return sorted(route for route, names in declared_classes(app).items() if len(names) != 1)


def _names(dependant: Dependant | None) -> list[str]:
    if dependant is None:
        return []
    found = {id(call): call.name for call in _calls(dependant) if isinstance(call, Access)}
    return sorted(found.values())


def _calls(dependant: Dependant) -> Iterator[object]:
    for child in dependant.dependencies:
        yield child.call
        yield from _calls(child)


def _is_static(route: object) -> bool:
    return isinstance(route, Mount) and route.path == "/static"
