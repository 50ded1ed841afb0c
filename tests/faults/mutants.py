"""Pipelines that are wrong, as patches of the tree, each with the tests that have to notice.

Rows carry the number of the fault they stand for; some have more than one patch:

1 store after send · 2 a timeout gives the nonce back · 3 no receipt means a new nonce · 4 no look
at the block hash · 5 final at the head · 6 bump by 5 % · 7 bump one fee · 8 send the bump, then
store it · 9 watch the newest hash only · 10 the nonce from the node · 11 the nonce from a counter
that does not roll back · 12 no lock around signing · 13 "nonce too low" is failure · 14 "already
known" is failure · 15 "underpriced" forgets attempts · 16 a write trusts what it read before · 17
commits that are not on disk · 18 the message is the record · 19 a retry computes its call anew ·
20 a retry has another chain key · 21 the mark of a bad
range in the transaction that fails · 22 one node is witness enough · 23 a revert is final at once ·
24 the library sends again by itself · 25 no burning after a restore · 0 anything else.
"""

from dataclasses import dataclass

_PIPELINE = "tests/chain/test_pipeline.py"
_FAULTS = "tests/chain/test_pipeline_faults.py"
_REPLACEMENTS = "tests/chain/test_replacements.py"
_FROZEN = "tests/chain/test_frozen_workers.py"
_CLIENT = "tests/chain/test_client.py"
_NONCES = "tests/chain/test_nonces.py"
_SENDING = "tests/minting/test_sending.py"
_RECOVERY = "tests/chain/test_recovery.py"

_REPLAN = """session.execute(
                __import__("sqlalchemy").text(
                    "UPDATE batches SET state = 'planned' WHERE id = :batch"
                ),
                {"batch": row.batch_id},
            )
            row.batch_id = None"""


@dataclass(frozen=True)
class Mutant:
    """One patch.

    Args:
        before: text that stands once in the file; `after` takes its place.
        number: of the fault it stands for.
        tests: files of which one test has to fail; empty for those of the whole pipeline.
        is_naive: what others do; the campaigns alone have to notice.
    """

    name: str
    file: str
    before: str
    after: str
    is_naive: bool = False
    number: int = 0
    tests: tuple[str, ...] = ()


