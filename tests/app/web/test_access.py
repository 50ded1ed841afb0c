"""Every route declares one class, and those that do not are found."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import Request
from starlette.routing import Route

from app.web.access import PUBLIC, Access, undeclared_routes
from app.web.application import new_application


class NamedAccess(Access):
    def __call__(self, request: Request) -> str:
        return f"caller of {self.name}"


MEMBER = NamedAccess("member")
MemberDep = Annotated[str, Depends(MEMBER)]


def app_with(router: APIRouter) -> FastAPI:
    app = new_application()
    app.include_router(router)
    return app


class TestUndeclaredRoutes:
    def test_an_application_without_pages_is_sound(self) -> None:
        assert undeclared_routes(new_application()) == []

    def test_a_declared_router_is_sound(self) -> None:
        router = APIRouter(dependencies=[PUBLIC])
        router.get("/a")(lambda: None)
        assert undeclared_routes(app_with(router)) == []

    def test_the_same_class_as_declaration_and_as_parameter_counts_once(self) -> None:
        router = APIRouter(dependencies=[Depends(MEMBER)])

        @router.get("/a")
        def show(member: MemberDep) -> str:
            return member

        assert undeclared_routes(app_with(router)) == []

    def test_a_route_without_a_class_is_found(self) -> None:
        router = APIRouter()
        router.post("/forgotten")(lambda: None)
        assert undeclared_routes(app_with(router)) == ["POST /forgotten"]

    def test_a_route_with_two_classes_is_found(self) -> None:
        router = APIRouter(dependencies=[PUBLIC, Depends(MEMBER)])
        router.get("/both")(lambda: None)
        assert undeclared_routes(app_with(router)) == ["GET /both"]

    def test_a_route_inside_a_nested_router_is_found(self) -> None:
        inner = APIRouter()
        inner.get("/deep")(lambda: None)
        outer = APIRouter(prefix="/outer")
        outer.include_router(inner)
        assert undeclared_routes(app_with(outer)) == ["GET /outer/deep"]

    def test_a_plain_starlette_route_is_found(self) -> None:
        app = new_application()
        app.router.routes.append(Route("/raw", lambda request: None))
        assert undeclared_routes(app) == ["GET,HEAD /raw"]
