"""keys that sign rotating codes, codes that were seen, counts of scans, devices that scan"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
TENANT_TABLES = (
    "signing_keys", "seen_codes", "scan_counts", "scan_devices", "offline_places",
    "redemption_receipts", "offline_scans",
)


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _key(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_{column}_{other}')
    return sa.ForeignKeyConstraint([column], [f'{other}.id'], name=name)


def _merchant_key(table: str) -> sa.ForeignKeyConstraint:
    return _key(table, 'merchant_id', 'merchants')


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('signing_keys',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('ordinal', sa.Integer(), nullable=False),
    sa.Column('public_key', sa.LargeBinary(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=True),
    sa.Column('signs_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=True),
    _tenant(),
    _merchant_key('signing_keys'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_signing_keys')),
    sa.UniqueConstraint('merchant_id', 'ordinal', name=op.f('uq_signing_keys_merchant_id_ordinal'))
    )
    op.create_table('seen_codes',
    sa.Column('nonce', sa.LargeBinary(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('kept_until', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('seen_codes'),
    sa.PrimaryKeyConstraint('merchant_id', 'nonce', name=op.f('pk_seen_codes'))
    )
    op.create_index('ix_seen_codes_kept', 'seen_codes', ['kept_until'])
    op.create_table('scan_counts',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('hour', sa.DateTime(timezone=True), nullable=False),
    sa.Column('place_id', sa.UUID(), nullable=True),
    sa.Column('scan_count', sa.Integer(), nullable=False),
    _tenant(),
    _merchant_key('scan_counts'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scan_counts')),
    sa.UniqueConstraint('merchant_id', 'hour', 'place_id', name=op.f('uq_scan_counts_merchant_id_hour_place_id'), postgresql_nulls_not_distinct=True)
    )
    _make_devices()
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def _make_devices() -> None:
    op.create_table('scan_devices',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('place_id', sa.UUID(), nullable=False),
    sa.Column('pairing_hash', sa.LargeBinary(), nullable=True),
    sa.Column('pairing_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('key_hash', sa.LargeBinary(), nullable=True),
    sa.Column('paired_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    sa.Column('version', sa.Integer(), nullable=False),
    _merchant_key('scan_devices'),
    _key('scan_devices', 'place_id', 'places'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scan_devices')),
    sa.UniqueConstraint('key_hash', name=op.f('uq_scan_devices_key_hash')),
    sa.UniqueConstraint('pairing_hash', name=op.f('uq_scan_devices_pairing_hash'))
    )
    op.create_table('offline_places',
    sa.Column('place_id', sa.UUID(), nullable=False),
    sa.Column('allowed_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('offline_places'),
    _key('offline_places', 'place_id', 'places'),
    sa.PrimaryKeyConstraint('place_id', name=op.f('pk_offline_places'))
    )
    op.create_table('redemption_receipts',
    sa.Column('external_id', sa.String(), nullable=False),
    sa.Column('request_hash', sa.LargeBinary(), nullable=False),
    sa.Column('redemption_id', sa.UUID(), nullable=True),
    sa.Column('answer', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    _tenant(),
    _merchant_key('redemption_receipts'),
    _key('redemption_receipts', 'redemption_id', 'redemptions'),
    sa.PrimaryKeyConstraint('merchant_id', 'external_id', name=op.f('pk_redemption_receipts'))
    )
    op.create_table('offline_scans',
    sa.Column('device_id', sa.UUID(), nullable=False),
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('scanned_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('synced_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('outcome', sa.String(32), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('first_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('holding_id', sa.UUID(), nullable=True),
    sa.Column('redemption_id', sa.UUID(), nullable=True),
    _tenant(),
    _merchant_key('offline_scans'),
    _key('offline_scans', 'device_id', 'scan_devices'),
    _key('offline_scans', 'holding_id', 'holdings'),
    _key('offline_scans', 'redemption_id', 'redemptions'),
    sa.PrimaryKeyConstraint('device_id', 'id', name=op.f('pk_offline_scans'))
    )
    op.create_index('ix_offline_scans_conflicts', 'offline_scans', ['merchant_id', 'synced_at'], postgresql_where=sa.text("outcome <> 'accepted'"))


def downgrade() -> None:
    for table in reversed(TENANT_TABLES):
        op.drop_table(table)
