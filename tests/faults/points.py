"""Named points at which a worker kills itself: where they are, and how it gets there.

The product knows nothing of them. A forked worker wraps functions by their dotted names, wherever
they were imported, and sends itself SIGKILL before or after one of their calls, or around the
commit of what the call wrote. A name that is gone is an error, never a point that is not reached.
"""

import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial, wraps
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from chain.models import AttemptKind

_PACKAGES = ("app", "chain", "core", "minting", "wallets")
_COMMIT = "sqlalchemy.orm.Session.commit"
_ANY = object()
"""Stands for whichever session commits inside of a call."""

Having = Callable[[tuple[Any, ...], dict[str, Any]], bool]
"""Whether a call with these arguments is the point."""


class Moment(StrEnum):
    """When it dies: around the call, or around the commit of what the call wrote."""

    BEFORE = "before"
    HALFWAY = "halfway"
    AFTER = "after"
    BEFORE_COMMIT = "before the commit"
    AFTER_COMMIT = "after the commit"


@dataclass(frozen=True)
class Point:
    """One place in the work.

    Args:
        call: dotted name; a call that returns 0 or False did nothing and is not the point.
        most: a worker dies at one of so many occurrences, chosen at random.
        needs_restore: only a restored backup comes by.
    """

    name: str
    call: str
    moment: Moment
    having: Having = lambda _args, _named: True
    most: int = 3
    needs_restore: bool = False


def _around(name: str, call: str, *moments: Moment, **more: Any) -> list[Point]:
    return [Point(f"{name}: {moment}", call, moment, **more) for moment in moments]


def _of_kind(*kinds: AttemptKind) -> Having:
    return lambda _args, named: named["kind"] in kinds


