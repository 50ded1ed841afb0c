"""The sources, what ape makes of them, and what is committed."""

import re
from pathlib import Path

import ape
import pytest

from chain.artifacts.compile import CONTRACTS
from chain.bindings.abi import creation_code

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "contracts").rglob("*.vy"))
EXTERNAL = re.compile(
    r"@external\n(?:@\w+\n)*"  # with its other decorators
    r"def (\w+)\((?:[^()]|\([^()]*\))*\)(?: -> [^:\n]+)?:\n"
    r"((?:    .*\n){1,2})"
)
MESSAGE = re.compile(r'"((?:pass|asset|factory|roles|anchor): [^"]+)"')


@pytest.mark.usefixtures("deployed")
class TestArtifacts:
    @pytest.mark.parametrize("name", CONTRACTS)
    def test_are_what_ape_compiles(self, name: str) -> None:
        compiled = getattr(ape.project, name).contract_type.deployment_bytecode.bytecode
        assert bytes.fromhex(compiled.removeprefix("0x")) == creation_code(name)

    @pytest.mark.parametrize("name", CONTRACTS)
    def test_fit_a_contract(self, name: str) -> None:
        code = getattr(ape.project, name).contract_type.runtime_bytecode.bytecode
        assert len(code.removeprefix("0x")) // 2 <= 24_576


class TestNatSpec:
    @pytest.mark.parametrize("name", CONTRACTS)
    def test_every_function_for_others_says_what_it_does(self, name: str) -> None:
        source = (ROOT / "contracts" / f"{name}.vy").read_text()
        functions = EXTERNAL.findall(source)
        assert len(functions) == source.count("@external")
        assert [function for function, note in functions if "@notice" not in note] == []


class TestRevertMessages:
    def test_are_each_seen_in_a_test(self) -> None:
        tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
        messages = {m for path in SOURCES for m in MESSAGE.findall(path.read_text())}
        assert len(messages) > 50
        assert {m for m in messages if f'"{m}"' not in tests} == set()
