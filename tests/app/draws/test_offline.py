"""A document from a file or an address, without a database: what the command does with it."""

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app.draws import offline, verifier
from app.draws.offline import DocumentUnreachableError, DocumentUnreadableError
from tests.app.draws import made
from tests.app.test_cli import call

MADE: dict[str, Callable[[], made.Made]] = {
    "instant": made.instant,
    "raffle": lambda: made.raffle(replaced=1),
}


def document(kind: str) -> bytes:
    return b"".join(line + b"\n" for line in MADE[kind]().lines())


@contextmanager
def site(**pages: bytes) -> Iterator[str]:
    """An address below which `draw.jsonl.gz` and others are served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path.rsplit("/", 1)[-1].replace(".", "_"))
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/verify/draw/drw_1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestLines:
    @pytest.mark.parametrize("kind", MADE)
    @pytest.mark.parametrize("packed", [True, False])
    def test_of_a_file(self, tmp_path: Path, kind: str, packed: bool) -> None:
        file = tmp_path / "draw"
        file.write_bytes(gzip.compress(document(kind)) if packed else document(kind))
        assert verifier.verify(offline.lines_of(str(file))).is_sound

    def test_of_an_address_of_the_document_or_the_page(self) -> None:
        with site(draw_jsonl_gz=gzip.compress(document("raffle"))) as address:
            for source in (address, f"{address}/", f"{address}/draw.jsonl.gz"):
                assert verifier.verify(offline.lines_of(source)).is_sound

    def test_of_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentUnreadableError, match="No such file"):
            list(offline.lines_of(str(tmp_path / "none")))
        with site() as address, pytest.raises(DocumentUnreachableError, match="404"):
            list(offline.lines_of(address))
        with pytest.raises(DocumentUnreachableError, match="ConnectError"):
            list(offline.lines_of("http://127.0.0.1:1/draw.jsonl"))

    @pytest.mark.parametrize("cut", [3, 40, -9, -1])
    def test_of_a_damaged_file(self, tmp_path: Path, cut: int) -> None:
        file = tmp_path / "draw.gz"
        file.write_bytes(gzip.compress(document("instant"))[:cut])
        with pytest.raises(DocumentUnreadableError):
            list(offline.lines_of(str(file)))


class TestCommand:
    """The command as people call it, where no database is."""

    def verify(self, *arguments: object) -> tuple[int, str]:
        done = call(
            *("draw", "verify", *map(str, arguments)),
            COHORT_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
            COHORT_DATA_DIR=os.devnull,
        )
        return done.returncode, done.stdout + done.stderr

    @pytest.mark.parametrize("kind", MADE)
    def test_says_that_every_step_holds(self, tmp_path: Path, kind: str) -> None:
        file, params = tmp_path / "draw.jsonl.gz", tmp_path / "params.json"
        file.write_bytes(gzip.compress(document(kind)))
        params.write_bytes(MADE[kind]().params.document())
        code, said = self.verify(file, "--params", params)
        assert code == 0, said
        assert "pass  commitment" in said and "FAIL" not in said

    def test_says_which_step_does_not(self, tmp_path: Path) -> None:
        file = tmp_path / "draw.jsonl"
        seed = made.SEED.hex().encode()
        file.write_bytes(document("raffle").replace(seed, seed[::-1]))
        code, said = self.verify(file)
        assert code == 1
        assert "pass  parameters" in said and "FAIL  commitment" in said

    def test_says_what_is_wrong_with_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "draw.jsonl"
        file.write_bytes(b"<html>")
        assert self.verify(file) == (
            1,
            "FAIL  document: Line 1 is no line of a draw: "
            "Expecting value: line 1 column 1 (char 0).\n",
        )
        code, said = self.verify(tmp_path / "none")
        assert code == 1 and "cannot be read" in said