def _is_final(_args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    return bool(named["is_final"])


def _is_mined(_args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    return not named["is_final"]


def _is_replaced(args: tuple[Any, ...], _named: dict[str, Any]) -> bool:
    return len(args[1].attempts) > 1


def _is_send(args: tuple[Any, ...], _named: dict[str, Any]) -> bool:
    return b"eth_sendRawTransaction" in args[1]


def _is_signature(args: tuple[Any, ...], _named: dict[str, Any]) -> bool:
    return b'"operation":"sign"' in args[1]


_BOTH = (Moment.BEFORE, Moment.AFTER)
_COMMITS = (Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT)
_WRITE = (Moment.BEFORE, *_COMMITS)
_NO_OP: dict[str, Any] = {
    "having": _of_kind(AttemptKind.CANCEL),
    "most": 1,
    "needs_restore": True,
}
_SEND = "socket.socket.sendall"

POINTS: tuple[Point, ...] = (
    *_around("plan frozen", "minting.plans.freeze", Moment.AFTER, *_COMMITS, most=1),
    *_around("chain looked at", "chain.client.ChainClient.balance", Moment.AFTER),
    *_around("nonce", "chain.nonces.allocate", *_BOTH),
    *_around("signing", "wallets.service.sign_transactions", *_BOTH),
    *_around("signer asked", "wallets.client.RemoteSigner.ask", *_BOTH),
    *_around("request of a signature", _SEND, Moment.HALFWAY, Moment.AFTER, having=_is_signature),
    *_around("stored", "chain.pipeline.store", Moment.AFTER, having=_of_kind(AttemptKind.FIRST)),
    *_around("claimed", "chain.pipeline.enqueue", Moment.AFTER, *_COMMITS),
    *_around("send", "chain.client.ChainClient.send_raw", *_BOTH),
    *_around("request of a send", _SEND, Moment.HALFWAY, Moment.AFTER, having=_is_send),
    *_around("first_sent_at", "chain.pipeline._store_answer", *_COMMITS),
    *_around("mined", "chain.pipeline._record", *_WRITE, having=_is_mined),
    *_around("finality line", "chain.networks.advance_finality", *_WRITE),
    *_around("final", "chain.pipeline._record", *_WRITE, having=_is_final),
    *_around("left the chain", "chain.pipeline._unmine", *_COMMITS, most=1),
    *_around("settled", "minting.settlement.settle", Moment.AFTER, *_COMMITS),
    *_around("bump signed", "chain.replacements.sign", *_BOTH, having=_of_kind(AttemptKind.BUMP)),
    *_around("bump stored", "chain.replacements.raise_fees", *_COMMITS),
    *_around("bump sent", "chain.pipeline._store_answer", *_WRITE, having=_is_replaced),
    *_around("sped up", "chain.replacements.speed_up", *_COMMITS, most=1),
    *_around("cancelled", "chain.replacements.cancel_unmined", Moment.AFTER, *_COMMITS, most=1),
    *_around("given up", "chain.replacements.give_up", *_COMMITS, most=1),
    *_around("held", "minting.sending._hold", *_WRITE, most=1),
    *_around("released", "minting.sending.release", *_COMMITS, most=1),
    *_around("lane paused", "chain.lanes.pause", *_COMMITS, most=1),
    *_around("lane resumed", "chain.lanes.resume", *_COMMITS, most=1),
    *_around("no-op stored", "chain.pipeline.store", *_BOTH, **_NO_OP),
    *_around("nonces burned", "chain.recovery._use_up", *_WRITE, most=1, needs_restore=True),
    *_around("blocks read", "chain.recovery._read_blocks", *_WRITE, most=1, needs_restore=True),
    *_around("recognised", "chain.sightings.recognise", *_COMMITS, most=1, needs_restore=True),
    *_around("recovered", "chain.recovery._finish", *_COMMITS, most=1, needs_restore=True),
)


def arm(point: Point, occurrence: int, last_word: Callable[[], None]) -> None:
    """This process kills itself when it comes by the point for the so-many-th time."""
    left = occurrence

    def pass_by(last_act: Callable[[], object] = lambda: None) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            last_act()
            last_word()
            os.kill(os.getpid(), signal.SIGKILL)

    if point.moment in _COMMITS:
        event.listen(Session, "after_flush", _note_write)
        commit = _Commit(point, pass_by)
        _wrap(point.call, commit.calling)
        _wrap(_COMMIT, commit.committing)
    else:
        _wrap(point.call, partial(_armed, point, pass_by))


def find(dotted: str) -> tuple[Any, str]:
    """What has the function, and its name there.

    Raises:
        LookupError: it does not exist any more.
    """
    path, _, name = dotted.rpartition(".")
    try:
        owner = pkgutil.resolve_name(path)
        getattr(owner, name)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"There is no {dotted} to crash at; point at what replaced it."
        ) from error
    return owner, name


def _wrap(dotted: str, wrap: Callable[[Any], Any]) -> None:
    """Everybody who has the function has the wrapped one instead."""
    owner, name = find(dotted)
    original = getattr(owner, name)
    wrapped = wraps(original)(wrap(original))
    setattr(owner, name, wrapped)
    for module in [it for key, it in sys.modules.items() if key.split(".")[0] in _PACKAGES]:
        for own_name, value in list(vars(module).items()):
            if value is original:
                setattr(module, own_name, wrapped)


def _did_nothing(result: Any) -> bool:
    return isinstance(result, int) and not result


def _armed(point: Point, pass_by: Callable[..., None], original: Any) -> Any:
    def called(*args: Any, **named: Any) -> Any:
        is_here = point.having(args, named)
        if is_here and point.moment is Moment.BEFORE:
            pass_by()
        if is_here and point.moment is Moment.HALFWAY:
            pass_by(lambda: args[0].send(args[1][: len(args[1]) // 2]))
        result = original(*args, **named)
        if is_here and point.moment is Moment.AFTER and not _did_nothing(result):
            pass_by()
        return result

    return called


class _Commit:
    """The commit that makes a call's writes last: one inside of the call, or its session's."""

    def __init__(self, point: Point, pass_by: Callable[[], None]) -> None:
        self._point, self._pass_by = point, pass_by
        self._watched = threading.local()

    def calling(self, original: Any) -> Any:
        """The call, which says whose commit it is."""

        def called(*args: Any, **named: Any) -> Any:
            if not self._point.having(args, named):
                return original(*args, **named)
            own = next((it for it in args if isinstance(it, Session)), _ANY)
            self._watched.session, is_done = own, False
            try:
                result = original(*args, **named)
                is_done = not _did_nothing(result)
                return result
            finally:
                if own is _ANY or not is_done:
                    self._watched.session = None

        return called

    def committing(self, original: Any) -> Any:
        """The commit; one that writes nothing is not the point."""

        def commit(session: Session) -> None:
            is_it = getattr(self._watched, "session", None) in (session, _ANY)
            if is_it:
                session.flush()
            is_it = is_it and session.info.get("has_written", False)
            if is_it and self._point.moment is Moment.BEFORE_COMMIT:
                self._pass_by()
            original(session)
            if is_it:
                self._watched.session = None
                if self._point.moment is Moment.AFTER_COMMIT:
                    self._pass_by()

        return commit


def _note_write(session: Session, _context: Any) -> None:
    session.info["has_written"] = True
