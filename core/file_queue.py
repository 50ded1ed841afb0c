"""Kombu's filesystem transport with whole messages.

The original makes a message visible before it is written, so a reader can find it empty and
its worker dies of that. Here a message appears under its name once it is complete.
"""

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

SCHEME = "cohort-files"


class Channel(filesystem.Channel):
    """A channel whose messages appear whole; the oldest is read first."""

    # Kombu hands over more than its base class declares.
    def _put(self, queue: str, message: Any, **_: Any) -> None:  # type: ignore[override]
        name = f"{time.time_ns()}_{uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        draft = folder / f".{name}.part"
        draft.write_bytes(dumps(message).encode())  # type: ignore[no-untyped-call]
        draft.replace(folder / name)


class Transport(filesystem.Transport):
    """The transport behind `cohort-files://`."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:{Transport.__name__}"
