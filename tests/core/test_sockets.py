"""Where a Unix socket can be, and who else could put one there."""

from pathlib import Path

import pytest

from core.sockets import ForeignFolderError, folder_for, refuse_foreign


class TestFolderFor:
    def test_a_short_path_stays(self, tmp_path: Path) -> None:
        assert folder_for(tmp_path, "s", owner=tmp_path) == tmp_path

    @pytest.mark.parametrize("letter", ["x", "é"])
    def test_a_long_one_is_replaced_by_its_own_short_one(self, letter: str) -> None:
        long = Path("/") / (letter * 100)
        found = folder_for(long, "socket", owner=long)
        assert len(str(found)) < 40
        assert found != folder_for(long, "socket", owner=long / "other")


class TestRefuseForeign:
    def test_none_and_a_private_one_are_fine(self, tmp_path: Path) -> None:
        refuse_foreign(tmp_path / "none")
        (tmp_path / "own").mkdir(mode=0o700)
        refuse_foreign(tmp_path / "own")

    @pytest.mark.parametrize("mode", [0o777, 0o710, 0o701])
    def test_one_that_is_open_to_others_is_refused(self, tmp_path: Path, mode: int) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(mode)
        with pytest.raises(ForeignFolderError, match="open to others"):
            refuse_foreign(tmp_path / "open")
