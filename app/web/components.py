"""The components of the design system under one name, so that no template imports anything.

`{{ ui.button(_("Save")) }}` works in pages and in single blocks alike; the macros live in
`app/templates/components/`, and their names are unique across its files.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from jinja2 import Environment

_FOLDER = "components/"


class Components:
    """Every macro of every component file, as attributes."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @cached_property
    def _files(self) -> dict[str, str]:
        files = [name for name in self._environment.list_templates() if name.startswith(_FOLDER)]
        return {
            macro: file
            for file in files
            for macro in vars(self._environment.get_template(file).module)
            if not macro.startswith("_")
        }

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in self._files:
            raise AttributeError(f"no component is named {name!r}")
        macro: Callable[..., Any] = getattr(
            self._environment.get_template(self._files[name]).module, name
        )
        return macro

    def __dir__(self) -> list[str]:
        return sorted(self._files)
