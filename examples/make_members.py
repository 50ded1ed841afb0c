"""Writes members.csv of the example brand, and the list of the rows an import must refuse.

Run: python examples/make_members.py

1 000 invented people of many scripts at reserved domains (RFC 2606), and ten rows spread among
them that are wrong on purpose. The same files on every run.
"""

import csv
import json
import random
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HEADER = ["email", "first_name", "last_name", "lang", "reference_id", "country"]
MEMBERS = 1000
DOMAINS = ("example.com", "example.org", "example.net")

Row = list[str]


def members(rng: random.Random) -> list[Row]:
    """Valid rows, each with its own email and reference id, the scripts well mixed."""
    groups = json.loads((FOLDER / "names.json").read_text(encoding="utf-8"))
    pools = [_people(group, rng) for group in groups.values()]
    rows: list[Row] = []
    taken: set[str] = set()
    while len(rows) < MEMBERS:
        row = pools[len(rows) % len(pools)].pop()
        row[0] = _free(row[0], taken)
        rows.append(row)
    rng.shuffle(rows)
    for number, row in enumerate(rows):
        row[4] = f"AT-{10_000 + number}"
    # A comma inside quotes is part of the name.
    rows[417][2] = "Carter, Jr."
    return rows


def _people(group: dict[str, object], rng: random.Random) -> list[Row]:
    """All pairs of a first and a last name, shuffled."""
    countries = list(group["countries"])  # type: ignore[call-overload]
    people = []
    for first, first_latin in _names(str(group["first"])):
        for last, last_latin in _names(str(group["last"])):
            address = f"{first_latin}.{last_latin}"
            people.append([address, first, last, str(group["lang"]), "", rng.choice(countries)])
    rng.shuffle(people)
    for number, person in enumerate(people):
        person[0] += "@" + DOMAINS[number % len(DOMAINS)]
    return people


def _names(text: str) -> list[tuple[str, str]]:
    """`Name` or `Näme:name`: the name and its spelling in an address."""
    pairs = []
    # Only the plain blank separates; a no-break space belongs to a name.
    for entry in text.split(" "):
        name, _, latin = entry.partition(":")
        pairs.append((name.replace("\u00a0", " "), latin or name.lower()))
    return pairs


def _free(address: str, taken: set[str]) -> str:
    local, _, domain = address.partition("@")
    number, free = 2, address
    while free in taken:
        free, number = f"{local}{number}@{domain}", number + 1
    taken.add(free)
    return free


def _cells(line: str) -> Row:
    return line.split(",")


def wrong_rows(rows: list[Row]) -> list[tuple[int, str, Row]]:
    """(place among the rows, reason, row): what an import refuses; duplicates repeat a row above.

    The reason is the one of the first check that fails.
    """
    shouting = [rows[311][0].upper(), *rows[311][1:]]
    return [
        (57, "email_invalid", _cells("ingrid.at.example.com,Ingrid,Sørlie,en,AT-20001,NO")),
        (143, "duplicate_in_file", list(rows[21])),
        (208, "email_invalid", _cells("mehmet@@example.org,Mehmet,Güler,tr,AT-20002,TR")),
        (295, "column_count", _cells("w.ellis@example.com,Wren,Ellis, Jr.,en,AT-20003,GB")),
        (402, "email_missing", _cells(",千夏,森,ja,AT-20004,JP")),
        (518, "email_invalid", _cells("lena hartwig@example.net,Lena,Hartwig,de,AT-20005,DE")),
        (634, "duplicate_in_file", shouting),
        (741, "duplicate_in_file", list(rows[700])),
        (866, "column_count", _cells("t.okafor@example.org,Tobe,Okafor,en,AT-20006,NG,")),
        (979, "email_invalid", _cells("paulo.@example.com,Paulo,Sá,pt,AT-20007,BR")),
    ]


def main() -> None:
    """Write both files."""
    rows = members(random.Random(2026))
    wrong = wrong_rows(rows)
    for place, _reason, row in reversed(wrong):
        rows.insert(place, row)
    refusals = [
        # Line 1 is the header; every wrong row before this one moved it down by one.
        {"line": place + before + 2, "reason": reason, "email": row[0]}
        for before, (place, reason, row) in enumerate(wrong)
    ]
    with (FOLDER / "members.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
        writer.writerows([HEADER, *rows])
    text = json.dumps(refusals, ensure_ascii=False, indent=2)
    (FOLDER / "expected_refusals.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
