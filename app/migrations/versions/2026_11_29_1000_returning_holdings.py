"""holdings whose stock, when they lapse, stays with whoever gave them"""

from alembic import op
import sqlalchemy as sa

revision = '0031'
down_revision = '0030'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The default stays: the previous release does not know the column.
    op.add_column('holdings', sa.Column('returns_to_giver', sa.Boolean(), nullable=False, server_default=sa.text('false')))


def downgrade() -> None:
    op.drop_column('holdings', 'returns_to_giver')
