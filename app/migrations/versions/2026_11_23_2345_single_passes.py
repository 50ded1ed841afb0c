"""passes issued alone, tokens minted outside the registry"""

from alembic import op
import sqlalchemy as sa

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        'pass_contracts',
        sa.Column('next_single', sa.BigInteger(), nullable=False, server_default='0'),
    )
    op.alter_column('pass_contracts', 'next_single', server_default=None)
    op.add_column('tokens', sa.Column('mint_nonce', sa.Integer(), nullable=True))
    op.add_column('tokens', sa.Column('mint_index', sa.Integer(), nullable=True))
    op.create_unique_constraint(
        op.f('uq_tokens_asset_id_mint_nonce_mint_index'),
        'tokens',
        ['asset_id', 'mint_nonce', 'mint_index'],
    )
    op.create_check_constraint(
        op.f('ck_tokens_minted'), 'tokens', '(mint_nonce IS NULL) = (mint_index IS NULL)'
    )


def downgrade() -> None:
    op.drop_constraint(op.f('ck_tokens_minted'), 'tokens')
    op.drop_constraint(op.f('uq_tokens_asset_id_mint_nonce_mint_index'), 'tokens')
    op.drop_column('tokens', 'mint_index')
    op.drop_column('tokens', 'mint_nonce')
    op.drop_column('pass_contracts', 'next_single')
