"""The sown faults stand where they were: a patch that finds no place would prove nothing."""

import pytest

from tests.e2e.site import ROOT
from tests.faults.mutants import MUTANTS, Mutant

FAULTS = 25


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_place_is_there_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.before) == 1


def test_every_fault_has_one() -> None:
    assert {mutant.number for mutant in MUTANTS} >= set(range(1, FAULTS + 1))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_tests_exist(mutant: Mutant) -> None:
    assert all((ROOT / name).exists() for name in mutant.tests)
