"""imports of events and consents; addresses of the erased; proofs of segments"""

from alembic import op
import sqlalchemy as sa

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None

MERCHANT = "nullif(current_setting('cohort.merchant_id', true), '')::uuid"

# The roles of the program may only add events. These run as the owner, for the tenant of the
# transaction, and reach what a file brought and nothing else.
#
# Tables that an import has just filled look empty to the planner, which then compares every event
# with every other. So nothing is left to it: the only index whose columns stand bare in the last
# statement is the primary key.
TAKE_BACK = f"""
CREATE FUNCTION cohort_take_back_events(import uuid, most integer)
RETURNS TABLE (user_id uuid, type text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_material = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    WITH part AS (
        SELECT i.event_id FROM public.imported_events i
        WHERE i.import_id = $1 AND i.merchant_id = {MERCHANT}
        ORDER BY i.event_id LIMIT $2),
    gone AS (
        DELETE FROM public.imported_events i USING part
        WHERE i.import_id = $1 AND i.event_id = part.event_id
        RETURNING i.event_id, i.occurred_at)
    DELETE FROM public.events e USING gone
    WHERE e.id = gone.event_id AND e.occurred_at = gone.occurred_at
    AND CAST(e.merchant_id AS text) = current_setting('cohort.merchant_id', true)
    AND left(e.type, 7) = 'custom.'
    RETURNING e.user_id, e.type
$$
"""
FORGET = f"""
CREATE FUNCTION cohort_forget_events(users uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    UPDATE public.imported_events i SET external_id = NULL
    WHERE i.merchant_id = {MERCHANT} AND i.external_id IS NOT NULL AND i.import_id IN (
        SELECT m.id FROM public.imports m
        WHERE m.kind = 'events' AND m.merchant_id = {MERCHANT})
    AND i.event_id IN (
        SELECT e.id FROM public.events e WHERE e.merchant_id = {MERCHANT}
        AND e.user_id = ANY ($1) AND e.type LIKE 'custom.%');
    UPDATE public.events e SET data = '{{}}'
    WHERE e.merchant_id = {MERCHANT} AND e.user_id = ANY ($1) AND e.type LIKE 'custom.%'
$$
"""
FUNCTIONS = {
    "cohort_take_back_events(uuid, integer)": TAKE_BACK,
    "cohort_forget_events(uuid[])": FORGET,
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        'imports', sa.Column('kind', sa.String(32), nullable=False, server_default='users')
    )
    op.alter_column('imports', 'kind', server_default=None)
    op.create_table('imported_events',
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(f"({MERCHANT})"), nullable=False),
    sa.Column('import_id', sa.UUID(), nullable=False),
    sa.Column('event_id', sa.UUID(), nullable=False),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('external_id', sa.String(), nullable=True),
    sa.PrimaryKeyConstraint('import_id', 'event_id', name=op.f('pk_imported_events'))
    )
    op.create_index(
        'uq_imported_events_external',
        'imported_events',
        ['merchant_id', 'type', 'external_id'],
        unique=True,
        postgresql_where=sa.text('external_id IS NOT NULL'),
    )
    _protect('imported_events')
    op.add_column(
        'imports', sa.Column('consent_count', sa.Integer(), nullable=False, server_default='0')
    )
    op.alter_column('imports', 'consent_count', server_default=None)
    op.create_table('erased_addresses',
    sa.Column('fingerprint', sa.LargeBinary(), nullable=False),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(f"({MERCHANT})"), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_erased_addresses_merchant_id_merchants')),
    sa.PrimaryKeyConstraint('merchant_id', 'fingerprint', name=op.f('pk_erased_addresses'))
    )
    _protect('erased_addresses')
    op.add_column(
        'segments', sa.Column('is_proving', sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.alter_column('segments', 'is_proving', server_default=None)
    op.add_column('segments', sa.Column('proved_at', sa.DateTime(timezone=True), nullable=True))
    for name in ('proof_joined', 'proof_left'):
        op.add_column('segments', sa.Column(name, sa.BigInteger(), nullable=True))
    for function, statement in FUNCTIONS.items():
        op.execute(statement)
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def _protect(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING (merchant_id = {MERCHANT})")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for name in ('proof_left', 'proof_joined', 'proved_at', 'is_proving'):
        op.drop_column('segments', name)
    op.drop_table('erased_addresses')
    op.drop_table('imported_events')
    op.drop_column('imports', 'consent_count')
    op.drop_column('imports', 'kind')
