"""lanes that know where they live, and what a restored one learns from the chain"""

from alembic import op
import sqlalchemy as sa

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

# The cluster, its timeline (another one after a failover or a recovery to a point in time), the
# database and the table (another one after a dump was loaded). A service that hides the cluster
# leaves database and table.
_HOME = """
CREATE FUNCTION cohort_home() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    place text := concat_ws(
        '/',
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        'public.lanes'::regclass::oid
    );
BEGIN
    RETURN concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        place
    );
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_function THEN
    RETURN place;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_HOME)
    op.add_column(
        'lanes', sa.Column('base_block', sa.BigInteger(), nullable=False, server_default='0')
    )
    op.alter_column('lanes', 'base_block', server_default=None)
    # Lanes that exist are taken to be at home.
    op.add_column(
        'lanes', sa.Column('home', sa.String(), nullable=True, server_default=sa.text('cohort_home()'))
    )
    op.create_table(
        'recoveries',
        sa.Column('lane_id', sa.UUID(), nullable=False),
        sa.Column('first_nonce', sa.BigInteger(), nullable=False),
        sa.Column('target', sa.BigInteger(), nullable=False),
        sa.Column('next_block', sa.BigInteger(), nullable=False),
        *_tenant('recoveries'),
        sa.ForeignKeyConstraint(['lane_id'], ['lanes.id'], name=op.f('fk_recoveries_lane_id_lanes')),
        sa.PrimaryKeyConstraint('lane_id', name=op.f('pk_recoveries')),
    )
    op.create_table(
        'sightings',
        sa.Column('lane_id', sa.UUID(), nullable=False),
        sa.Column('nonce', sa.BigInteger(), nullable=False),
        sa.Column('tx_hash', sa.LargeBinary(), nullable=False),
        sa.Column('raw', sa.LargeBinary(), nullable=False),
        *_tenant('sightings'),
        sa.ForeignKeyConstraint(['lane_id'], ['lanes.id'], name=op.f('fk_sightings_lane_id_lanes')),
        sa.PrimaryKeyConstraint('lane_id', 'nonce', name=op.f('pk_sightings')),
    )
    for table in ('recoveries', 'sightings'):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING (merchant_id = "
            "nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def _tenant(table: str) -> tuple[sa.Column, sa.ForeignKeyConstraint]:
    return (
        sa.Column(
            'merchant_id',
            sa.UUID(),
            server_default=sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ['merchant_id'], ['merchants.id'], name=op.f(f'fk_{table}_merchant_id_merchants')
        ),
    )


def downgrade() -> None:
    op.drop_table('sightings')
    op.drop_table('recoveries')
    op.drop_column('lanes', 'home')
    op.drop_column('lanes', 'base_block')
    op.execute("DROP FUNCTION cohort_home()")
