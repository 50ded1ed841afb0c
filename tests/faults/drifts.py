"""Ways in which database and chain can drift apart: each is made, and taken back.

A drift changes one row of the tables, or one thing that a node says, in a world that was clean. It
names the rules that have to notice; more of them may.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from sqlalchemy import text

from chain.models import Rule
from core.db import Role, unit_of_work
from tests.chain.fake_ledger import Event
from tests.factories.reconciled import World

Restore = Callable[[], None]
STRANGER = "0x" + "5a" * 20


@dataclass(frozen=True)
class Drift:
    """One way.

    Args:
        rules: all of these have to find it.
        words: stand in one of the sentences.
    """

    apply: Callable[[World, Random], Restore]
    rules: frozenset[Rule]
    words: str


def _rows(query: str, **values: Any) -> list[dict[str, Any]]:
    with unit_of_work(role=Role.ENGINE) as session:
        return [dict(row) for row in session.execute(text(query), values).mappings()]


def _do(statement: str, **values: Any) -> None:
    with unit_of_work(role=Role.ENGINE) as session:
        session.execute(text(statement), values)


def _insert(table: str, row: dict[str, Any]) -> None:
    columns = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(f":{name}" for name in row)
    _do(f"INSERT INTO {table} ({columns}) VALUES ({values})", **row)


def _update(table: str, row: dict[str, Any], values: dict[str, Any]) -> Restore:
    """The row has other values until it is restored."""
    assignments = ", ".join(f'"{name}" = :{name}' for name in values)
    statement = f"UPDATE {table} SET {assignments} WHERE id = :row_id"
    _do(statement, row_id=row["id"], **values)
    before = {name: row[name] for name in values}
    return lambda: _do(statement, row_id=row["id"], **before)


def _pick(random: Random, query: str) -> dict[str, Any]:
    return random.choice(_rows(query))


def column(
    table: str, where: str, change: Callable[[dict[str, Any], Random], dict[str, Any]]
) -> Callable[[World, Random], Restore]:
    """A drift of one row's columns."""

    def apply(_world: World, random: Random) -> Restore:
        row = _pick(random, f"SELECT * FROM {table} WHERE {where} ORDER BY id")
        return _update(table, row, change(row, random))

    return apply


def _delete_token(_world: World, random: Random) -> Restore:
    row = _pick(random, "SELECT * FROM tokens ORDER BY id")
    _do("DELETE FROM tokens WHERE id = :row_id", row_id=row["id"])
    return lambda: _insert("tokens", row)


def _delete_transaction(_world: World, random: Random) -> Restore:
    row = _pick(random, f"SELECT * FROM transactions WHERE {_MINTING} ORDER BY nonce")
    attempts = _rows("SELECT * FROM attempts WHERE transaction_id = :row_id", row_id=row["id"])
    _do("DELETE FROM attempts WHERE transaction_id = :row_id", row_id=row["id"])
    _do("DELETE FROM transactions WHERE id = :row_id", row_id=row["id"])

    def restore() -> None:
        _insert("transactions", row)
        for attempt in attempts:
            _insert("attempts", attempt)

    return restore


def _swap_owner(_world: World, random: Random) -> Restore:
    row = _pick(random, "SELECT * FROM tokens ORDER BY id")
    others = [
        other["id"] for other in _rows("SELECT id FROM users WHERE id <> :me", me=row["user_id"])
    ]
    return _update("tokens", row, {"user_id": random.choice(sorted(others))})


def _move_to_other_batch(_world: World, random: Random) -> Restore:
    row = _pick(random, "SELECT * FROM tokens ORDER BY id")
    query = (
        "SELECT batches.id FROM batches JOIN plans ON plans.id = plan_id WHERE kind = 'drop'"
        " AND batches.id <> :mine ORDER BY batches.id"
    )
    others = _rows(query, mine=row["batch_id"])
    return _update("tokens", row, {"batch_id": random.choice(others)["id"]})


def _place(world: World, random: Random) -> int:
    """One of the chain's events."""
    return random.randrange(len(world.chain.ledger.logs()))


