"""several reward lines and quantities, drops of their own, perks, airdrops that start later"""

from alembic import op
import sqlalchemy as sa

revision = '0017'
down_revision = '0016'
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
    _make_perks()
    _make_drops()

    op.drop_constraint(op.f('uq_reward_lines_asset_id_round'), 'reward_lines')
    op.drop_column('reward_lines', 'round')
    op.alter_column('reward_lines', 'asset_id', nullable=True)
    op.add_column('reward_lines', sa.Column('perk_id', sa.UUID(), nullable=True))
    op.create_foreign_key(
        op.f('fk_reward_lines_perk_id_perks'), 'reward_lines', 'perks', ['perk_id'], ['id']
    )
    for name, kind, default in (
        ('per_recipient', sa.Integer(), '1'),
        ('delivered_count', sa.BigInteger(), '0'),
        ('skipped_count', sa.BigInteger(), '0'),
    ):
        op.add_column(
            'reward_lines', sa.Column(name, kind, nullable=False, server_default=default)
        )
        op.alter_column('reward_lines', name, server_default=None)
    for reward in ('asset_id', 'perk_id'):
        op.create_unique_constraint(
            op.f(f'uq_reward_lines_campaign_id_{reward}'), 'reward_lines', ['campaign_id', reward]
        )
    op.create_index('ix_reward_lines_asset', 'reward_lines', ['asset_id'])
    op.create_index('ix_reward_lines_perk', 'reward_lines', ['perk_id'])
    for name, condition in (
        ('reward', 'num_nonnulls(asset_id, perk_id) = 1'),
        ('per_recipient', 'per_recipient BETWEEN 1 AND 100'),
        ('delivered', 'delivered_count <= granted_count'),
    ):
        op.create_check_constraint(op.f(f'ck_reward_lines_{name}'), 'reward_lines', condition)

    op.add_column('campaigns', sa.Column('starts_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('airdrop_runs', sa.Column('checked_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('audience_rows', sa.Column('quantity', sa.Integer(), nullable=True))
    op.add_column(
        'airdrop_runs',
        sa.Column('reward_count', sa.BigInteger(), nullable=False, server_default='0'),
    )
    op.alter_column('airdrop_runs', 'reward_count', server_default=None)
    op.execute("UPDATE airdrop_runs SET reward_count = recipient_count")


def _make_perks() -> None:
    op.create_table('perks',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('internal_name', sa.String(), nullable=False),
    sa.Column('title', sa.String(), nullable=False),
    sa.Column('subtitle', sa.String(), nullable=False),
    sa.Column('description', sa.String(), nullable=False),
    sa.Column('reference_id', sa.String(), nullable=True),
    sa.Column('redemption', sa.String(32), nullable=False),
    sa.Column('total_quantity', sa.BigInteger(), nullable=True),
    sa.Column('max_per_user', sa.Integer(), nullable=True),
    sa.Column('granted_count', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    _tenant(),
    sa.CheckConstraint('granted_count >= 0', name=op.f('ck_perks_granted')),
    sa.CheckConstraint('total_quantity IS NULL OR granted_count <= total_quantity', name=op.f('ck_perks_stock')),
    _merchant_key('perks'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_perks')),
    sa.UniqueConstraint('merchant_id', 'reference_id', name=op.f('uq_perks_merchant_id_reference_id'))
    )
    op.create_index('uq_perks_name', 'perks', ['merchant_id', 'internal_name'], unique=True, postgresql_where=sa.text("state <> 'archived'"))
    op.create_table('perk_quotas',
    sa.Column('perk_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('granted_count', sa.Integer(), nullable=False),
    sa.Column('max_per_user', sa.Integer(), nullable=True),
    _tenant(),
    sa.CheckConstraint('granted_count >= 0', name=op.f('ck_perk_quotas_granted')),
    sa.CheckConstraint('max_per_user IS NULL OR granted_count <= max_per_user', name=op.f('ck_perk_quotas_limit')),
    _merchant_key('perk_quotas'),
    sa.ForeignKeyConstraint(['perk_id'], ['perks.id'], name=op.f('fk_perk_quotas_perk_id_perks')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_perk_quotas_user_id_users')),
    sa.PrimaryKeyConstraint('perk_id', 'user_id', name=op.f('pk_perk_quotas'))
    )
    op.create_table('holdings',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('perk_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('grant_id', sa.UUID(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('holdings'),
    sa.ForeignKeyConstraint(['perk_id'], ['perks.id'], name=op.f('fk_holdings_perk_id_perks')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_holdings_user_id_users')),
    sa.ForeignKeyConstraint(['grant_id'], ['grants.id'], name=op.f('fk_holdings_grant_id_grants')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_holdings')),
    sa.UniqueConstraint('grant_id', name=op.f('uq_holdings_grant_id'))
    )
    op.create_index('ix_holdings_owner', 'holdings', ['user_id', 'id'])
    op.create_index('ix_holdings_perk', 'holdings', ['perk_id', 'id'])
    for table in ('perks', 'perk_quotas', 'holdings'):
        _protect(table)


def _make_drops() -> None:
    op.create_table('drops',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('reward_line_id', sa.UUID(), nullable=False),
    sa.Column('ordinal', sa.Integer(), nullable=False),
    sa.Column('asset_id', sa.UUID(), nullable=False),
    sa.Column('round', sa.BigInteger(), nullable=True),
    _tenant(),
    _merchant_key('drops'),
    sa.ForeignKeyConstraint(['reward_line_id'], ['reward_lines.id'], name=op.f('fk_drops_reward_line_id_reward_lines')),
    sa.ForeignKeyConstraint(['asset_id'], ['digital_assets.id'], name=op.f('fk_drops_asset_id_digital_assets')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drops')),
    sa.UniqueConstraint('reward_line_id', 'ordinal', name=op.f('uq_drops_reward_line_id_ordinal')),
    sa.UniqueConstraint('asset_id', 'round', name=op.f('uq_drops_asset_id_round'))
    )
    _protect('drops')
    # A line that gave one each is the drop of that one, so its tokens name it already.
    op.execute(
        "INSERT INTO drops (id, merchant_id, reward_line_id, ordinal, asset_id, round)"
        " SELECT id, merchant_id, id, 0, asset_id, round FROM reward_lines"
        " WHERE granted_count > 0 OR round IS NOT NULL"
    )
    # Mints have no round on the chain: one that only they took is the next one there.
    op.drop_index('uq_tokens_address', 'tokens')
    op.execute("UPDATE tokens SET round = NULL WHERE mint_nonce IS NOT NULL")
    op.execute(
        "UPDATE drops SET round = NULL WHERE NOT EXISTS"
        " (SELECT FROM tokens WHERE drop_id = drops.id AND tokens.round IS NOT NULL)"
    )
    op.execute(
        "UPDATE digital_assets SET next_round = coalesce((SELECT max(round) + 1 FROM drops"
        " WHERE drops.asset_id = digital_assets.id), 0)"
    )
    op.create_index(
        'uq_tokens_address',
        'tokens',
        ['drop_id', 'address'],
        unique=True,
        postgresql_where=sa.text('address IS NOT NULL'),
    )


def _protect(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} USING "
        "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
    )


def downgrade() -> None:
    """Back to one reward a campaign; what has more than that cannot go back."""
    op.drop_column('airdrop_runs', 'reward_count')
    op.drop_column('airdrop_runs', 'checked_at')
    op.drop_column('campaigns', 'starts_at')
    op.drop_column('audience_rows', 'quantity')
    for name in ('delivered', 'per_recipient', 'reward'):
        op.drop_constraint(op.f(f'ck_reward_lines_{name}'), 'reward_lines')
    op.drop_index('ix_reward_lines_perk', 'reward_lines')
    op.drop_index('ix_reward_lines_asset', 'reward_lines')
    for reward in ('perk_id', 'asset_id'):
        op.drop_constraint(op.f(f'uq_reward_lines_campaign_id_{reward}'), 'reward_lines')
    for name in ('skipped_count', 'delivered_count', 'per_recipient', 'perk_id'):
        op.drop_column('reward_lines', name)
    op.alter_column('reward_lines', 'asset_id', nullable=False)
    op.add_column('reward_lines', sa.Column('round', sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE reward_lines SET round = drops.round FROM drops"
        " WHERE drops.reward_line_id = reward_lines.id AND drops.ordinal = 0"
    )
    op.create_unique_constraint(
        op.f('uq_reward_lines_asset_id_round'), 'reward_lines', ['asset_id', 'round']
    )
    op.execute(
        "UPDATE tokens SET drop_id = drops.reward_line_id FROM drops WHERE drops.id = drop_id"
        " AND drop_id <> reward_line_id"
    )
    op.drop_index('uq_tokens_address', 'tokens')
    op.create_index(
        'uq_tokens_address',
        'tokens',
        ['asset_id', 'round', 'address'],
        unique=True,
        postgresql_where=sa.text('address IS NOT NULL'),
    )
    for table in ('drops', 'holdings', 'perk_quotas', 'perks'):
        op.drop_table(table)
