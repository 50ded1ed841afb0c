"""how a draw looks to members: texts by language, a picture, how its box opens"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0033'
down_revision = '0032'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The defaults stay: the previous release does not know the columns.
    op.add_column('draws', sa.Column('box_texts', postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column('draws', sa.Column('box_animation', sa.String(32), nullable=False, server_default=sa.text("'fade'")))
    op.add_column('draws', sa.Column('box_visual_cid', sa.String(), nullable=True))


def downgrade() -> None:
    for name in ('box_visual_cid', 'box_animation', 'box_texts'):
        op.drop_column('draws', name)
