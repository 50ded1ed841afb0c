"""columns of the user list, conversions of properties, merges, erasures, subject exports"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

TENANT_TABLES = ("erasures", "property_conversions", "subject_exports", "user_columns")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table('user_columns',
    sa.Column('member_id', sa.UUID(), nullable=False),
    sa.Column('keys', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"), nullable=False),
    sa.ForeignKeyConstraint(['member_id'], ['team_members.id'], name=op.f('fk_user_columns_member_id_team_members')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_user_columns_merchant_id_merchants')),
    sa.PrimaryKeyConstraint('merchant_id', 'member_id', name=op.f('pk_user_columns'))
    )
    op.create_table('property_conversions',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('property_id', sa.UUID(), nullable=False),
    sa.Column('kind', sa.String(32), nullable=False),
    sa.Column('with_time', sa.Boolean(), nullable=False),
    sa.Column('options', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('slot', sa.Integer(), nullable=True),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('next_user_id', sa.UUID(), nullable=True),
    sa.Column('user_count', sa.Integer(), nullable=False),
    sa.Column('value_count', sa.Integer(), nullable=False),
    sa.Column('seen_count', sa.Integer(), nullable=False),
    sa.Column('converted_count', sa.Integer(), nullable=False),
    sa.Column('failed_count', sa.Integer(), nullable=False),
    sa.Column('failing', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_property_conversions_merchant_id_merchants')),
    sa.ForeignKeyConstraint(['property_id'], ['properties.id'], name=op.f('fk_property_conversions_property_id_properties'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_property_conversions'))
    )
    op.create_index('uq_property_conversions_open', 'property_conversions', ['property_id'], unique=True, postgresql_where=sa.text("state IN ('counting', 'previewed', 'running')"))
    op.create_table('erasures',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cancelled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('erased_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('keys_destroyed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_erasures_merchant_id_merchants')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_erasures_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_erasures'))
    )
    op.create_index('uq_erasures_open', 'erasures', ['user_id'], unique=True, postgresql_where=sa.text('cancelled_at IS NULL AND erased_at IS NULL'))
    op.create_table('subject_exports',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merchant_id', sa.UUID(), server_default=sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_subject_exports_merchant_id_merchants')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_subject_exports_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_subject_exports'))
    )
    op.create_index(op.f('ix_subject_exports_user_id'), 'subject_exports', ['user_id'], unique=False)
    op.add_column('users', sa.Column('merged_into_id', sa.UUID(), nullable=True))
    op.create_index('ix_users_country', 'users', ['merchant_id', 'country', 'id'], unique=False, postgresql_where=sa.text('country IS NOT NULL'))
    op.create_index('ix_users_email_verified_at', 'users', ['merchant_id', 'email_verified_at', 'id'], unique=False, postgresql_where=sa.text('email_verified_at IS NOT NULL'))
    op.create_index('ix_users_first_key', 'users', ['merchant_id', 'first_key', 'id'], unique=False, postgresql_where=sa.text('first_key IS NOT NULL'))
    op.create_index('ix_users_lang', 'users', ['merchant_id', 'lang', 'id'], unique=False, postgresql_where=sa.text('lang IS NOT NULL'))
    op.create_index('ix_users_last_seen_at', 'users', ['merchant_id', 'last_seen_at', 'id'], unique=False, postgresql_where=sa.text('last_seen_at IS NOT NULL'))
    op.create_index('ix_users_mail_status', 'users', ['merchant_id', 'mail_status', 'id'], unique=False)
    op.create_index('ix_users_merged', 'users', ['merged_into_id'], unique=False, postgresql_where=sa.text('merged_into_id IS NOT NULL'))
    op.create_index('ix_users_phone', 'users', ['merchant_id', 'phone', 'id'], unique=False, postgresql_where=sa.text('phone IS NOT NULL'))
    op.create_index('ix_users_source', 'users', ['merchant_id', 'source', 'id'], unique=False)
    op.create_index('ix_users_state', 'users', ['merchant_id', 'state', 'id'], unique=False)
    op.create_index('ix_users_time_zone', 'users', ['merchant_id', 'time_zone', 'id'], unique=False, postgresql_where=sa.text('time_zone IS NOT NULL'))
    op.create_foreign_key(op.f('fk_users_merged_into_id_users'), 'users', 'users', ['merged_into_id'], ['id'])
    op.add_column('wallets', sa.Column('destroyed_at', sa.DateTime(timezone=True), nullable=True))
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    op.drop_column('wallets', 'destroyed_at')
    op.drop_constraint(op.f('fk_users_merged_into_id_users'), 'users', type_='foreignkey')
    op.drop_index('ix_users_time_zone', table_name='users', postgresql_where=sa.text('time_zone IS NOT NULL'))
    op.drop_index('ix_users_state', table_name='users')
    op.drop_index('ix_users_source', table_name='users')
    op.drop_index('ix_users_phone', table_name='users', postgresql_where=sa.text('phone IS NOT NULL'))
    op.drop_index('ix_users_merged', table_name='users', postgresql_where=sa.text('merged_into_id IS NOT NULL'))
    op.drop_index('ix_users_mail_status', table_name='users')
    op.drop_index('ix_users_last_seen_at', table_name='users', postgresql_where=sa.text('last_seen_at IS NOT NULL'))
    op.drop_index('ix_users_lang', table_name='users', postgresql_where=sa.text('lang IS NOT NULL'))
    op.drop_index('ix_users_first_key', table_name='users', postgresql_where=sa.text('first_key IS NOT NULL'))
    op.drop_index('ix_users_email_verified_at', table_name='users', postgresql_where=sa.text('email_verified_at IS NOT NULL'))
    op.drop_index('ix_users_country', table_name='users', postgresql_where=sa.text('country IS NOT NULL'))
    op.drop_column('users', 'merged_into_id')
    op.drop_index(op.f('ix_subject_exports_user_id'), table_name='subject_exports')
    op.drop_table('subject_exports')
    op.drop_index('uq_erasures_open', table_name='erasures', postgresql_where=sa.text('cancelled_at IS NULL AND erased_at IS NULL'))
    op.drop_table('erasures')
    op.drop_index('uq_property_conversions_open', table_name='property_conversions', postgresql_where=sa.text("state IN ('counting', 'previewed', 'running')"))
    op.drop_table('property_conversions')
    op.drop_table('user_columns')
