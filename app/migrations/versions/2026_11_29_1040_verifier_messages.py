"""what whoever checks a pass reads"""

from alembic import op
import sqlalchemy as sa

revision = '0036'
down_revision = '0035'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('verifier_messages',
    sa.Column('language', sa.String(), nullable=False),
    sa.Column('text', sa.String(), nullable=False),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_verifier_messages_merchant_id_merchants')),
    sa.PrimaryKeyConstraint('merchant_id', 'language', name=op.f('pk_verifier_messages')),
    )
    op.execute("ALTER TABLE verifier_messages ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON verifier_messages USING (merchant_id = {_MERCHANT[1:-1]})")


def downgrade() -> None:
    op.drop_table('verifier_messages')
