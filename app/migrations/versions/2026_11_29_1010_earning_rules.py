"""earning rules: what events earn, and what each did by each rule"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0032'
down_revision = '0031'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('points_rules',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('unit_id', sa.UUID(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('event_type', sa.String(), nullable=False),
    sa.Column('filters', postgresql.JSONB(), nullable=False),
    sa.Column('property', sa.String(), nullable=True),
    sa.Column('rate', sa.Numeric(18, 6), nullable=False),
    sa.Column('member_day_cap', sa.BigInteger(), nullable=True),
    sa.Column('member_cap', sa.BigInteger(), nullable=True),
    sa.Column('cooldown_minutes', sa.Integer(), nullable=True),
    sa.Column('budget', sa.BigInteger(), nullable=True),
    sa.Column('spent', sa.BigInteger(), nullable=False),
    sa.Column('first_day', sa.Date(), nullable=False),
    sa.Column('last_day', sa.Date(), nullable=True),
    sa.Column('is_on', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.CheckConstraint('rate > 0', name=op.f('ck_points_rules_rate')),
    sa.CheckConstraint('spent >= 0', name=op.f('ck_points_rules_spent')),
    sa.CheckConstraint('member_day_cap > 0 AND member_cap > 0 AND budget > 0', name=op.f('ck_points_rules_limits')),
    sa.CheckConstraint('cooldown_minutes > 0', name=op.f('ck_points_rules_cooldown')),
    sa.CheckConstraint('last_day >= first_day', name=op.f('ck_points_rules_days')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_points_rules_merchant_id_merchants')),
    sa.ForeignKeyConstraint(['unit_id'], ['points_units.id'], name=op.f('fk_points_rules_unit_id_points_units')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_points_rules')),
    sa.UniqueConstraint('merchant_id', 'name', name=op.f('uq_points_rules_merchant_id_name'))
    )
    op.create_table('points_earnings',
    sa.Column('rule_id', sa.UUID(), nullable=False),
    sa.Column('event_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('wanted', sa.BigInteger(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('transaction_id', sa.UUID(), nullable=True),
    _tenant(),
    sa.CheckConstraint('wanted > 0 AND amount BETWEEN 0 AND wanted', name=op.f('ck_points_earnings_amount')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_points_earnings_merchant_id_merchants')),
    sa.ForeignKeyConstraint(['rule_id'], ['points_rules.id'], name=op.f('fk_points_earnings_rule_id_points_rules')),
    sa.ForeignKeyConstraint(['transaction_id'], ['points_transactions.id'], name=op.f('fk_points_earnings_transaction_id_points_transactions')),
    sa.PrimaryKeyConstraint('rule_id', 'event_id', name=op.f('pk_points_earnings')),
    sa.UniqueConstraint('transaction_id', name=op.f('uq_points_earnings_transaction_id'))
    )
    op.create_index('ix_points_earnings_member', 'points_earnings', ['rule_id', 'user_id', 'day'])
    op.create_index('ix_points_earnings_open', 'points_earnings', ['merchant_id', 'event_id'], postgresql_where=sa.text("state IN ('due', 'leaving')"))
    op.create_index('ix_points_earnings_kept', 'points_earnings', ['rule_id'], postgresql_where=sa.text("state = 'kept'"))
    for table in ('points_rules', 'points_earnings'):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    op.drop_table('points_earnings')
    op.drop_table('points_rules')
