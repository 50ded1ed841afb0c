"""Pages, single blocks and what templates can call."""

from collections.abc import Iterator

import pytest
from fastapi import Request
from jinja2 import DictLoader, UndefinedError

from app.web.components import Components
from app.web.rendering import Shell, environment, render, set_shell

PAGE = """{% extends "base/plain.html" %}
{% block content %}
{% block part %}{{ ui.button(_("Save")) }} {{ name }}{% endblock %}
{% endblock %}"""


def request_to(path: str = "/list", query: str = "") -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
    }
    return Request(scope)


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two pages beside the product's own."""
    loader = environment().loader
    assert loader is not None
    extra = DictLoader({"page.html": PAGE, "turn.html": "{{ url_with(cursor='c') }}",
                        "sort.html": "{{ url_with(sort='name') }}"})  # fmt: skip
    monkeypatch.setattr(loader, "loaders", [*loader.loaders, extra])  # type: ignore[attr-defined]
    yield


def text_of(template: str, request: Request | None = None, **context: object) -> str:
    return bytes(render(request or request_to(), template, **context).body).decode()


class TestRender:
    def test_a_page_is_whole_and_never_stored(self) -> None:
        answer = render(request_to(), "page.html", name="Ada")
        assert b"<!doctype html>" in answer.body
        assert answer.headers["cache-control"] == "no-store"

    def test_a_block_is_the_part_alone_with_its_components(self) -> None:
        part = bytes(render(request_to(), "page.html", block="part", name="Ada").body).decode()
        assert part.startswith("<button")
        assert part.endswith("Ada")

    def test_what_a_person_typed_is_escaped(self) -> None:
        assert "&lt;script&gt;" in text_of("page.html", name="<script>")

    def test_a_name_nobody_gave_is_an_error(self) -> None:
        with pytest.raises(UndefinedError, match="name"):
            render(request_to(), "page.html")

    def test_the_shell_surrounds_the_page(self) -> None:
        request = request_to()
        set_shell(request, Shell(name="Alder & Tide", is_test=True))
        page = text_of("page.html", request, name="Ada")
        assert "Alder &amp; Tide" in page
        assert "test-banner" in page

    def test_no_test_banner_where_everything_is_real(self) -> None:
        assert "test-banner" not in text_of("page.html", name="Ada")

    def test_the_language_of_the_request_is_the_page_s(self) -> None:
        request = request_to()
        request.state.language = "ar"
        assert '<html lang="ar" dir="rtl">' in text_of("page.html", request, name="Ada")


class TestUrlWith:
    def test_filters_stay_when_a_page_turns(self) -> None:
        request = request_to(query="q=a%26b&state=live&cursor=old")
        assert text_of("turn.html", request) == "/list?q=a%26b&amp;state=live&amp;cursor=c"

    def test_another_order_begins_at_the_first_page(self) -> None:
        assert text_of("sort.html", request_to(query="cursor=old")) == "/list?sort=name"


class TestComponents:
    def test_an_unknown_state_is_an_error(self) -> None:
        with pytest.raises(UndefinedError):
            Components(environment()).status("nearly done")

    def test_an_unknown_component_is_an_error(self) -> None:
        with pytest.raises(AttributeError, match="carousel"):
            Components(environment()).carousel()

    def test_progress_asks_again_until_it_is_done(self) -> None:
        progress = Components(environment()).progress
        running = progress("p", "Delivering", 1, 2, poll="/p")
        assert 'hx-get="/p" hx-trigger="every 1s"' in running
        assert "hx-" not in progress("p", "Delivering", 2, 2)

    def test_an_error_belongs_to_its_field(self) -> None:
        field = Components(environment()).input("name", "Name", error="Too long.", help="Short.")
        assert 'aria-describedby="help-name error-name" aria-invalid="true"' in field
        assert 'id="error-name"' in field

    def test_a_field_without_error_says_nothing(self) -> None:
        assert "aria-invalid" not in Components(environment()).input("name", "Name")
