"""data keys that replace each other and are recognised, wallets found by data key"""

from alembic import op
import sqlalchemy as sa

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column('data_keys', sa.Column('fingerprint', sa.LargeBinary(), nullable=True))
    op.add_column('data_keys', sa.Column('replaced_by_id', sa.UUID(), nullable=True))
    op.create_foreign_key(
        op.f('fk_data_keys_replaced_by_id_data_keys'),
        'data_keys',
        'data_keys',
        ['replaced_by_id'],
        ['id'],
    )
    op.create_index(op.f('ix_wallets_data_key_id'), 'wallets', ['data_key_id'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_wallets_data_key_id'), table_name='wallets')
    op.drop_constraint(op.f('fk_data_keys_replaced_by_id_data_keys'), 'data_keys')
    op.drop_column('data_keys', 'replaced_by_id')
    op.drop_column('data_keys', 'fingerprint')
