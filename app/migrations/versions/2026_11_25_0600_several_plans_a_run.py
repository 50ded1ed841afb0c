"""rounds taken when planned, several plans a run, limits, late joiners, cancel"""

from alembic import op
import sqlalchemy as sa

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

_WEI = sa.Numeric(precision=78, scale=0)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column('batches', sa.Column('data_nonce', sa.Integer(), nullable=True))
    op.add_column('plans', sa.Column('max_fee_per_gas', _WEI, nullable=True))
    op.add_column('plans', sa.Column('max_total', _WEI, nullable=True))
    op.add_column('plans', sa.Column('waiting_reason', sa.String(), nullable=True))
    op.create_index('ix_plans_subject', 'plans', ['subject_id'])
    op.add_column('transactions', sa.Column('fee_cap', _WEI, nullable=True))
    op.add_column('grants', sa.Column('reason', sa.String(), nullable=True))

    # Airdrops that exist were published under other terms: nobody joins them late.
    op.add_column(
        'campaigns', sa.Column('late_joiners', sa.Boolean(), nullable=False, server_default='false')
    )
    op.alter_column('campaigns', 'late_joiners', server_default=None)
    op.add_column('campaigns', sa.Column('max_batch_gas', sa.BigInteger(), nullable=True))
    op.add_column('campaigns', sa.Column('max_fee_per_gas', _WEI, nullable=True))
    op.add_column('campaigns', sa.Column('max_total', _WEI, nullable=True))
    op.add_column('airdrop_runs', sa.Column('cancelled_by', sa.String(), nullable=True))
    op.add_column(
        'airdrop_runs', sa.Column('looked_at', sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column('airdrop_runs', sa.Column('refused_reason', sa.String(), nullable=True))

    op.add_column('tokens', sa.Column('drop_id', sa.Uuid(), nullable=True))
    op.execute(
        "UPDATE tokens SET drop_id = reward_line_id FROM grants WHERE grants.id = tokens.grant_id"
    )
    op.alter_column('tokens', 'drop_id', nullable=False)
    op.alter_column('tokens', 'round', nullable=True)
    op.drop_constraint('uq_tokens_asset_id_round_pass_number', 'tokens')
    op.create_unique_constraint(
        op.f('uq_tokens_drop_id_pass_number'), 'tokens', ['drop_id', 'pass_number']
    )
    # Rounds beyond the last that was planned are free again.
    op.execute(
        "UPDATE reward_lines SET round = NULL WHERE round > coalesce((SELECT max(tokens.round)"
        " FROM tokens WHERE tokens.asset_id = reward_lines.asset_id AND batch_id IS NOT NULL), -1)"
    )
    op.execute(
        "UPDATE tokens SET round = (SELECT round FROM reward_lines WHERE reward_lines.id = drop_id)"
        " WHERE batch_id IS NULL"
    )
    op.execute(
        "UPDATE digital_assets SET next_round = coalesce((SELECT max(round) + 1 FROM reward_lines"
        " WHERE reward_lines.asset_id = digital_assets.id), 0)"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE reward_lines SET round = next_round + place FROM (SELECT reward_lines.id AS line,"
        " next_round, row_number() OVER (PARTITION BY asset_id ORDER BY reward_lines.id) - 1"
        " AS place FROM reward_lines JOIN digital_assets ON digital_assets.id = asset_id"
        " WHERE round IS NULL) AS free WHERE free.line = reward_lines.id"
    )
    op.execute(
        "UPDATE digital_assets SET next_round = coalesce((SELECT max(round) + 1 FROM reward_lines"
        " WHERE reward_lines.asset_id = digital_assets.id), 0)"
    )
    op.execute(
        "UPDATE tokens SET round = reward_lines.round FROM reward_lines"
        " WHERE reward_lines.id = drop_id AND tokens.round IS NULL"
    )
    op.drop_constraint(op.f('uq_tokens_drop_id_pass_number'), 'tokens')
    op.create_unique_constraint(
        op.f('uq_tokens_asset_id_round_pass_number'), 'tokens', ['asset_id', 'round', 'pass_number']
    )
    op.alter_column('tokens', 'round', nullable=False)
    op.drop_column('tokens', 'drop_id')
    for column in ('refused_reason', 'looked_at', 'cancelled_by'):
        op.drop_column('airdrop_runs', column)
    for column in ('max_total', 'max_fee_per_gas', 'max_batch_gas', 'late_joiners'):
        op.drop_column('campaigns', column)
    op.drop_column('grants', 'reason')
    op.drop_column('transactions', 'fee_cap')
    op.drop_index('ix_plans_subject', 'plans')
    for column in ('waiting_reason', 'max_total', 'max_fee_per_gas'):
        op.drop_column('plans', column)
    op.drop_column('batches', 'data_nonce')
