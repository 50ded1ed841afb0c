"""The documentation names what exists: every setting, every command."""

import re
from pathlib import Path

import pytest
from click import Group
from pydantic_settings import BaseSettings

from app.cli import main
from chain.settings import ChainSettings
from core.settings import CoreSettings
from minting.settings import ContentSettings
from wallets.settings import WalletSettings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (CoreSettings, ChainSettings, WalletSettings, ContentSettings)


def variables(settings: type[BaseSettings]) -> list[str]:
    prefix = settings.model_config.get("env_prefix", "")
    return [f"{prefix}{field}".upper() for field in settings.model_fields]


class TestReadme:
    @pytest.mark.parametrize("settings", SETTINGS)
    def test_every_setting_is_in_its_table(self, settings: type[BaseSettings]) -> None:
        missing = [name for name in variables(settings) if f"`{name}`" not in README]
        assert missing == []

    def test_it_names_no_setting_that_does_not_exist(self) -> None:
        known = {name for settings in SETTINGS for name in variables(settings)}
        named = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", README, flags=re.MULTILINE))
        assert named - known == set()

    def test_every_make_target_people_need_is_there(self) -> None:
        for target in ("run", "smoke", "test", "check", "bench", "screenshots"):
            assert f"`make {target}" in README

    def test_every_command_is_there(self) -> None:
        assert isinstance(main, Group)
        for command in main.commands:
            assert f"`cohort {command}" in README


class TestDecisions:
    def test_every_decision_says_why_and_what_else(self) -> None:
        for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
            text = path.read_text(encoding="utf-8")
            for heading in ("## Context", "## Decision", "## Consequences", "## Alternatives"):
                assert heading in text, f"{path.name}: {heading}"


class TestChangelog:
    def test_it_begins_with_what_is_not_released(self) -> None:
        text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert "## [Unreleased]" in text
