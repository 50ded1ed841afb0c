"""identifiers made by the database, gas and hand-over of batches"""

from alembic import op
import sqlalchemy as sa

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

# UUID version 7 (RFC 9562 §5.7), as core.ids.new_id makes it; PostgreSQL 18 has its own.
_NEW_ID = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_proc WHERE proname = 'uuidv7' AND pronargs = 0) THEN
        CREATE FUNCTION cohort_new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
        AS 'SELECT uuidv7()';
    ELSE
        CREATE FUNCTION cohort_new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $f$
            SELECT encode(set_bit(set_bit(overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1), 'hex')::uuid
        $f$;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_NEW_ID)
    op.add_column('batches', sa.Column('gas', sa.BigInteger(), nullable=True))
    op.add_column('batches', sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('batches', sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True))
    # What is final already was handed over, or is once more: closing a closed grant changes nothing.
    op.create_index(
        'ix_batches_unclosed',
        'batches',
        ['merchant_id'],
        postgresql_where=sa.text('settled_at IS NOT NULL AND closed_at IS NULL'),
    )
    op.drop_constraint('uq_tokens_asset_id_mint_nonce_mint_index', 'tokens')
    op.create_index(
        'uq_tokens_mint',
        'tokens',
        ['asset_id', 'mint_nonce', 'mint_index'],
        unique=True,
        postgresql_where=sa.text('mint_nonce IS NOT NULL'),
    )
    op.drop_index('ix_grants_open', 'grants')
    for table in ('grants', 'tokens'):
        op.execute(f'ALTER TABLE {table} SET (fillfactor = 85)')
    op.execute(
        "UPDATE batches SET settled_at = now(),"
        " closed_at = CASE WHEN kind <> 'drop' THEN now() END"
        " FROM plans WHERE plans.id = plan_id AND batches.state = 'final'"
    )


def downgrade() -> None:
    for table in ('grants', 'tokens'):
        op.execute(f'ALTER TABLE {table} RESET (fillfactor)')
    op.create_index(
        'ix_grants_open',
        'grants',
        ['merchant_id', 'source_id'],
        postgresql_where=sa.text("state IN ('pending', 'delivering')"),
    )
    op.drop_index('uq_tokens_mint', 'tokens')
    op.create_unique_constraint(
        'uq_tokens_asset_id_mint_nonce_mint_index',
        'tokens',
        ['asset_id', 'mint_nonce', 'mint_index'],
    )
    op.drop_index('ix_batches_unclosed', 'batches')
    op.drop_column('batches', 'closed_at')
    op.drop_column('batches', 'settled_at')
    op.drop_column('batches', 'gas')
    op.execute('DROP FUNCTION cohort_new_id()')