MUTANTS = (
    Mutant(
        "a lost answer gives the batch to another nonce",
        "chain/pipeline.py",
        "        elif result.answer is SendAnswer.REJECTED:",
        "        elif result.answer is SendAnswer.UNKNOWN and row.batch_id:\n"
        f"            {_REPLAN}\n"
        "        elif result.answer is SendAnswer.REJECTED:",
        is_naive=True,
        number=2,
    ),
    Mutant(
        "no receipt gives the batch to another nonce",
        "chain/pipeline.py",
        "        row.state = TransactionState.SIGNED\n",
        "        if row.batch_id:\n"
        f"            {_REPLAN}\n"
        "        row.state = TransactionState.SIGNED\n",
        is_naive=True,
        number=3,
    ),
    Mutant(
        "any block will do",
        "chain/pipeline.py",
        "        if receipt is not None and client.block_hash(receipt.block_number) == "
        "receipt.block_hash:",
        "        if receipt is not None:",
        number=4,
        tests=(_FAULTS,),
    ),
    Mutant(
        "the head is final",
        "chain/networks.py",
        "line = max(0, client.head().number - chain.confirmations)",
        "line = client.head().number",
        number=5,
        tests=("tests/chain/test_networks.py",),
    ),
    Mutant(
        "one node is witness enough",
        "chain/client.py",
        "WITNESSES = 2\n",
        "WITNESSES = 1\n",
        number=22,
        tests=(_CLIENT,),
    ),
    Mutant(
        "fees rise by a twentieth",
        "chain/fees.py",
        "price * 1125 // 1000 + 1",
        "price * 105 // 100 + 1",
        number=6,
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "only the fee cap rises",
        "chain/fees.py",
        "_eighth_more(fees.max_priority_fee_per_gas))",
        "fees.max_priority_fee_per_gas)",
        number=7,
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "higher fees are sent before they are stored",
        "chain/pipeline.py",
        "        replacements.raise_due(session, row, suggested=suggested, at=at)\n"
        "        return _copy(row)",
        "        replacements.raise_due(session, row, suggested=suggested, at=at)\n"
        "        copied = _copy(row)\n        session.rollback()\n        return copied",
        number=8,
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "only the newest bytes are watched",
        "chain/pipeline.py",
        "    for attempt in transaction.attempts:\n        receipt",
        "    for attempt in transaction.attempts[-1:]:\n        receipt",
        number=9,
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "every nonce of a lane is bumped",
        "chain/pipeline.py",
        "            waiting.add(transaction.lane_id)\n",
        "",
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "the lane is not locked",
        "chain/nonces.py",
        "        .with_for_update(of=NonceLane)\n",
        "",
        number=12,
        tests=(_NONCES,),
    ),
    Mutant(
        "nonce too low is failure",
        "chain/pipeline.py",
        "        elif result.answer is SendAnswer.REJECTED:",
        "        elif result.answer in (SendAnswer.REJECTED, SendAnswer.NONCE_TOO_LOW):",
        number=13,
        tests=(
            _PIPELINE,
            _FAULTS,
        ),
    ),
    Mutant(
        "already known is failure",
        "chain/pipeline.py",
        "        if result.answer in (SendAnswer.ACCEPTED, SendAnswer.KNOWN):",
        "        if result.answer is SendAnswer.KNOWN:\n"
        '            replacements.give_up(session, row, "known", at=at)\n'
        "        if result.answer is SendAnswer.ACCEPTED:",
        number=14,
        tests=(_PIPELINE,),
    ),
    Mutant(
        "an underpriced replacement forgets what was sent before",
        "chain/pipeline.py",
        "        if row.state is TransactionState.SIGNED:\n            row.state",
        "        if result.answer is SendAnswer.REPLACEMENT_UNDERPRICED:\n"
        "            for other in row.attempts[:-1]:\n                session.delete(other)\n"
        "        if row.state is TransactionState.SIGNED:\n            row.state",
        number=15,
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "a revert is believed at once",
        "chain/pipeline.py",
        "            is_final = receipt.block_number <= final_line and client.confirms(receipt)",
        "            is_final = not receipt.succeeded or receipt.block_number <= final_line",
        number=23,
        tests=(_FAULTS,),
    ),
    Mutant(
        "web3 sends again by itself",
        "chain/nodes.py",
        ", exception_retry_configuration=None",
        "",
        number=24,
        tests=(_CLIENT,),
    ),
    Mutant(
        "a batch is claimed without looking at its state",
        "minting/sending.py",
        ".where(Batch.id.in_([item.batch_id for item in ready]), is_its_turn())",
        ".where(Batch.id.in_([item.batch_id for item in ready]))",
        number=16,
        tests=(_SENDING,),
    ),
    Mutant(
        "bytes are sent before they are stored",
        "minting/sending.py",
        "        return _claim(merchant, measured, now, balance, at=at)\n"
        "    except SigningRefusedError:",
        "        with unit_of_work(merchant=merchant) as session:\n"
        "            done = _claim_all(session, measured, now, balance, at=at)\n"
        "            for new in session.scalars(select(Transaction)):\n"
        "                client.send_raw(new.attempts[0].raw)\n"
        "            return done\n"
        "    except SigningRefusedError:",
        number=1,
        tests=("tests/minting/test_unsent.py",),
    ),
    Mutant(
        "a lost answer gives the nonce back",
        "chain/pipeline.py",
        "        elif result.answer is SendAnswer.REJECTED:",
        "        elif result.answer is SendAnswer.UNKNOWN:\n"
        "            row.lane.next_nonce = row.nonce\n"
        "        elif result.answer is SendAnswer.REJECTED:",
        number=2,
        tests=(_FAULTS,),
    ),
    Mutant(
        "the nonce comes from the node",
        "chain/nonces.py",
        "    first = lane.next_nonce\n",
        "    from chain.networks import client_for\n"
        "    first = client_for(lane.chain).transaction_count(lane.address)\n",
        number=10,
        tests=(_NONCES,),
    ),
    Mutant(
        "the nonce comes from a counter that does not roll back",
        "chain/nonces.py",
        "    lane.next_nonce = first + min(count, room)\n",
        "    lane.next_nonce = first + min(count, room)\n"
        "    session.flush()\n    session.connection().commit()\n",
        number=11,
        tests=(_NONCES,),
    ),
    Mutant(
        "a block is recorded whatever became of the row",
        "chain/pipeline.py",
        "        is_stale = not is_final and not _is_as_seen(row, seen)\n",
        "        is_stale = False\n",
        number=16,
        tests=(_FROZEN,),
    ),
    Mutant(
        "a missing receipt counts whatever became of the row",
        "chain/pipeline.py",
        "        if not _is_as_seen(row, seen):\n            return seen\n        row.state =",
        "        row.state =",
        number=16,
        tests=(_FROZEN,),
    ),
    Mutant(
        "an answer counts whatever became of the row",
        "chain/pipeline.py",
        "        if is_old or not _is_as_seen(row, seen):\n",
        "        if is_old:\n",
        number=16,
        tests=(_FROZEN,),
    ),
    Mutant(
        "an answer counts however old it is",
        "chain/pipeline.py",
        "        if is_old or not _is_as_seen(row, seen):\n",
        "        if not _is_as_seen(row, seen):\n",
        number=16,
        tests=(_FROZEN,),
    ),
    Mutant(
        "a row that looks as before counts as unchanged",
        "chain/pipeline.py",
        "    return row.version == seen.version and",
        "    return row.state == seen.state and",
        number=16,
        tests=(_FROZEN,),
    ),
    Mutant(
        "prices and refusals of an hour ago are used",
        "minting/sending.py",
        "    if now.block < known_block(session, ready[0].lane_id):\n        return ()\n",
        "",
        number=16,
        tests=(_SENDING,),
    ),
    Mutant(
        "a commit is on disk only if the server says so",
        "core/db.py",
        " set_config('synchronous_commit', 'on', true),",
        "",
        number=17,
        tests=("tests/core/test_db.py",),
    ),
    Mutant(
        "a message counts as done when it arrives",
        "core/jobs.py",
        "        task_acks_late=True,\n",
        "        task_acks_late=False,\n",
        number=18,
        tests=("tests/core/test_jobs.py",),
    ),
    Mutant(
        "what a lost message asked for is looked for by nobody",
        "app/engine.py",
        "                UserImport.state.in_(imports.MOVING)\n            )\n        )\n"
        "        return list(rows)\n",
        "                UserImport.state.in_(imports.MOVING)\n            )\n        )\n"
        "        return list(rows)[:0]\n",
        number=18,
        tests=("tests/app/test_worker.py",),
    ),
    Mutant(
        "a replacement computes its call anew",
        "chain/replacements.py",
        "sign(session, row, _with_fees(payload_of(newest.raw), fees), kind=kind, at=at)",
        "anew = replace(payload_of(newest.raw), data=bytes([len(row.attempts)]))\n"
        "    sign(session, row, _with_fees(anew, fees), kind=kind, at=at)",
        number=19,
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "a batch that is tried again has another chain key",
        "minting/sending.py",
        "    batch.state, batch.held_reason = BatchState.PLANNED, None\n",
        "    batch.state, batch.held_reason = BatchState.PLANNED, None\n"
        '    batch.chain_key += ":again"\n',
        number=20,
        tests=(_SENDING,),
    ),
    Mutant(
        "what is cancelled counts as delivered",
        "chain/pipeline.py",
        "    if mined.kind is AttemptKind.CANCEL:\n        return Outcome.CANCELLED\n",
        "",
        tests=(_REPLACEMENTS,),
    ),
    Mutant(
        "work goes on after a restore without burning",
        "chain/recovery.py",
        "        target = max(lane.next_nonce, used + forgotten)\n",
        "        target = max(lane.next_nonce, used)\n",
        number=25,
        tests=(_RECOVERY,),
    ),
    Mutant(
        "the mark of a bad range is in the transaction that fails",
        "chain/ranges.py",
        "                left += _halves(part, error)\n",
        "                    left += _halves(part, error)\n",
        number=21,
        tests=("tests/chain/test_reconciliation.py",),
    ),
)
