"""a role for the signer, what it may sign, and what it signed"""

from alembic import op
import sqlalchemy as sa

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

TENANT_TABLES = ('approvals', 'signatures')
_TENANT = sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)")
_WEI = sa.Numeric(78, 0)
_TIME = sa.DateTime(timezone=True)

# What was frozen before was decided, too: `wallets.approvals.digest_of` in SQL.
_FROZEN = """
INSERT INTO approvals (digest, merchant_id, created_at)
SELECT DISTINCT sha256(
    uuid_send(batches.merchant_id) || int8send(plans.chain_id)
    || CASE WHEN plans.contract IS NULL THEN '\\x00'::bytea ELSE '\\x01'::bytea || plans.contract END
    || batches.calldata
), batches.merchant_id, now()
FROM batches JOIN plans ON plans.id = batches.plan_id
"""


def _merchant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=_TENANT, nullable=False)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        'approvals',
        sa.Column('digest', sa.LargeBinary(), nullable=False),
        sa.Column('created_at', _TIME, nullable=False),
        _merchant(),
        sa.ForeignKeyConstraint(
            ['merchant_id'], ['merchants.id'], name=op.f('fk_approvals_merchant_id_merchants')
        ),
        sa.PrimaryKeyConstraint('digest', name=op.f('pk_approvals')),
    )
    op.create_table(
        'signatures',
        sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column('chain_id', sa.BigInteger(), nullable=False),
        sa.Column('address', sa.LargeBinary(20), nullable=False),
        sa.Column('nonce', sa.BigInteger(), nullable=False),
        sa.Column('digest', sa.LargeBinary(), nullable=False),
        sa.Column('gas', sa.BigInteger(), nullable=False),
        sa.Column('max_fee_per_gas', _WEI, nullable=False),
        sa.Column('max_priority_fee_per_gas', _WEI, nullable=False),
        sa.Column('tx_hash', sa.LargeBinary(), nullable=False),
        sa.Column('caller', sa.BigInteger(), nullable=False),
        sa.Column('home', sa.String(), server_default=sa.text('cohort_home()'), nullable=False),
        sa.Column('signed_at', _TIME, nullable=False),
        _merchant(),
        sa.ForeignKeyConstraint(
            ['merchant_id'], ['merchants.id'], name=op.f('fk_signatures_merchant_id_merchants')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_signatures')),
    )
    op.create_index('ix_signatures_nonce', 'signatures', ['chain_id', 'address', 'nonce'])
    for table in TENANT_TABLES:
        op.execute(f'ALTER TABLE {table} ENABLE ROW LEVEL SECURITY')
        op.execute(
            f'CREATE POLICY tenant ON {table} USING '
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )
    # Sweeps over every merchant's keys name none; named, a merchant is the only one, as for others.
    for table in ('wallets', 'data_keys'):
        op.execute(
            f'CREATE POLICY signer_sweeps ON {table} FOR SELECT TO cohort_signer USING '
            "(nullif(current_setting('cohort.merchant_id', true), '') IS NULL)"
        )
    op.execute(_FROZEN)


def downgrade() -> None:
    for table in ('wallets', 'data_keys'):
        op.execute(f'DROP POLICY signer_sweeps ON {table}')
    for table in TENANT_TABLES:
        op.drop_table(table)
