"""rows of airdrops that have room beside them to be delivered in"""

from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # New pages only; what is there stays as it is.
    for table in ('grants', 'tokens'):
        op.execute(f'ALTER TABLE {table} SET (fillfactor = 50)')


def downgrade() -> None:
    for table in ('grants', 'tokens'):
        op.execute(f'ALTER TABLE {table} SET (fillfactor = 85)')
