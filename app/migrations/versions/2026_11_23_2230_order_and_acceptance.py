"""order of plans, acceptance of attempts, foreign use of a nonce"""

from alembic import op
import sqlalchemy as sa

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column('attempts', sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('transactions', sa.Column('foreign_use_at', sa.DateTime(timezone=True), nullable=True))
    # Existing plans were ordered by their ids, so they are numbered in that order.
    op.add_column('plans', sa.Column('ordinal', sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE plans SET ordinal = numbered.n FROM "
        "(SELECT id, row_number() OVER (ORDER BY id) AS n FROM plans) AS numbered "
        "WHERE numbered.id = plans.id"
    )
    op.alter_column('plans', 'ordinal', nullable=False)
    op.execute("ALTER TABLE plans ALTER COLUMN ordinal ADD GENERATED ALWAYS AS IDENTITY")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('plans', 'ordinal'), "
        "greatest((SELECT max(ordinal) FROM plans), 1), (SELECT count(*) > 0 FROM plans))"
    )
    op.create_unique_constraint(op.f('uq_plans_ordinal'), 'plans', ['ordinal'])


def downgrade() -> None:
    op.drop_column('plans', 'ordinal')
    op.drop_column('transactions', 'foreign_use_at')
    op.drop_column('attempts', 'accepted_at')
