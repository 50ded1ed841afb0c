"""points: a ledger whose transactions sum to zero, held by triggers"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
_TABLES = (
    'points_units', 'points_accounts', 'points_transactions', 'points_entries', 'points_lots',
    'points_lot_uses', 'points_holds', 'points_proofs',
)

_BALANCED = """
CREATE FUNCTION cohort_check_points() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked uuid := CASE WHEN TG_TABLE_NAME = 'points_entries'
        THEN (to_jsonb(NEW) ->> 'transaction_id')::uuid ELSE (to_jsonb(NEW) ->> 'id')::uuid END;
    total numeric;
    parts bigint;
BEGIN
    SELECT coalesce(sum(amount), 0), count(*) INTO total, parts
        FROM public.points_entries WHERE transaction_id = checked;
    IF total <> 0 OR parts < 2 THEN
        RAISE EXCEPTION 'the entries of a transaction of points sum to zero, and are two at least'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$
"""

# Entries belong to the transaction of the database that wrote their transaction of points.
_IN_TIME = """
CREATE FUNCTION cohort_check_points_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM public.points_transactions
                   WHERE id = NEW.transaction_id AND xid = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'a transaction of points takes no further entries'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""

_GUARD = """
CREATE FUNCTION cohort_guard_points() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'points_transactions' AND TG_OP = 'UPDATE' THEN
        -- Why somebody did it is all that can be forgotten.
        IF to_jsonb(NEW) - 'reason' = to_jsonb(OLD) - 'reason' AND to_jsonb(NEW) ->> 'reason' IS NULL
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the ledger of points is never changed; a second transaction takes one back'
        USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def _id(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.UUID(), nullable=nullable)


def _number(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.String(), nullable=nullable)


def _moment(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _flag(name: str) -> sa.Column:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_{column}_{target}')
    return sa.ForeignKeyConstraint([column], [f'{target}.id'], name=name)


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f'ck_{table}_{name}'))


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f'pk_{table}'))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _make_accounts()
    _make_ledger()
    _make_lots()
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )
    for function in (_BALANCED, _IN_TIME, _GUARD):
        op.execute(function)
    for table in ('points_transactions', 'points_entries'):
        op.execute(
            f"CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON {table}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cohort_check_points()"
        )
        op.execute(
            f"CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION cohort_guard_points()"
        )
    op.execute(
        "CREATE TRIGGER in_time BEFORE INSERT ON points_entries"
        " FOR EACH ROW EXECUTE FUNCTION cohort_check_points_entry()"
    )


def _make_accounts() -> None:
    table = 'points_units'
    op.create_table(table,
    _id('id'), _text('code'),
    sa.Column('name', postgresql.JSONB(), nullable=False),
    sa.Column('plural', postgresql.JSONB(), nullable=False),
    _text('icon'),
    sa.Column('expiry', sa.String(32), nullable=False),
    sa.Column('expiry_count', sa.Integer(), nullable=False),
    _flag('is_spendable'), _flag('is_status'), _flag('allows_debt'), _moment('created_at'),
    _tenant(),
    sa.Column('version', sa.Integer(), nullable=False),
    _check(table, 'use', 'is_spendable OR is_status'),
    _check(table, 'expiry', 'expiry_count >= 0'),
    _key(table, 'merchant_id', 'merchants'),
    _primary(table, 'id'),
    sa.UniqueConstraint('merchant_id', 'code', name=op.f('uq_points_units_merchant_id_code'))
    )
    table = 'points_accounts'
    op.create_table(table,
    _id('id'), _id('unit_id'), _id('user_id', nullable=True),
    sa.Column('kind', sa.String(32), nullable=False),
    _number('balance'), _flag('may_be_negative'), _tenant(),
    _check(table, 'balance', 'balance >= 0 OR may_be_negative'),
    _check(table, 'owner', "(kind IN ('available', 'held')) = (user_id IS NOT NULL)"),
    _key(table, 'merchant_id', 'merchants'),
    _key(table, 'unit_id', 'points_units'),
    _key(table, 'user_id', 'users'),
    _primary(table, 'id'),
    sa.UniqueConstraint('unit_id', 'user_id', 'kind', name=op.f('uq_points_accounts_unit_id_user_id_kind'), postgresql_nulls_not_distinct=True)
    )
    op.create_index('ix_points_accounts_user', table, ['user_id'])


def _make_ledger() -> None:
    table = 'points_transactions'
    op.create_table(table,
    _id('id'), _id('unit_id'),
    sa.Column('kind', sa.String(32), nullable=False),
    _text('key'),
    sa.Column('request_hash', sa.LargeBinary(), nullable=False),
    _text('source'), _text('reason', nullable=True), _text('actor'),
    _id('reverses_id', nullable=True), _moment('created_at'),
    sa.Column('xid', _Xid8(), server_default=sa.text('pg_current_xact_id()'), nullable=False),
    _tenant(),
    _check(table, 'reason', 'length(reason) <= 200'),
    _key(table, 'merchant_id', 'merchants'),
    _key(table, 'unit_id', 'points_units'),
    _key(table, 'reverses_id', 'points_transactions'),
    _primary(table, 'id'),
    sa.UniqueConstraint('merchant_id', 'key', name=op.f('uq_points_transactions_merchant_id_key'))
    )
    op.create_index('uq_points_transactions_reversed', table, ['reverses_id'], unique=True, postgresql_where=sa.text('reverses_id IS NOT NULL'))
    table = 'points_entries'
    op.create_table(table,
    _id('transaction_id'), _id('account_id'), _number('amount'), _tenant(),
    _check(table, 'amount', 'amount <> 0'),
    _key(table, 'merchant_id', 'merchants'),
    _key(table, 'transaction_id', 'points_transactions'),
    _key(table, 'account_id', 'points_accounts'),
    _primary(table, 'transaction_id', 'account_id')
    )
    op.create_index('ix_points_entries_account', table, ['account_id', 'transaction_id'])


def _make_lots() -> None:
    table = 'points_lots'
    op.create_table(table,
    _id('id'), _id('account_id'), _id('transaction_id'), _number('amount'), _number('remaining'),
    _moment('expires_at', nullable=True), _tenant(),
    _check(table, 'remaining', 'remaining BETWEEN 0 AND amount'),
    _key(table, 'merchant_id', 'merchants'),
    _key(table, 'account_id', 'points_accounts'),
    _key(table, 'transaction_id', 'points_transactions'),
    _primary(table, 'id'),
    sa.UniqueConstraint('transaction_id', name=op.f('uq_points_lots_transaction_id'))
    )
    is_open = sa.text('remaining > 0')
    op.create_index('ix_points_lots_open', table, ['account_id', 'expires_at', 'id'], postgresql_where=is_open)
    op.create_index('ix_points_lots_due', table, ['merchant_id', 'expires_at'], postgresql_where=is_open)
    table = 'points_lot_uses'
    op.create_table(table,
    _id('transaction_id'), _id('lot_id'), _number('amount'), _tenant(),
    _check(table, 'amount', 'amount <> 0'),
    _key(table, 'merchant_id', 'merchants'),
    _key(table, 'transaction_id', 'points_transactions'),
    _key(table, 'lot_id', 'points_lots'),
    _primary(table, 'transaction_id', 'lot_id')
    )
    op.create_index('ix_points_lot_uses_lot', table, ['lot_id'])
    table = 'points_holds'
    op.create_table(table,
    _id('id'), _id('account_id'), _id('transaction_id'), _id('ended_by_id', nullable=True), _number('amount'),
    sa.Column('state', sa.String(32), nullable=False),
    _moment('expires_at', nullable=True), _tenant(),
    _check(table, 'amount', 'amount > 0'),
    _key(table, 'merchant_id', 'merchants'),
    _key(table, 'account_id', 'points_accounts'),
    _key(table, 'transaction_id', 'points_transactions'),
    _key(table, 'ended_by_id', 'points_transactions'),
    _primary(table, 'id'),
    sa.UniqueConstraint('transaction_id', name=op.f('uq_points_holds_transaction_id')),
    sa.UniqueConstraint('ended_by_id', name=op.f('uq_points_holds_ended_by_id'))
    )
    is_open = sa.text("state = 'open'")
    op.create_index('ix_points_holds_open', table, ['account_id'], postgresql_where=is_open)
    op.create_index('ix_points_holds_due', table, ['merchant_id', 'expires_at'], postgresql_where=is_open)
    table = 'points_proofs'
    op.create_table(table,
    _moment('proved_at'),
    sa.Column('differences', postgresql.JSONB(), nullable=False),
    _tenant(),
    _key(table, 'merchant_id', 'merchants'),
    _primary(table, 'merchant_id')
    )


class _Xid8(sa.types.UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return 'XID8'


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    for function in ('cohort_check_points()', 'cohort_check_points_entry()', 'cohort_guard_points()'):
        op.execute(f"DROP FUNCTION {function}")
