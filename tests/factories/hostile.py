"""Texts that were made to break things: quotes, formulas, markup, identifiers, odd characters."""

import random
from collections.abc import Iterator

from app.users.fields import CORE, fold
from app.users.properties import NAME_LENGTH

SEEDS = [
    *("'", '"', "''", "\\", "\\'", "%", "%s", "%(name)s", ":name", "::text", ":id", "$1", "{0}"),
    *("'; DROP TABLE users; --", '"; DROP TABLE users; --', "1 OR 1=1", "') OR ('1'='1", "/*"),
    *("__proto__", "constructor", "NULL", "None", "true", "undefined", "NaN", "1e309", "-0"),
    *("\0", "a\0b", "\x1b[31m", "\u202eevil", "مرحبا", "שלום", "\u200b", "🦄" * 9, "e\u0301"),
    *("<script>alert(1)</script>", "{{ 7*7 }}", "{% raw %}", "${7*7}", "=1+1", "@SUM(A1)"),
    *("x" * 10_000, " ", "\t", "\r\n", "a\nb", "../../etc/passwd", "prp_" + "0" * 26, "id", "n1"),
    *("email", "users.id", "t1", "ORDER BY 1", "LIMIT 0", "COLLATE", "\ufeff", "\U0010ffff"),
]


def hostile(count: int) -> Iterator[str]:
    """The seeds, then pieces of them put together at random."""
    draw = random.Random(1)
    for number in range(count):
        if number < len(SEEDS):
            yield SEEDS[number]
        else:
            yield "".join(draw.sample(SEEDS, draw.randint(2, 3)))[: draw.choice((20, 60, 300))]


def hostile_names(count: int) -> list[str]:
    """So many of them that can name properties, all different."""
    found: dict[str, str] = {}
    taken = {fold(it.name) for it in CORE.values()}
    for text in hostile(count * 20):
        name = "".join(it for it in text if it.isprintable())[:NAME_LENGTH].strip()
        if name and fold(name) not in taken:
            found.setdefault(fold(name), name)
        if len(found) == count:
            return list(found.values())
    raise AssertionError("there are too few of them")
