"""perks for whoever owns a digital asset"""

from alembic import op
import sqlalchemy as sa

revision = '0038'
down_revision = '0037'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def _key(column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f'{target}.id'], name=op.f(f'fk_unlocks_{column}_{target}'))


def upgrade() -> None:
    op.create_table('unlocks',
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('perk_id', sa.Uuid(), nullable=False),
    sa.Column('reward_line_id', sa.Uuid(), nullable=False),
    sa.Column('is_due', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merchant_id', sa.Uuid(), server_default=sa.text(_MERCHANT), nullable=False),
    _key('asset_id', 'digital_assets'),
    _key('perk_id', 'perks'),
    _key('reward_line_id', 'reward_lines'),
    _key('merchant_id', 'merchants'),
    sa.PrimaryKeyConstraint('asset_id', 'perk_id', name=op.f('pk_unlocks')),
    sa.UniqueConstraint('reward_line_id', name=op.f('uq_unlocks_reward_line_id'))
    )
    op.create_index('ix_unlocks_due', 'unlocks', ['merchant_id'], postgresql_where=sa.text('is_due'))
    op.execute("ALTER TABLE unlocks ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON unlocks USING "
        "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
    )


def downgrade() -> None:
    op.drop_table('unlocks')
