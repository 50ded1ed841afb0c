"""QR codes as one SVG path: the template draws it, nothing is fetched and no style is inline."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import segno

QUIET_ZONE = 4
"""Modules around the code that stay light. ISO/IEC 18004."""


@dataclass(frozen=True)
class QrCode:
    """A square of `size` modules including the quiet zone, and where its dark ones are.

    Args:
        runs: column, row and length of each row of dark modules side by side.
    """

    size: int
    runs: Sequence[tuple[int, int, int]]

    @property
    def path(self) -> str:
        """The dark modules as a path of SVG."""
        return "".join(f"M{x} {y}h{length}v1h-{length}z" for x, y, length in self.runs)


@dataclass(frozen=True)
class QrModules:
    """The modules of a code without quiet zone, `size` a side, for a script that draws them.

    `bits` is base64 of the modules row by row, dark ones 1, first module in the highest bit.
    """

    size: int
    bits: str


def qr_modules(text: str) -> QrModules:
    """A code of `text` in a fortieth of the characters of a path, made five times as fast.

    The best of eight masks is not looked for: readers take any, and this is made for many codes
    of which few are ever shown.
    """
    rows = segno.make(text, micro=False, error="m", mask=3).matrix
    digits = "".join("1" if module else "0" for row in rows for module in row)
    count = -(-len(digits) // 8)
    packed = int(digits.ljust(count * 8, "0"), 2).to_bytes(count)
    return QrModules(len(rows), base64.b64encode(packed).decode())


def qr_code(text: str, *, border: int = QUIET_ZONE) -> QrCode:
    """The code of `text`, error correction M or better, with the quiet zone the standard asks for.

    References:
        ISO/IEC 18004, quiet zone of four modules.
    """
    matrix = segno.make(text, micro=False, error="m").matrix
    runs = [
        (x + border, y + border, length)
        for y, row in enumerate(matrix)
        for x, length in _dark_runs(bytes(row))
    ]
    return QrCode(size=len(matrix) + 2 * border, runs=runs)


def _dark_runs(row: bytes) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    start = None
    for x, module in enumerate([*row, 0]):
        if module and start is None:
            start = x
        elif not module and start is not None:
            runs.append((start, x - start))
            start = None
    return runs