def _hide(world: World, random: Random) -> Restore:
    hidden = world.chain.nodes[0].hidden
    hidden.add(_place(world, random))
    return hidden.clear


def _hide_transaction(world: World, random: Random) -> Restore:
    logs = world.chain.ledger.logs()
    chosen = random.choice(logs).tx_hash
    hidden = world.chain.nodes[0].hidden
    hidden.update(place for place, log in enumerate(logs) if log.tx_hash == chosen)
    return hidden.clear


def _repeat(world: World, random: Random) -> Restore:
    repeated = world.chain.nodes[0].repeated
    repeated.add(_place(world, random))
    return repeated.clear


def alter(**changes: Any) -> Callable[[World, Random], Restore]:
    """A drift of one event."""

    def apply(world: World, random: Random) -> Restore:
        place = _place(world, random)
        altered = world.chain.nodes[0].altered
        altered[place] = replace(world.chain.ledger.logs()[place].event, **changes)
        return altered.clear

    return apply


def _forge(world: World, random: Random) -> Restore:
    ledger = world.chain.ledger
    contract = random.choice(ledger.logs()).event.contract
    last = world.chain.finalized_number()
    event = Event(contract, 1 << 100 | random.getrandbits(64), STRANGER)
    ledger.forge(event, block=random.randint(1, last))
    return ledger.strange.clear


def _spend(world: World, random: Random) -> Restore:
    flows = world.chain.ledger.flows
    flows.append((0, -random.randint(1, 10**15)))
    return lambda: flows.__delitem__(-1)


def _spend_and_refill(world: World, random: Random) -> Restore:
    """What left is followed by a larger amount that comes in, which does not hide it."""
    flows = world.chain.ledger.flows
    for amount in (-random.randint(1, 10**15), 10**16):
        world.chain.mine()
        flows.append((world.chain.finalized_number(), amount))
        world.reconcile()
    return lambda: flows.__delitem__(-2)


def _use_nonce(world: World, _random: Random) -> Restore:
    world.chain.ledger.foreign_nonces = 1

    def restore() -> None:
        world.chain.ledger.foreign_nonces = 0

    return restore


def _change_supply(world: World, random: Random) -> Restore:
    world.chain.ledger.supply_error = random.choice((-1, 1))

    def restore() -> None:
        world.chain.ledger.supply_error = 0

    return restore


_MINTING = (
    "batch_id IN (SELECT batches.id FROM batches JOIN plans ON plans.id = plan_id"
    " WHERE kind IN ('passes', 'drop'))"
)
_MINTS = "plan_id IN (SELECT id FROM plans WHERE kind IN ('passes', 'drop'))"


def _all(*rules: Rule) -> frozenset[Rule]:
    return frozenset(rules)


