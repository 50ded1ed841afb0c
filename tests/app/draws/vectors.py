"""Writes the test vectors of `docs/draw-v1.json`: `python -m tests.app.draws.vectors`.

They were written once. A run that changes them has changed the algorithm, which has to get another
name then.
"""

import json
from itertools import islice
from typing import Any

from app.draws import algorithm
from app.draws.published import Opened, Place, Ticket
from tests.app.draws import made
from tests.app.draws.made import SEED, VECTORS, some


def vectors() -> dict[str, Any]:
    """Everything the file holds."""
    instant = made.instant((1, 3), boxes=12)
    raffle = made.raffle((1, 2), tickets=9)
    return {
        "algorithm": algorithm.NAME,
        "commitment": [
            {
                "params": it.params.document().decode(),
                "serverSeed": SEED.hex(),
                "commitment": it.head.commitment.hex(),
            }
            for it in (instant, raffle)
        ],
        "uniform": [_uniform(number, n) for n in (6, 10**6, 2**63 + 1) for number in range(4)],
        "instant": {
            "params": instant.params.document().decode(),
            "serverSeed": SEED.hex(),
            "openings": [
                {
                    "k": it.opening.number,
                    "boxId": it.opening.box_id.hex(),
                    "clientNonce": it.opening.nonce.hex(),
                    "flag": it.flag,
                    "outcome": it.line_id,
                    "logHash": it.hash.hex(),
                }
                for it in instant.entries
                if isinstance(it, Opened)
            ],
        },
        "raffle": {
            "params": raffle.params.document().decode(),
            "serverSeed": SEED.hex(),
            "beacon": algorithm.NO_BEACON.hex(),
            "tickets": [
                {"seq": it.seq, "ticketId": it.id.hex(), "tag": it.tag.hex()}
                for it in raffle.entries
                if isinstance(it, Ticket)
            ],
            "ticketsRoot": raffle.head.end.hex(),
            "places": [
                [it.line_id, it.ticket_id.hex()] for it in raffle.entries if isinstance(it, Place)
            ],
        },
    }


def _uniform(number: int, size: int) -> dict[str, Any]:
    key, message = some(number, 32, "vector"), some(number, 8, "message")
    first = next(islice(algorithm.words(key, message), 1))
    result = algorithm.uniform(algorithm.words(key, message), size)
    return {
        "key": key.hex(),
        "message": message.hex(),
        "n": str(size),
        "result": str(result),
        "rejected": first >= 2**64 // size * size,
    }


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
