"""keys that sign rotating codes, codes that were seen, counts of scans"""

from alembic import op
import sqlalchemy as sa

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
TENANT_TABLES = ("signing_keys", "seen_codes", "scan_counts")


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _merchant_key(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_merchant_id_merchants')
    return sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=name)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('signing_keys',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('ordinal', sa.Integer(), nullable=False),
    sa.Column('public_key', sa.LargeBinary(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=True),
    sa.Column('signs_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=True),
    _tenant(),
    _merchant_key('signing_keys'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_signing_keys')),
    sa.UniqueConstraint('merchant_id', 'ordinal', name=op.f('uq_signing_keys_merchant_id_ordinal'))
    )
    op.create_table('seen_codes',
    sa.Column('nonce', sa.LargeBinary(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('kept_until', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('seen_codes'),
    sa.PrimaryKeyConstraint('merchant_id', 'nonce', name=op.f('pk_seen_codes'))
    )
    op.create_index('ix_seen_codes_kept', 'seen_codes', ['kept_until'])
    op.create_table('scan_counts',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('hour', sa.DateTime(timezone=True), nullable=False),
    sa.Column('place_id', sa.UUID(), nullable=True),
    sa.Column('scan_count', sa.Integer(), nullable=False),
    _tenant(),
    _merchant_key('scan_counts'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scan_counts')),
    sa.UniqueConstraint('merchant_id', 'hour', 'place_id', name=op.f('uq_scan_counts_merchant_id_hour_place_id'), postgresql_nulls_not_distinct=True)
    )
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    for table in reversed(TENANT_TABLES):
        op.drop_table(table)
