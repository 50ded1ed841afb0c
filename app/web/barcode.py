"""Barcodes as one SVG path: nothing is fetched. One of bars is one unit high, to be stretched.

Made here as `app.web.qr` makes QR codes, so that no service learns a member's code.
"""

from dataclasses import dataclass
from itertools import accumulate, groupby

import pdf417gen

_TABLE = (
    "212222222122222221121223121322131222122213122312132212221213221312231212112232122132"
    "122231113222123122123221223211221132221231213212223112312131311222321122321221312212"
    "322112322211212123212321232121111323131123131321112313132113132311211313231113231311"
    "112133112331132131113123113321133121313121211331231131213113213311213131311123311321"
    "331121312113312311332111314111221411431111111224111422121124121421141122141221112214"
    "112412122114122411142112142211241211221114413111241112134111111242121142121241114212"
    "124112124211411212421112421211212141214121412121111143111341131141114113114311411113"
    "411311113141114131311141411131211412211214211232"
)
_WIDTHS = tuple(_TABLE[at : at + 6] for at in range(0, len(_TABLE), 6))
"""Widths of bars and spaces of the values 0 to 105, each eleven modules together."""
_STOP = "2331112"
_START_B, _START_C = 104, 105
_QUIET_128 = 10
_DIGITS = "0001101001100100100110111101010001101100010101111011101101101110001011"
_LEFT = tuple(_DIGITS[at : at + 7] for at in range(0, len(_DIGITS), 7))
_SIDES = "LLLLLLLLGLGGLLGGLGLLGGGLLGLLGGLGGLLGLGGGLLLGLGLGLGLGGLLGGLGL"
_PARITIES = tuple(_SIDES[at : at + 6] for at in range(0, len(_SIDES), 6))
"""Which of the first six digits are turned round says the digit that has no bars of its own."""
_GUARD, _CENTRE = "101", "01010"
_QUIET_EAN = (11, 7)
_QUIET_417, _ROW_HEIGHT = 2, 3
_SHORT, _NARROW, _WIDE = 30, 3, 6
"""Columns of data: few for short texts, so that a phone shows wide modules."""


@dataclass(frozen=True)
class Barcode:
    """A field of modules including the quiet zones, and the path of its dark ones."""

    width: int
    path: str
    height: int = 1


def bars(text: str, kind: str) -> Barcode | None:
    """The code of the text in this kind: `code128`, `ean13` or `pdf417`; None where it has none."""
    return {"ean13": ean13, "pdf417": pdf417}.get(kind, code128)(text)


def code128(text: str) -> Barcode | None:
    """The code of printable ASCII, digits in pairs if there is nothing else; None for other texts.

    References:
        ISO/IEC 15417, code sets B and C, check character modulo 103.
    """
    if not text or not all(" " <= it <= "~" for it in text):
        return None
    if text.isdecimal() and len(text) % 2 == 0:
        values = [_START_C, *(int(text[at : at + 2]) for at in range(0, len(text), 2))]
    else:
        values = [_START_B, *(ord(it) - 32 for it in text)]
    check = (values[0] + sum(place * value for place, value in enumerate(values))) % 103
    widths = "".join(_WIDTHS[value] for value in (*values, check)) + _STOP
    modules = "".join(("1", "0")[place % 2] * int(it) for place, it in enumerate(widths))
    return _drawn(modules, _QUIET_128, _QUIET_128)


def ean13(text: str) -> Barcode | None:
    """The code of thirteen digits of which the last is right; None for other texts.

    References:
        ISO/IEC 15420, GS1 General Specifications §7.9 (check digit).
    """
    if len(text) != 13 or not (text.isascii() and text.isdecimal()):
        return None
    digits = [int(it) for it in text]
    if sum(digit * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10:
        return None
    first = zip(digits[1:7], _PARITIES[digits[0]], strict=True)
    left = "".join(_LEFT[digit] if kind == "L" else _turned(digit) for digit, kind in first)
    right = "".join(_right(digit) for digit in digits[7:])
    return _drawn(_GUARD + left + _CENTRE + right + _GUARD, *_QUIET_EAN)


def pdf417(text: str) -> Barcode | None:
    """The stacked code of printable ASCII, rows three modules high; None for other texts.

    References:
        ISO/IEC 15438, error correction level 2.
    """
    if not text or not all(" " <= it <= "~" for it in text):
        return None
    columns = _WIDE if len(text) > _SHORT else _NARROW
    rows = pdf417gen.encode(text, columns=columns, security_level=2)
    modules = ["".join(f"{word:b}" for word in row) for row in rows]
    path = "".join(
        _row(row, _QUIET_417, _QUIET_417 + at * _ROW_HEIGHT, _ROW_HEIGHT)
        for at, row in enumerate(modules)
    )
    height = 2 * _QUIET_417 + _ROW_HEIGHT * len(rows)
    return Barcode(2 * _QUIET_417 + len(modules[0]), path, height)


def _right(digit: int) -> str:
    """Dark where the left one is light."""
    return _LEFT[digit].translate({48: 49, 49: 48})


def _turned(digit: int) -> str:
    return _right(digit)[::-1]


def _drawn(modules: str, before: int, after: int) -> Barcode:
    return Barcode(before + len(modules) + after, _row(modules, before, 0, 1))


def _row(modules: str, x: int, y: int, height: int) -> str:
    runs = [(kind, len(list(run))) for kind, run in groupby(modules)]
    starts = accumulate((length for _, length in runs), initial=x)
    return "".join(
        f"M{start} {y}h{length}v{height}h-{length}z"
        for (kind, length), start in zip(runs, starts, strict=False)
        if kind == "1"
    )
