"""mails: messages that wait for the mail server, or did not leave"""

from alembic import op
import sqlalchemy as sa

revision = '0030'
down_revision = '0029'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('mails',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('recipient', sa.String(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=True),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('next_try_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('error', sa.String(), nullable=True),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_mails_merchant_id_merchants')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_mails'))
    )
    op.create_index('ix_mails_due', 'mails', ['valid_until', 'next_try_at'], postgresql_where=sa.text("state = 'queued'"))
    op.execute("ALTER TABLE mails ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON mails USING "
        "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
    )


def downgrade() -> None:
    op.drop_table('mails')
