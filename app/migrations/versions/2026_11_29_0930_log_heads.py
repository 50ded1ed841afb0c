"""heads of the log of a draw, published while it is written"""

from alembic import op
import sqlalchemy as sa

revision = '0026'
down_revision = '0024'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('draw_heads',
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    sa.ForeignKeyConstraint(['draw_id', 'number'], ['draw_openings.draw_id', 'draw_openings.number'], name=op.f('fk_draw_heads_draw_id_number_draw_openings')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_draw_heads_merchant_id_merchants')),
    sa.PrimaryKeyConstraint('draw_id', 'number', name=op.f('pk_draw_heads'))
    )
    op.execute("ALTER TABLE draw_heads ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON draw_heads USING "
        "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
    )


def downgrade() -> None:
    op.drop_table('draw_heads')
