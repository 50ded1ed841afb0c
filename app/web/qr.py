"""QR codes as one SVG path: the template draws it, nothing is fetched and no style is inline."""

from dataclasses import dataclass

import segno


@dataclass(frozen=True)
class QrCode:
    """A square of `size` modules including the quiet zone, and the path of its dark ones."""

    size: int
    path: str


def qr_code(text: str, *, border: int = 4) -> QrCode:
    """The code of `text`, error correction M or better, with the quiet zone the standard asks for.

    References:
        ISO/IEC 18004, quiet zone of four modules.
    """
    matrix = segno.make(text, micro=False, error="m").matrix
    runs = [
        f"M{x + border} {y + border}h{length}v1h-{length}z"
        for y, row in enumerate(matrix)
        for x, length in _dark_runs(bytes(row))
    ]
    return QrCode(size=len(matrix) + 2 * border, path="".join(runs))


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
