"""Codes and uses as files, written in a stream: whatever their number, a part is in memory.

A stream outlives its request, so every part is read in a unit of work of its own.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import select

from app.claims.codes import code_at, in_groups
from app.claims.models import ClaimBatch, ClaimCode, ClaimUse
from app.claims.paths import link_of
from app.claims.seeds import open_seed
from app.uploads.export import as_csv
from app.users.models import User
from app.web.qr import QrCode, qr_code
from core.db import unit_of_work
from core.ids import encode_id
from core.types import ClaimBatchId, ClaimUseId, MerchantId, PlaceId

MOST_IN_A_FILE = 10_000
"""QR codes of one file: drawing one takes three milliseconds."""
_ROWS_A_PART = 5_000


@dataclass(frozen=True)
class Printable:
    """A code that somebody can still use.

    Args:
        merchant: whose batch it is.
        first: position of the first code; last: of the last one, both included.
        place: where they are put up, which their links say; None for nowhere in particular.
    """

    merchant: MerchantId
    batch_id: ClaimBatchId
    seed: bytes
    first: int
    last: int
    place: PlaceId | None = None

    @classmethod
    def of(
        cls, batch: ClaimBatch, first: int, last: int, *, place: PlaceId | None = None
    ) -> "Printable":
        """What can be printed of the batch.

        Raises:
            BatchSealedError: nobody can know its codes any more.
        """
        seed = open_seed(batch)
        last = min(last, batch.made_count)
        return cls(batch.merchant_id, batch.id, seed, max(first, 1), last, place)

    def parts(self) -> Iterator[list[tuple[int, str, int]]]:
        """Position, code and uses left of each, a few thousand at a time."""
        for start in range(self.first, self.last + 1, _ROWS_A_PART):
            end = min(start + _ROWS_A_PART - 1, self.last)
            with unit_of_work(merchant=self.merchant) as session:
                rows = session.execute(
                    select(ClaimCode.position, ClaimCode.uses_left)
                    .where(
                        ClaimCode.batch_id == self.batch_id,
                        ClaimCode.position.between(start, end),
                        ClaimCode.uses_left > 0,
                        ClaimCode.disabled_at.is_(None),
                    )
                    .order_by(ClaimCode.position)
                ).all()
            yield [(place, code_at(self.seed, place), left) for place, left in rows]

    def codes(self) -> Iterator[tuple[int, str]]:
        """Position and code of each."""
        for part in self.parts():
            for position, code, _ in part:
                yield position, code


def codes_at(batch: ClaimBatch, positions: Sequence[int]) -> dict[int, str]:
    """The codes at these positions.

    Raises:
        BatchSealedError: nobody can know them any more.
    """
    seed = open_seed(batch)
    return {position: code_at(seed, position) for position in positions}


def codes_as_csv(chosen: Printable) -> Iterator[str]:
    """Number, code, link and uses left."""
    yield from as_csv([("number", "code", "link", "uses_left")])
    for part in chosen.parts():
        rows = (
            (position, in_groups(code), link_of(code, chosen.place), left)
            for position, code, left in part
        )
        yield "".join(as_csv(rows))


def qr_codes_as_zip(
    codes: Iterable[tuple[int, str]], place: PlaceId | None = None
) -> Iterator[bytes]:
    """One SVG file a code, named by its number."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_DEFLATED) as archive:
        for position, code in codes:
            svg = as_svg(qr_code(link_of(code, place)), in_groups(code))
            archive.writestr(f"{position:08d}.svg", svg)
            if sink.size > _CHUNK:
                yield sink.take()
    yield sink.take()


_CHUNK = 1 << 16


def as_svg(code: QrCode, title: str) -> str:
    """The QR code as a file of its own."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {code.size} {code.size}"'
        ' shape-rendering="crispEdges">'
        f"<title>{title}</title>"
        f'<rect width="{code.size}" height="{code.size}" fill="#fff"/>'
        f'<path d="{code.path}"/></svg>\n'
    )


class _Sink(io.RawIOBase):
    """A file-like target nobody can seek in, which hands over what was written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        """Nothing else."""
        return True

    def write(self, data: Any) -> int:
        """Keep the bytes."""
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        """Everything written since the last take."""
        data = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return data


def uses_as_csv(merchant: MerchantId, batch_id: ClaimBatchId) -> Iterator[str]:
    """Time, code number, member, and grant of each use, oldest first."""
    yield from as_csv([("time", "code_number", "user_id", "email", "grant_id")])
    after: ClaimUseId | None = None
    while True:
        with unit_of_work(merchant=merchant) as session:
            query = (
                select(ClaimUse, User.email)
                .join(User, User.id == ClaimUse.user_id)
                .where(ClaimUse.batch_id == batch_id)
                .order_by(ClaimUse.id)
                .limit(_ROWS_A_PART)
            )
            rows = session.execute(query if after is None else query.where(ClaimUse.id > after))
            found = rows.all()
        if not found:
            return
        after = found[-1][0].id
        yield "".join(as_csv(_cells(use, email) for use, email in found))


def _cells(use: ClaimUse, email: str) -> tuple[object, ...]:
    return (
        use.used_at.isoformat(timespec="seconds"),
        use.position,
        encode_id("usr", use.user_id),
        email,
        encode_id("grt", use.grant_id),
    )
