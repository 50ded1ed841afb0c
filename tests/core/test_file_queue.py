"""Messages appear whole, in order, and are read once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from core.file_queue import SCHEME
from core.jobs import _file_queue

QUEUE = "work"


@pytest.fixture
def channel(tmp_path: Path) -> Any:
    connection = Connection(f"{SCHEME}://", transport_options=_file_queue(tmp_path))
    yield connection.channel()
    connection.release()


def read_all(channel: Any) -> list[int]:
    found = []
    while True:
        try:
            found.append(channel._get(QUEUE)["number"])
        except Empty:
            return found


class TestChannel:
    def test_messages_come_in_the_order_they_were_put(self, channel: Any) -> None:
        for number in range(20):
            channel._put(QUEUE, {"number": number})
        assert read_all(channel) == list(range(20))

    def test_a_message_is_read_once(self, channel: Any) -> None:
        channel._put(QUEUE, {"number": 1})
        assert read_all(channel) == [1]
        assert read_all(channel) == []

    def test_readers_never_see_half_a_message(self, channel: Any, tmp_path: Path) -> None:
        total = 400

        def write() -> None:
            for number in range(total):
                channel._put(QUEUE, {"number": number, "body": "x" * 5_000})

        found: list[int] = []
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not writing.done() or len(found) < total:
                found += read_all(channel)
        assert sorted(found) == list(range(total))
