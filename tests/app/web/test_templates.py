"""Every template of the product: nothing inline, every text translatable, every icon drawn."""

import re
from pathlib import Path

import pytest
from jinja2 import nodes

from app.web.rendering import environment
from app.web.static import ROOT

APP = ROOT.parent
TEMPLATES = sorted(APP.glob("**/templates/**/*.html"))
OURS = [path for path in TEMPLATES if "gallery" not in path.parts]
INLINE = re.compile(r"<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|<script(?![^>]*\ssrc=)", re.I)
SPOKEN = re.compile(r"\s(?:aria-label|placeholder|title|alt)=(\"|')([^\"'{]*[A-Za-z][^\"'{]*)\1")
TAG = re.compile(r"<[^<>]*>", re.S)
PHYSICAL = re.compile(
    r"^\s*(?:(?:margin|padding|border)-(?:left|right|top|bottom)|left|right|top|bottom"
    r"|width|height|(?:min|max)-(?:width|height)|text-align:\s*(?:left|right))\b(?!\))",
    re.M,
)
# Words that are the same in every language.
NAMES = {"№", "Cohort", "kbd"}


def name_of(path: Path) -> str:
    return path.relative_to(APP).as_posix()


def literal_text(source: str) -> str:
    """What the template says by itself: neither expressions, nor tags, nor their attributes."""
    tree = environment().parse(source)
    data = "\x00".join(part.data for part in tree.find_all(nodes.TemplateData))
    return re.sub(r"&[a-z]+;|[a-z-]+=\"[^\"]*\"?|\x00", " ", TAG.sub(" ", data))


def words_of(source: str) -> list[str]:
    """Literal words a reader would see or hear."""
    silent = r"<meta[^>]*>|{% block body_class %}\w*{% endblock %}"
    without_head = re.sub(silent, "", source)
    seen = [*re.findall(r"[^\W\d_]{2,}", literal_text(without_head))]
    heard = [match[2] for match in SPOKEN.finditer(without_head)]
    return [word for word in seen + heard if word not in NAMES]


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
class TestEveryTemplate:
    def test_has_no_style_script_or_handler_inline(self, path: Path) -> None:
        assert INLINE.findall(path.read_text()) == []

    def test_stays_below_the_ceiling(self, path: Path) -> None:
        assert len(path.read_text().splitlines()) <= 200

    def test_every_post_form_proves_where_it_comes_from(self, path: Path) -> None:
        source = path.read_text()
        by_hand = len(re.findall(r"<form[^>]*method=\"post\"", source))
        assert len(re.findall(r"csrf_field\(\)", source)) >= by_hand


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_text_can_be_translated(path: Path) -> None:
    assert words_of(path.read_text()) == []


class TestTheChecks:
    @pytest.mark.parametrize(
        "source",
        ['<p style="x">', "<style>a{}</style>", "<script>x()</script>", '<a onclick="x">'],
    )
    def test_something_inline_is_found(self, source: str) -> None:
        assert INLINE.search(source)

    def test_a_script_file_is_none(self) -> None:
        assert INLINE.search('<script src="/a.js" defer></script>') is None

    @pytest.mark.parametrize(
        "source", ["<p>Hello</p>", '<a title="Open">{{ x }}</a>', "{% if x %}Yes{% endif %}"]
    )
    def test_a_bare_text_is_found(self, source: str) -> None:
        assert words_of(source) != []

    @pytest.mark.parametrize(
        "source",
        ['<p>{{ _("Hello") }}</p>', "<a title=\"{{ _('Open') }}\">{{ x }}</a>", "№ {{ n }}"],
    )
    def test_a_wrapped_text_is_none(self, source: str) -> None:
        assert words_of(source) == []


class TestIcons:
    def test_every_icon_a_template_names_is_in_the_sprite(self) -> None:
        sprite = (ROOT / "vendor/icons/tabler.svg").read_text()
        drawn = set(re.findall(r'<symbol id="([^"]+)"', sprite))
        pattern = re.compile(r"(?:ui\.icon\(|icon=)\"([a-z0-9-]+)\"")
        named = {icon for path in TEMPLATES for icon in pattern.findall(path.read_text())}
        assert named - drawn == set()


class TestStyleSheets:
    @pytest.mark.parametrize("path", sorted((ROOT / "css").glob("*.css")), ids=name_of)
    def test_properties_are_logical(self, path: Path) -> None:
        assert PHYSICAL.findall(path.read_text()) == []

    @pytest.mark.parametrize("path", sorted((ROOT / "css").glob("*.css")), ids=name_of)
    def test_every_token_exists(self, path: Path) -> None:
        sheets = "".join(sheet.read_text() for sheet in (ROOT / "css").glob("*.css"))
        defined = set(re.findall(r"(--[a-z0-9-]+):", sheets))
        assert set(re.findall(r"var\((--[a-z0-9-]+)", path.read_text())) - defined == set()

    def test_nothing_is_fetched_from_elsewhere(self) -> None:
        for path in (ROOT / "css").glob("*.css"):
            assert re.findall(r"@import|https?:", path.read_text()) == []
