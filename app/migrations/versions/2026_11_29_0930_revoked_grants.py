"""holdings that were revoked tell their grants

Grants of holdings that were revoked before are found by the first sweep.
"""

from alembic import op
import sqlalchemy as sa

revision = '0029'
down_revision = '0026'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column('holdings',
    sa.Column('is_grant_revoked', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.create_index('ix_holdings_revoked', 'holdings', ['id'], unique=False,
        postgresql_where=sa.text("state = 'revoked' AND NOT is_grant_revoked"))


def downgrade() -> None:
    op.drop_index('ix_holdings_revoked', table_name='holdings')
    op.drop_column('holdings', 'is_grant_revoked')
