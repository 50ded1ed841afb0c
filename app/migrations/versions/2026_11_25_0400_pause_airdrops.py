"""plans that wait, airdrops that a person paused"""

from alembic import op
import sqlalchemy as sa

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        'plans', sa.Column('is_paused', sa.Boolean(), nullable=False, server_default='false')
    )
    op.alter_column('plans', 'is_paused', server_default=None)
    op.add_column('airdrop_runs', sa.Column('paused_by', sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column('airdrop_runs', 'paused_by')
    op.drop_column('plans', 'is_paused')