DRIFTS = {
    "an event is hidden": Drift(_hide, _all(Rule.FORWARD, Rule.TOTALS), "no such event"),
    "a call's events are hidden": Drift(
        _hide_transaction, _all(Rule.FORWARD, Rule.TOTALS), "no such event"
    ),
    "an event comes twice": Drift(_repeat, _all(Rule.BACKWARD, Rule.TOTALS), "a token twice"),
    "an event has another receiver": Drift(
        alter(receiver=STRANGER), _all(Rule.BACKWARD), "it went to 0x5a5A"
    ),
    "an event has another token": Drift(
        alter(token_id=1 << 99), _all(Rule.FORWARD, Rule.BACKWARD), "also token"
    ),
    "an event is forged": Drift(_forge, _all(Rule.BACKWARD, Rule.TOTALS), "no such transaction"),
    "a token is said to be on its way": Drift(
        column("tokens", "true", lambda _row, _random: {"state": "minting"}),
        _all(Rule.BACKWARD),
        "on the way",
    ),
    "a pass is said to be on its way": Drift(
        column("passes", "true", lambda _row, _random: {"state": "minting"}),
        _all(Rule.BACKWARD),
        "on the way",
    ),
    "a pass has another address": Drift(
        column("passes", "true", lambda _row, random: {"address": random.randbytes(20)}),
        _all(Rule.BACKWARD),
        "it went to",
    ),
    "a pass has another number": Drift(
        column("passes", "true", lambda row, _random: {"index": row["index"] + 900}),
        _all(Rule.FORWARD, Rule.BACKWARD),
        "no such event",
    ),
    "a token has another round": Drift(
        column("tokens", "mint_nonce IS NULL", lambda row, _random: {"round": row["round"] + 9}),
        _all(Rule.FORWARD, Rule.BACKWARD),
        "no such event",
    ),
    "a token has another owner": Drift(_swap_owner, _all(Rule.BACKWARD), "it went to"),
    "a token is in another batch": Drift(
        _move_to_other_batch, _all(Rule.FORWARD, Rule.BACKWARD, Rule.TOTALS), "no such event"
    ),
    "a token is gone": Drift(_delete_token, _all(Rule.BACKWARD, Rule.TOTALS), "also token"),
    "a batch is said to be on its way": Drift(
        column("batches", _MINTS, lambda _row, _random: {"state": "assigned"}),
        _all(Rule.BACKWARD, Rule.TOTALS),
        "its batch is assigned",
    ),
    "a batch is said to be held": Drift(
        column("batches", _MINTS, lambda _row, _random: {"state": "held"}),
        _all(Rule.BACKWARD, Rule.TOTALS),
        "its batch is held",
    ),
    "a batch has one recipient more": Drift(
        column("batches", _MINTS, lambda row, _random: {"last_ordinal": row["last_ordinal"] + 1}),
        _all(Rule.TOTALS),
        "recipients in the frozen batch",
    ),
    "a transaction is gone": Drift(
        _delete_transaction,
        _all(Rule.FORWARD, Rule.BACKWARD, Rule.NONCES),
        "there is no such transaction",
    ),
    "a transaction is said to be on its way": Drift(
        column(
            "transactions",
            _MINTING,
            lambda _row, _random: {
                "state": "sent",
                "outcome": None,
                "block_hash": None,
                "block_number": None,
            },
        ),
        _all(Rule.NONCES, Rule.BACKWARD, Rule.FORWARD),
        "its transaction is sent",
    ),
    "a transaction is said to be reverted": Drift(
        column("transactions", _MINTING, lambda _row, _random: {"outcome": "reverted"}),
        _all(Rule.FORWARD, Rule.BACKWARD),
        "it was reverted in block",
    ),
    "a transaction has another block": Drift(
        column("transactions", _MINTING, lambda _row, random: {"block_hash": random.randbytes(32)}),
        _all(Rule.FORWARD),
        "it succeeded in block",
    ),
    "a transaction has another height": Drift(
        column(
            "transactions", "true", lambda row, _random: {"block_number": row["block_number"] - 1}
        ),
        _all(Rule.FORWARD),
        "it succeeded in block",
    ),
    "a transaction has another hash": Drift(
        column("transactions", _MINTING, lambda _row, random: {"mined_hash": random.randbytes(32)}),
        _all(Rule.FORWARD, Rule.BACKWARD),
        "this transaction is in no block",
    ),
    "a transaction used more gas": Drift(
        column(
            "transactions",
            "true",
            lambda row, random: {"gas_used": row["gas_used"] + random.randint(1, 10**6)},
        ),
        _all(Rule.MONEY),
        "it cost",
    ),
    "a transaction was cheaper": Drift(
        column(
            "transactions",
            "true",
            lambda row, _random: {"effective_gas_price": row["effective_gas_price"] - 1},
        ),
        _all(Rule.MONEY),
        "it cost",
    ),
    "a relayer began later": Drift(
        column("lanes", "true", lambda row, _random: {"base_nonce": row["base_nonce"] + 1}),
        _all(Rule.NONCES),
        "has used the nonces from",
    ),
    "a stranger used a nonce": Drift(_use_nonce, _all(Rule.NONCES), "it is used and final"),
    "money left": Drift(_spend, _all(Rule.MONEY), "wei are left"),
    "money left and more came in": Drift(_spend_and_refill, _all(Rule.MONEY), "wei are left"),
    "a contract has another supply": Drift(_change_supply, _all(Rule.TOTALS), "there are"),
}
"""By name."""
