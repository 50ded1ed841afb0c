"""transactions have a version, nobody holds a lease"""

from alembic import op
import sqlalchemy as sa

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column('lanes', 'lease_epoch')
    op.drop_column('transactions', 'lease_epoch')
    op.add_column(
        'transactions', sa.Column('version', sa.Integer(), nullable=False, server_default='1')
    )
    op.alter_column('transactions', 'version', server_default=None)


def downgrade() -> None:
    op.drop_column('transactions', 'version')
    for table in ('transactions', 'lanes'):
        op.add_column(
            table, sa.Column('lease_epoch', sa.Integer(), nullable=False, server_default='0')
        )
        op.alter_column(table, 'lease_epoch', server_default=None)
