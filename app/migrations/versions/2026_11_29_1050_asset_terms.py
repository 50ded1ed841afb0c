"""issuers send transactions; versions, royalty and revocation of digital assets"""

from alembic import op
import sqlalchemy as sa

revision = '0037'
down_revision = '0036'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
_TABLES = ('asset_versions', 'token_revocations')


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_{column}_{target}')
    return sa.ForeignKeyConstraint([column], [f'{target}.id'], name=name)


def _moment(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.Uuid(), server_default=sa.text(_MERCHANT), nullable=False)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in (('lanes', 'role'), ('plans', 'sender')):
        op.add_column(table, sa.Column(column, sa.String(32), nullable=False, server_default='relayer'))
        op.alter_column(table, column, server_default=None)
    op.create_unique_constraint(op.f('uq_lanes_merchant_id_chain_id_role'), 'lanes', ['merchant_id', 'chain_id', 'role'])

    table = 'digital_assets'
    op.add_column(table, sa.Column('revocable', sa.Boolean(), nullable=False, server_default='false'))
    op.alter_column(table, 'revocable', server_default=None)
    op.add_column(table, sa.Column('royalty_points', sa.Integer(), nullable=True))
    op.add_column(table, sa.Column('royalty_receiver', sa.LargeBinary(20), nullable=True))
    op.create_check_constraint(
        op.f('ck_digital_assets_royalty'), table,
        "(royalty_points IS NULL) = (royalty_receiver IS NULL)",
    )
    op.create_check_constraint(
        op.f('ck_digital_assets_revocable'), table, "NOT revocable OR transferability = 'soulbound'"
    )

    op.create_table('asset_versions',
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('metadata_cid', sa.String(), nullable=False),
    sa.Column('contract_cid', sa.String(), nullable=False),
    sa.Column('plan_id', sa.Uuid(), nullable=True),
    _moment('created_at'), _tenant(),
    _key('asset_versions', 'asset_id', 'digital_assets'),
    _key('asset_versions', 'plan_id', 'plans'),
    _key('asset_versions', 'merchant_id', 'merchants'),
    sa.PrimaryKeyConstraint('asset_id', 'number', name=op.f('pk_asset_versions'))
    )
    op.create_table('token_revocations',
    sa.Column('token_id', sa.Uuid(), nullable=False),
    sa.Column('batch_id', sa.Uuid(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('actor', sa.String(), nullable=False),
    _moment('created_at'), _tenant(),
    _key('token_revocations', 'token_id', 'tokens'),
    _key('token_revocations', 'batch_id', 'batches'),
    _key('token_revocations', 'merchant_id', 'merchants'),
    sa.PrimaryKeyConstraint('token_id', name=op.f('pk_token_revocations')),
    sa.UniqueConstraint('batch_id', name=op.f('uq_token_revocations_batch_id'))
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )
    op.execute(
        "INSERT INTO asset_versions (asset_id, number, metadata_cid, contract_cid, created_at, merchant_id)"
        " SELECT id, 1, metadata_cid, contract_cid, published_at, merchant_id FROM digital_assets"
        " WHERE metadata_cid IS NOT NULL AND contract_cid IS NOT NULL AND published_at IS NOT NULL"
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    for name in ('ck_digital_assets_revocable', 'ck_digital_assets_royalty'):
        op.drop_constraint(op.f(name), 'digital_assets')
    for column in ('royalty_receiver', 'royalty_points', 'revocable'):
        op.drop_column('digital_assets', column)
    op.drop_column('plans', 'sender')
    op.drop_constraint(op.f('uq_lanes_merchant_id_chain_id_role'), 'lanes')
    op.drop_column('lanes', 'role')
