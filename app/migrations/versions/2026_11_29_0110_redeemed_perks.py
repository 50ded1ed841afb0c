"""perks that are redeemed: terms, code pools, places, the log of uses, shipments"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
_TABLES = (
    "places", "perk_places", "redemptions", "revocations", "shipments", "code_files", "code_refusals", "perk_codes"
)


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _key(table: str, column: str, target: str, **options: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_{column}_{target}')
    return sa.ForeignKeyConstraint([column], [f'{target}.id'], name=name, **options)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _widen_perks()
    _widen_holdings()
    _make_places()
    _make_log()
    _make_codes()
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def _widen_perks() -> None:
    """What perks are until now is used as often and as long as anybody likes to show it."""
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    for name, kind, default in (
        ('conditions', sa.String(), "''"),
        ('options', jsonb, "'{}'"),
        ('cta_label', sa.String(), "''"),
        ('cta_url', sa.String(), "''"),
        ('validity', sa.String(32), "'none'"),
        ('usable_hours', jsonb, "'[]'"),
        ('undo_minutes', sa.Integer(), '15'),
        ('code_count', sa.BigInteger(), '0'),
        ('has_reserved_codes', sa.Boolean(), 'false'),
    ):
        column = sa.Column(name, kind, nullable=False, server_default=sa.text(default))
        op.add_column('perks', column)
        op.alter_column('perks', name, server_default=None)
    for name, kind in (
        ('uses_per_holding', sa.Integer()),
        ('valid_from', sa.DateTime(timezone=True)),
        ('valid_until', sa.DateTime(timezone=True)),
        ('valid_days', sa.Integer()),
        ('low_stock_percent', sa.Integer()),
        ('low_stock_count', sa.BigInteger()),
        ('low_stock_told_at', sa.DateTime(timezone=True)),
        ('revalidate_after', sa.UUID()),
        ('visual_cid', sa.String()),
    ):
        op.add_column('perks', sa.Column(name, kind, nullable=True))
    op.execute("UPDATE perks SET uses_per_holding = 1, low_stock_percent = 10")
    op.create_check_constraint(op.f('ck_perks_codes'), 'perks', 'code_count >= 0')
    op.create_check_constraint(op.f('ck_perks_uses'), 'perks', 'uses_per_holding BETWEEN 1 AND 1000')
    op.drop_index('uq_perks_name', 'perks')
    op.create_index('uq_perks_name', 'perks', ['merchant_id', 'internal_name'], unique=True, postgresql_where=sa.text("state IN ('draft', 'live')"))


def _widen_holdings() -> None:
    for name, kind in (
        ('uses_left', sa.Integer()),
        ('valid_from', sa.DateTime(timezone=True)),
        ('valid_until', sa.DateTime(timezone=True)),
        ('shipment', sa.String(32)),
        ('address_due_at', sa.DateTime(timezone=True)),
    ):
        op.add_column('holdings', sa.Column(name, kind, nullable=True))
    op.execute("UPDATE holdings SET uses_left = 1")
    op.create_check_constraint(op.f('ck_holdings_uses_left'), 'holdings', 'uses_left >= 0')
    op.create_index('ix_holdings_ending', 'holdings', ['valid_until'], postgresql_where=sa.text("state = 'available' AND valid_until IS NOT NULL"))
    op.create_index('ix_holdings_shipment', 'holdings', ['shipment', 'address_due_at'], postgresql_where=sa.text("shipment IS NOT NULL"))


def _make_places() -> None:
    op.create_table('places',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('address', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    _tenant(),
    _key('places', 'merchant_id', 'merchants'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_places'))
    )
    op.create_index('uq_places_name', 'places', ['merchant_id', 'name'], unique=True, postgresql_where=sa.text('archived_at IS NULL'))
    op.create_table('perk_places',
    sa.Column('perk_id', sa.UUID(), nullable=False),
    sa.Column('place_id', sa.UUID(), nullable=False),
    _tenant(),
    _key('perk_places', 'merchant_id', 'merchants'),
    _key('perk_places', 'perk_id', 'perks'),
    _key('perk_places', 'place_id', 'places'),
    sa.PrimaryKeyConstraint('perk_id', 'place_id', name=op.f('pk_perk_places'))
    )


def _make_log() -> None:
    op.create_table('redemptions',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('holding_id', sa.UUID(), nullable=False),
    sa.Column('transition', sa.String(32), nullable=False),
    sa.Column('delta', sa.Integer(), nullable=False),
    sa.Column('channel', sa.String(32), nullable=True),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('place_id', sa.UUID(), nullable=True),
    sa.Column('device', sa.String(), nullable=True),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('undo_of', sa.UUID(), nullable=True),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _key('redemptions', 'merchant_id', 'merchants'),
    _key('redemptions', 'holding_id', 'holdings'),
    _key('redemptions', 'place_id', 'places'),
    sa.ForeignKeyConstraint(['undo_of'], ['redemptions.id'], name=op.f('fk_redemptions_undo_of_redemptions')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_redemptions')),
    sa.UniqueConstraint('undo_of', name=op.f('uq_redemptions_undo_of'))
    )
    op.create_index('ix_redemptions_holding', 'redemptions', ['holding_id', 'id'])
    op.create_index('ix_redemptions_device', 'redemptions', ['device', 'id'], postgresql_where=sa.text('device IS NOT NULL'))
    op.create_table('revocations',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('perk_id', sa.UUID(), nullable=False),
    sa.Column('state', sa.String(32), nullable=True),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('after', sa.UUID(), nullable=False),
    sa.Column('revoked_count', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    _tenant(),
    _key('revocations', 'merchant_id', 'merchants'),
    _key('revocations', 'perk_id', 'perks'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_revocations'))
    )
    op.create_index('ix_revocations_perk', 'revocations', ['perk_id', 'id'])
    op.create_index('ix_revocations_open', 'revocations', ['merchant_id'], postgresql_where=sa.text('finished_at IS NULL'))
    op.create_table('shipments',
    sa.Column('holding_id', sa.UUID(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=True),
    sa.Column('carrier', sa.String(), nullable=False),
    sa.Column('tracking', sa.String(), nullable=False),
    sa.Column('addressed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('shipped_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    _tenant(),
    _key('shipments', 'merchant_id', 'merchants'),
    _key('shipments', 'holding_id', 'holdings'),
    sa.PrimaryKeyConstraint('holding_id', name=op.f('pk_shipments'))
    )
    op.create_index('ix_shipments_delivered', 'shipments', ['delivered_at'], postgresql_where=sa.text('sealed IS NOT NULL AND delivered_at IS NOT NULL'))


def _make_codes() -> None:
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    op.create_table('code_files',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('perk_id', sa.UUID(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('pattern', jsonb, nullable=True),
    sa.Column('layout', jsonb, nullable=True),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('byte_count', sa.BigInteger(), nullable=False),
    sa.Column('next_byte', sa.BigInteger(), nullable=False),
    sa.Column('next_line', sa.BigInteger(), nullable=False),
    sa.Column('wanted_count', sa.BigInteger(), nullable=False),
    sa.Column('added_count', sa.BigInteger(), nullable=False),
    sa.Column('refused_count', sa.BigInteger(), nullable=False),
    sa.Column('failure', sa.String(), nullable=True),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    _tenant(),
    _key('code_files', 'merchant_id', 'merchants'),
    _key('code_files', 'perk_id', 'perks'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_code_files'))
    )
    op.create_index('ix_code_files_perk', 'code_files', ['perk_id', 'id'])
    op.create_index('ix_code_files_open', 'code_files', ['merchant_id'], postgresql_where=sa.text("state = 'running'"))
    op.create_table('code_refusals',
    sa.Column('file_id', sa.UUID(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    _tenant(),
    _key('code_refusals', 'merchant_id', 'merchants'),
    _key('code_refusals', 'file_id', 'code_files', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('file_id', 'line', name=op.f('pk_code_refusals'))
    )
    op.create_table('perk_codes',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('perk_id', sa.UUID(), nullable=False),
    sa.Column('file_id', sa.UUID(), nullable=False),
    sa.Column('fingerprint', sa.LargeBinary(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reserved_for', sa.String(), nullable=True),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('holding_id', sa.UUID(), nullable=True),
    sa.Column('void_reason', sa.String(), nullable=True),
    _tenant(),
    _key('perk_codes', 'merchant_id', 'merchants'),
    _key('perk_codes', 'perk_id', 'perks'),
    _key('perk_codes', 'file_id', 'code_files'),
    _key('perk_codes', 'holding_id', 'holdings'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_perk_codes')),
    sa.UniqueConstraint('perk_id', 'fingerprint', name=op.f('uq_perk_codes_perk_id_fingerprint')),
    postgresql_with={
        'fillfactor': 90,
        'autovacuum_vacuum_scale_factor': 0.02,
        'autovacuum_analyze_scale_factor': 0.02,
    },
    )
    op.create_index('ix_perk_codes_next', 'perk_codes', ['perk_id', 'expires_at', 'id'], postgresql_where=sa.text("state = 'free' AND reserved_for IS NULL"))
    op.create_index('ix_perk_codes_reserved', 'perk_codes', ['reserved_for', 'perk_id'], postgresql_where=sa.text('reserved_for IS NOT NULL'))
    op.create_index('ix_perk_codes_ending', 'perk_codes', ['expires_at'], postgresql_where=sa.text("state = 'free' AND expires_at IS NOT NULL"))
    op.create_index('uq_perk_codes_holding', 'perk_codes', ['holding_id'], unique=True, postgresql_where=sa.text('holding_id IS NOT NULL'))


def downgrade() -> None:
    for table in ('perk_codes', 'code_refusals', 'code_files', 'shipments', 'revocations', 'redemptions', 'perk_places', 'places'):
        op.drop_table(table)
    op.drop_index('ix_holdings_shipment', 'holdings')
    op.drop_index('ix_holdings_ending', 'holdings')
    op.drop_constraint(op.f('ck_holdings_uses_left'), 'holdings')
    for column in ('address_due_at', 'shipment', 'valid_until', 'valid_from', 'uses_left'):
        op.drop_column('holdings', column)
    op.drop_index('uq_perks_name', 'perks')
    op.execute("UPDATE perks SET state = 'archived' WHERE state = 'deleted'")
    op.create_index('uq_perks_name', 'perks', ['merchant_id', 'internal_name'], unique=True, postgresql_where=sa.text("state <> 'archived'"))
    for name in ('uses', 'codes'):
        op.drop_constraint(op.f(f'ck_perks_{name}'), 'perks')
    for column in (
        'visual_cid', 'revalidate_after', 'low_stock_told_at', 'low_stock_count', 'low_stock_percent', 'valid_days', 'valid_until',
        'valid_from', 'uses_per_holding', 'has_reserved_codes', 'code_count', 'undo_minutes',
        'usable_hours', 'validity', 'cta_url', 'cta_label', 'options', 'conditions',
    ):
        op.drop_column('perks', column)
