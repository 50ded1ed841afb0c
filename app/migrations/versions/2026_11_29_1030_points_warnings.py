"""points_warnings: that members were told when points end"""

from alembic import op
import sqlalchemy as sa

revision = '0035'
down_revision = '0034'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('points_warnings',
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('days', sa.Integer(), nullable=False),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_points_warnings_merchant_id_merchants')),
    sa.ForeignKeyConstraint(['account_id'], ['points_accounts.id'], name=op.f('fk_points_warnings_account_id_points_accounts')),
    sa.PrimaryKeyConstraint('account_id', 'expires_at', 'days', name=op.f('pk_points_warnings'))
    )
    op.execute("ALTER TABLE points_warnings ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON points_warnings USING "
        "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
    )


def downgrade() -> None:
    op.drop_table('points_warnings')
