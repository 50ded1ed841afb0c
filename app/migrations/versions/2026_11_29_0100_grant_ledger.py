"""grants outside campaigns: by hand, by claim codes, by draws; refusals that are remembered"""

from alembic import op
import sqlalchemy as sa

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _merchant_key(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_merchant_id_merchants')
    return sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=name)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column('reward_lines', 'campaign_id', nullable=True)
    op.add_column(
        'reward_lines',
        sa.Column('is_reserved', sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.alter_column('reward_lines', 'is_reserved', server_default=None)
    op.create_check_constraint(
        op.f('ck_reward_lines_reserved'), 'reward_lines', 'NOT is_reserved OR quantity IS NOT NULL'
    )
    op.add_column('reward_lines', sa.Column('waiting_since', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_reward_lines_waiting', 'reward_lines', ['waiting_since'], postgresql_where=sa.text('waiting_since IS NOT NULL'))
    op.create_table('manual_grants',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('reward_line_id', sa.UUID(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('manual_grants'),
    sa.ForeignKeyConstraint(['reward_line_id'], ['reward_lines.id'], name=op.f('fk_manual_grants_reward_line_id_reward_lines')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_manual_grants')),
    sa.UniqueConstraint('reward_line_id', name=op.f('uq_manual_grants_reward_line_id'))
    )
    op.create_table('grant_refusals',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('source_type', sa.String(32), nullable=False),
    sa.Column('source_id', sa.UUID(), nullable=False),
    sa.Column('reward_line_id', sa.UUID(), nullable=False),
    sa.Column('code', sa.String(), nullable=False),
    sa.Column('sentence', sa.String(), nullable=False),
    sa.Column('refused_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('grant_refusals'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_grant_refusals_user_id_users')),
    sa.ForeignKeyConstraint(['reward_line_id'], ['reward_lines.id'], name=op.f('fk_grant_refusals_reward_line_id_reward_lines')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_grant_refusals'))
    )
    op.create_index('ix_grant_refusals_member', 'grant_refusals', ['user_id', 'id'])
    op.create_index('ix_grant_refusals_age', 'grant_refusals', ['refused_at'])
    for table in ('manual_grants', 'grant_refusals'):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    """Back to rewards of campaigns alone; what was given outside of them cannot go back."""
    op.drop_table('grant_refusals')
    op.drop_table('manual_grants')
    op.drop_index('ix_reward_lines_waiting', 'reward_lines')
    op.drop_column('reward_lines', 'waiting_since')
    op.drop_constraint(op.f('ck_reward_lines_reserved'), 'reward_lines')
    op.drop_column('reward_lines', 'is_reserved')
    op.alter_column('reward_lines', 'campaign_id', nullable=False)
