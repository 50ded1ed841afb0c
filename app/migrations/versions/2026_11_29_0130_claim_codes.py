"""claim codes: batches, codes, uses, what was opened, and who guesses"""

from alembic import op
import sqlalchemy as sa

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
_TABLES = (
    'claim_batches',
    'claim_codes',
    'claim_quotas',
    'claim_uses',
    'claim_openings',
    'claim_guesses',
    'claim_proofs',
)


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_{column}_{target}')
    return sa.ForeignKeyConstraint([column], [f'{target}.id'], name=name)


def _time(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('claim_batches',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('reward_line_id', sa.UUID(), nullable=False),
    sa.Column('code_count', sa.Integer(), nullable=False),
    sa.Column('made_count', sa.Integer(), nullable=False),
    sa.Column('uses_per_code', sa.Integer(), nullable=False),
    sa.Column('max_per_user', sa.Integer(), nullable=False),
    _time('valid_from'),
    _time('valid_until', nullable=True),
    sa.Column('audience_kind', sa.String(32), nullable=False),
    sa.Column('audience_id', sa.UUID(), nullable=True),
    sa.Column('challenge', sa.String(32), nullable=False),
    sa.Column('seed', sa.LargeBinary(), nullable=True),
    _time('sealed_at', nullable=True),
    _time('closed_at', nullable=True),
    sa.Column('kiosk_seconds', sa.Integer(), nullable=True),
    sa.Column('kiosk_hash', sa.LargeBinary(), nullable=True),
    sa.Column('kiosk_position', sa.Integer(), nullable=False),
    _time('kiosk_shown_at', nullable=True),
    _time('created_at'),
    _tenant(),
    _key('claim_batches', 'merchant_id', 'merchants'),
    _key('claim_batches', 'reward_line_id', 'reward_lines'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_claim_batches')),
    sa.UniqueConstraint('reward_line_id', name=op.f('uq_claim_batches_reward_line_id')),
    sa.UniqueConstraint('kiosk_hash', name=op.f('uq_claim_batches_kiosk_hash')),
    sa.CheckConstraint('made_count BETWEEN 0 AND code_count', name=op.f('ck_claim_batches_made')),
    sa.CheckConstraint('code_count BETWEEN 1 AND 10000000', name=op.f('ck_claim_batches_codes')),
    sa.CheckConstraint('uses_per_code BETWEEN 1 AND 1000000', name=op.f('ck_claim_batches_uses')),
    sa.CheckConstraint('max_per_user BETWEEN 1 AND 100', name=op.f('ck_claim_batches_per_user')),
    sa.CheckConstraint('(seed IS NULL) = (sealed_at IS NOT NULL)', name=op.f('ck_claim_batches_sealed')),
    )
    op.create_table('claim_codes',
    _tenant(),
    sa.Column('batch_id', sa.UUID(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('fingerprint', sa.LargeBinary(), nullable=False),
    sa.Column('uses_left', sa.Integer(), nullable=False),
    sa.Column('opened_count', sa.BigInteger(), nullable=False),
    _time('disabled_at', nullable=True),
    sa.PrimaryKeyConstraint('batch_id', 'position', name=op.f('pk_claim_codes')),
    sa.UniqueConstraint('fingerprint', name=op.f('uq_claim_codes_fingerprint')),
    sa.CheckConstraint('uses_left >= 0', name=op.f('ck_claim_codes_uses_left')),
    postgresql_with={'fillfactor': 85},
    )
    op.create_table('claim_quotas',
    sa.Column('batch_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('used_count', sa.Integer(), nullable=False),
    _tenant(),
    _key('claim_quotas', 'merchant_id', 'merchants'),
    _key('claim_quotas', 'batch_id', 'claim_batches'),
    _key('claim_quotas', 'user_id', 'users'),
    sa.PrimaryKeyConstraint('batch_id', 'user_id', name=op.f('pk_claim_quotas')),
    sa.CheckConstraint('used_count > 0', name=op.f('ck_claim_quotas_used')),
    )
    op.create_table('claim_uses',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('batch_id', sa.UUID(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('grant_id', sa.UUID(), nullable=False),
    _time('used_at'),
    _tenant(),
    _key('claim_uses', 'merchant_id', 'merchants'),
    _key('claim_uses', 'batch_id', 'claim_batches'),
    _key('claim_uses', 'user_id', 'users'),
    _key('claim_uses', 'grant_id', 'grants'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_claim_uses')),
    sa.UniqueConstraint('grant_id', name=op.f('uq_claim_uses_grant_id')),
    )
    op.create_index('ix_claim_uses_batch', 'claim_uses', ['batch_id', 'id'])
    op.create_index('ix_claim_uses_code', 'claim_uses', ['batch_id', 'position'])
    op.create_index('ix_claim_uses_member', 'claim_uses', ['user_id'])
    op.create_table('claim_openings',
    sa.Column('batch_id', sa.UUID(), nullable=False),
    _time('hour'),
    sa.Column('opened_count', sa.BigInteger(), nullable=False),
    _tenant(),
    _key('claim_openings', 'merchant_id', 'merchants'),
    _key('claim_openings', 'batch_id', 'claim_batches'),
    sa.PrimaryKeyConstraint('batch_id', 'hour', name=op.f('pk_claim_openings')),
    )
    op.create_table('claim_guesses',
    sa.Column('network', sa.LargeBinary(), nullable=False),
    _time('minute'),
    sa.Column('guess_count', sa.BigInteger(), nullable=False),
    _tenant(),
    _key('claim_guesses', 'merchant_id', 'merchants'),
    sa.PrimaryKeyConstraint('merchant_id', 'network', 'minute', name=op.f('pk_claim_guesses')),
    )
    op.create_index('ix_claim_guesses_minute', 'claim_guesses', ['merchant_id', 'minute'])
    op.create_table('claim_proofs',
    sa.Column('nonce', sa.String(), nullable=False),
    _time('used_at'),
    _tenant(),
    _key('claim_proofs', 'merchant_id', 'merchants'),
    sa.PrimaryKeyConstraint('merchant_id', 'nonce', name=op.f('pk_claim_proofs')),
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
