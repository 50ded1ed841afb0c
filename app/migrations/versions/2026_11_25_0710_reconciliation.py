"""comparison of database and chain: cursors and differences"""

from alembic import op
import sqlalchemy as sa

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

TENANT_TABLES = ('discrepancies', 'lane_reconciliations', 'reconciliations')
_TENANT = sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)")
_WEI = sa.Numeric(78, 0)
_TIME = sa.DateTime(timezone=True)


def _merchant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=_TENANT, nullable=False)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column('transactions', sa.Column('data_fee', _WEI, nullable=True))
    op.create_table(
        'reconciliations',
        sa.Column('chain_id', sa.BigInteger(), nullable=False),
        sa.Column('contract', sa.LargeBinary(20), nullable=False),
        sa.Column('first_block', sa.BigInteger(), nullable=False),
        sa.Column('last_block', sa.BigInteger(), nullable=False),
        sa.Column('last_hash', sa.LargeBinary(), nullable=True),
        sa.Column('burned', sa.BigInteger(), nullable=False),
        sa.Column('supply', sa.BigInteger(), nullable=True),
        sa.Column('recipients', sa.BigInteger(), nullable=True),
        sa.Column('bad_first', sa.BigInteger(), nullable=True),
        sa.Column('bad_last', sa.BigInteger(), nullable=True),
        sa.Column('problem', sa.String(), nullable=True),
        sa.Column('compared_at', _TIME, nullable=True),
        sa.Column('full_at', _TIME, nullable=True),
        _merchant(),
        sa.ForeignKeyConstraint(
            ['chain_id'], ['chains.id'], name=op.f('fk_reconciliations_chain_id_chains')
        ),
        sa.ForeignKeyConstraint(
            ['merchant_id'], ['merchants.id'], name=op.f('fk_reconciliations_merchant_id_merchants')
        ),
        sa.PrimaryKeyConstraint('chain_id', 'contract', name=op.f('pk_reconciliations')),
    )
    op.create_table(
        'lane_reconciliations',
        sa.Column('lane_id', sa.UUID(), nullable=False),
        sa.Column('claim', sa.UUID(), nullable=True),
        sa.Column('claimed_until', _TIME, nullable=True),
        sa.Column('seen_block', sa.BigInteger(), nullable=False),
        sa.Column('seen_at', _TIME, nullable=True),
        sa.Column('last_block', sa.BigInteger(), nullable=False),
        sa.Column('used_nonces', sa.BigInteger(), nullable=True),
        sa.Column('final_nonces', sa.BigInteger(), nullable=True),
        sa.Column('money_block', sa.BigInteger(), nullable=True),
        sa.Column('balance', _WEI, nullable=True),
        sa.Column('received', _WEI, nullable=True),
        sa.Column('problem', sa.String(), nullable=True),
        sa.Column('compared_at', _TIME, nullable=True),
        sa.Column('full_at', _TIME, nullable=True),
        _merchant(),
        sa.ForeignKeyConstraint(
            ['lane_id'], ['lanes.id'], name=op.f('fk_lane_reconciliations_lane_id_lanes')
        ),
        sa.ForeignKeyConstraint(
            ['merchant_id'],
            ['merchants.id'],
            name=op.f('fk_lane_reconciliations_merchant_id_merchants'),
        ),
        sa.PrimaryKeyConstraint('lane_id', name=op.f('pk_lane_reconciliations')),
    )
    op.create_table(
        'discrepancies',
        sa.Column('id', sa.UUID(), nullable=False),
        sa.Column('chain_id', sa.BigInteger(), nullable=False),
        sa.Column('about', sa.LargeBinary(20), nullable=False),
        sa.Column('rule', sa.String(32), nullable=False),
        sa.Column('severity', sa.Integer(), nullable=False),
        sa.Column('subject', sa.String(), nullable=False),
        sa.Column('block_number', sa.BigInteger(), nullable=True),
        sa.Column('expected', sa.String(), nullable=False),
        sa.Column('found', sa.String(), nullable=False),
        sa.Column('first_seen', _TIME, nullable=False),
        sa.Column('resolved_at', _TIME, nullable=True),
        _merchant(),
        sa.ForeignKeyConstraint(
            ['chain_id'], ['chains.id'], name=op.f('fk_discrepancies_chain_id_chains')
        ),
        sa.ForeignKeyConstraint(
            ['merchant_id'], ['merchants.id'], name=op.f('fk_discrepancies_merchant_id_merchants')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_discrepancies')),
    )
    op.create_index(
        'uq_discrepancies_open',
        'discrepancies',
        ['chain_id', 'about', 'rule', 'subject'],
        unique=True,
        postgresql_where=sa.text('resolved_at IS NULL'),
    )
    for table in TENANT_TABLES:
        op.execute(f'ALTER TABLE {table} ENABLE ROW LEVEL SECURITY')
        op.execute(
            f'CREATE POLICY tenant ON {table} USING '
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    for table in TENANT_TABLES:
        op.drop_table(table)
    op.drop_column('transactions', 'data_fee')
