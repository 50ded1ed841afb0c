"""Compiles the contracts into the artifacts beside this module, or checks that they are current.

The compiler is a development dependency, so it is imported when this runs and never by the product,
which reads the committed JSON only. Its output depends on nothing but the sources and its version.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

CONTRACTS = ("MembershipPass", "DigitalAsset", "AssetFactory", "Anchor")
SOURCES = Path(__file__).resolve().parents[2] / "contracts"
ARTIFACTS = Path(__file__).resolve().parent


def compile_contract(name: str) -> dict[str, Any]:
    """Compiles one contract of `contracts/`.

    Args:
        name: file name without `.vy`.
    """
    import vyper
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle

    bundle = FilesystemInputBundle([SOURCES])
    source = bundle.load_file(Path(f"{name}.vy"))
    formats = ["abi", "bytecode", "bytecode_runtime", "settings_dict"]
    output = compile_from_file_input(source, input_bundle=bundle, output_formats=formats)
    return {
        "name": name,
        "compiler": {
            "name": "vyper",
            "version": vyper.__version__,
            "evm_version": "prague",
            "optimize": output["settings_dict"]["optimize"],
        },
        "runtime_size": len(output["bytecode_runtime"]) // 2 - 1,
        "abi": output["abi"],
        "bytecode": output["bytecode"],
    }


def render(artifact: dict[str, Any]) -> str:
    """The text of an artifact file: the same artifact always gives the same bytes."""
    return json.dumps(artifact, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes every artifact; with `--check` writes nothing and answers 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args(arguments).check
    stale = []
    for name in CONTRACTS:
        path = ARTIFACTS / f"{name}.json"
        text = render(compile_contract(name))
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(
            f"Artifacts differ from contracts/: {', '.join(stale)}. "
            "Run `python -m chain.artifacts.compile` and commit the result.\n"
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
