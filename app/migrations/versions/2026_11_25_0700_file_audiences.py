"""audiences from files, rewards to addresses"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('audience_files',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('campaign_id', sa.UUID(), nullable=False),
    sa.Column('file_name', sa.String(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('layout', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('line_count', sa.Integer(), nullable=False),
    sa.Column('next_record', sa.Integer(), nullable=False),
    sa.Column('next_line', sa.Integer(), nullable=False),
    sa.Column('next_byte', sa.BigInteger(), nullable=False),
    sa.Column('row_count', sa.Integer(), nullable=False),
    sa.Column('rejected', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('failure', sa.String(), nullable=True),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    sa.ForeignKeyConstraint(['campaign_id'], ['campaigns.id'], name=op.f('fk_audience_files_campaign_id_campaigns')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_audience_files_merchant_id_merchants')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audience_files')),
    sa.UniqueConstraint('merchant_id', 'id', name=op.f('uq_audience_files_merchant_id_id'))
    )
    op.create_index(op.f('ix_audience_files_campaign_id'), 'audience_files', ['campaign_id'], unique=False)
    op.create_table('audience_rows',
    sa.Column('file_id', sa.UUID(), nullable=False),
    sa.Column('line', sa.Integer(), nullable=False),
    sa.Column('email', sa.String(), nullable=True),
    sa.Column('email_key', sa.Text(collation='C'), nullable=True),
    sa.Column('address', sa.LargeBinary(length=20), nullable=True),
    sa.Column('reward', sa.String(), nullable=True),
    sa.Column('key', sa.Text(collation='C'), nullable=True),
    sa.Column('user_id', sa.UUID(), nullable=True),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('text', sa.String(), nullable=True),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id', 'file_id'], ['audience_files.merchant_id', 'audience_files.id'], name='fk_audience_rows_file'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_audience_rows_user_id_users')),
    sa.PrimaryKeyConstraint('file_id', 'line', name=op.f('pk_audience_rows'))
    )
    op.create_index(
        'ix_audience_rows_rejected',
        'audience_rows',
        ['file_id', 'line'],
        postgresql_where=sa.text('reason IS NOT NULL'),
    )
    for table in ('audience_files', 'audience_rows'):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )
    for table in ('grants', 'tokens'):
        op.add_column(table, sa.Column('address', sa.LargeBinary(length=20), nullable=True))
        op.alter_column(table, 'user_id', nullable=True)
        op.create_check_constraint(
            op.f(f'ck_{table}_recipient'), table, 'num_nonnulls(user_id, address) = 1'
        )
    op.create_unique_constraint(
        'uq_grants_member', 'grants', ['user_id', 'reward_line_id', 'source_id', 'ordinal']
    )
    op.drop_index('ix_grants_user', 'grants')
    op.create_index(
        'uq_grants_address',
        'grants',
        ['address', 'reward_line_id', 'source_id', 'ordinal'],
        unique=True,
        postgresql_where=sa.text('address IS NOT NULL'),
    )
    op.create_index(
        'uq_tokens_address',
        'tokens',
        ['asset_id', 'round', 'address'],
        unique=True,
        postgresql_where=sa.text('address IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_index('uq_tokens_address', 'tokens')
    op.drop_index('uq_grants_address', 'grants')
    op.create_index('ix_grants_user', 'grants', ['user_id'], unique=False)
    op.drop_constraint('uq_grants_member', 'grants')
    for table in ('tokens', 'grants'):
        op.drop_constraint(op.f(f'ck_{table}_recipient'), table)
        op.alter_column(table, 'user_id', nullable=False)
        op.drop_column(table, 'address')
    op.drop_table('audience_rows')
    op.drop_table('audience_files')
