"""Background jobs: nudges sent after the commit; the rows they point at are the truth.

A task's arguments are ids, its body is idempotent, and a periodic sweep picks up whatever a lost
message left. Losing the broker therefore delays work and loses none.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery, shared_task
from sqlalchemy.orm import Session

from core import db, file_queue
from core.settings import core_settings

_POLLING_SECONDS = 0.05
_VISIBILITY_SECONDS = 3600


@cache
def celery_app() -> Celery:
    """The Celery application of this process, configured for the broker in the settings."""
    app = Celery("cohort", set_as_current=True)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        enable_utc=True,
        **_broker(),
    )
    return app


def _broker() -> dict[str, Any]:
    url = core_settings().broker_url
    if url is not None:
        return {
            "broker_url": url.get_secret_value(),
            "worker_prefetch_multiplier": 1,
            "broker_transport_options": {"visibility_timeout": _VISIBILITY_SECONDS},
        }
    folder = core_settings().data_dir.resolve() / "queue"
    return {
        "broker_url": f"{file_queue.SCHEME}://",
        "worker_prefetch_multiplier": 4,
        "broker_transport_options": _file_queue(folder),
    }


def _file_queue(folder: Path) -> dict[str, Any]:
    """Options of the filesystem transport, which polls once a second unless told otherwise."""
    for name in ("messages", "processed", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "processed_folder": str(folder / "processed"),
        "control_folder": str(folder / "control"),
        "store_processed": False,
        "polling_interval": _POLLING_SECONDS,
    }


def ready_file(program: str) -> Path:
    """There once `worker` or `beat` takes up work; whoever starts the program removes it first."""
    folder = core_settings().data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{program}.ready"


def task(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Declare a task; its body has ten lines at most and opens its own units of work."""
    return shared_task(name=name, ignore_result=True)  # type: ignore[no-any-return]


def after_commit(session: Session, name: str, *ids: UUID) -> None:
    """Send the task `name` once this unit of work has committed."""
    db.after_commit(session, partial(send, name, *ids))


def send(name: str, *ids: UUID) -> None:
    """Send a nudge now; callers outside a unit of work only."""
    celery_app().send_task(name, args=[str(identifier) for identifier in ids], retry=False)
