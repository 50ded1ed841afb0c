"""claims by place"""

from alembic import op
import sqlalchemy as sa

revision = '0034'
down_revision = '0033'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"


def _key(column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_claim_places_{column}_{target}')
    return sa.ForeignKeyConstraint([column], [f'{target}.id'], name=name)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('claim_places',
    sa.Column('batch_id', sa.UUID(), nullable=False),
    sa.Column('place_id', sa.UUID(), nullable=False),
    sa.Column('opened_count', sa.BigInteger(), nullable=False),
    sa.Column('claimed_count', sa.BigInteger(), nullable=False),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False),
    _key('merchant_id', 'merchants'),
    _key('batch_id', 'claim_batches'),
    _key('place_id', 'places'),
    sa.PrimaryKeyConstraint('batch_id', 'place_id', name=op.f('pk_claim_places')),
    )
    op.execute("ALTER TABLE claim_places ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON claim_places USING (merchant_id = {_MERCHANT[1:-1]})")


def downgrade() -> None:
    op.drop_table('claim_places')
