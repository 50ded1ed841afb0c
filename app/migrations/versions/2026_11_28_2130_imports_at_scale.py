"""imports in columns, their undo rows and memory; exports; no pass and no wallet with an import"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

TENANT_TABLES = ("import_changes", "import_conflicts", "import_mappings", "exports")
MERCHANT = sa.text("(nullif(current_setting('cohort.merchant_id', true), '')::uuid)")


def merchant_column() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=MERCHANT, nullable=False)


def merchant_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ['merchant_id'], ['merchants.id'], name=op.f(f'fk_{table}_merchant_id_merchants')
    )


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint('fk_users_last_import_id_imports', 'users', type_='foreignkey')
    op.drop_column('users', 'last_import_id')
    # Files of imports that were begun are read by position of rows, which are not known any more.
    op.execute(
        "UPDATE imports SET state = 'failed', finished_at = now(), failure = 'The import was begun"
        " by an earlier version. Upload the file again; nobody is imported twice.'"
        " WHERE state NOT IN ('completed', 'completed_with_errors', 'failed')"
    )
    op.add_column('imports', sa.Column('layout', postgresql.JSONB(), nullable=True))
    for name in ('samples', 'options'):
        empty = sa.text("'[]'" if name == 'samples' else "'{}'")
        op.add_column('imports', sa.Column(name, postgresql.JSONB(), nullable=False, server_default=empty))
        op.alter_column('imports', name, server_default=None)
    op.add_column('imports', sa.Column('list_id', sa.UUID(), nullable=True))
    op.create_foreign_key(op.f('fk_imports_list_id_lists'), 'imports', 'lists', ['list_id'], ['id'])
    op.add_column('imports', sa.Column('is_surveyed', sa.Boolean(), nullable=False, server_default=sa.true()))
    op.alter_column('imports', 'is_surveyed', server_default=None)
    for name in ('surveyed_count', 'byte_count', 'next_byte', 'next_line', 'done_count'):
        op.add_column('imports', sa.Column(name, sa.BigInteger(), nullable=False, server_default='0'))
        op.alter_column('imports', name, server_default=None)
    for name in ('listed_count', 'conflict_count'):
        op.add_column('imports', sa.Column(name, sa.Integer(), nullable=False, server_default='0'))
        op.alter_column('imports', name, server_default=None)
    op.execute("UPDATE imports SET done_count = next_row")
    op.alter_column('imports', 'row_count', type_=sa.BigInteger())
    op.add_column('imports', sa.Column('preview', postgresql.JSONB(), nullable=True))
    op.add_column('imports', sa.Column('resumed_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('imports', sa.Column('undone_at', sa.DateTime(timezone=True), nullable=True))
    op.drop_column('imports', 'next_row')
    op.alter_column('import_refusals', 'line', type_=sa.BigInteger())
    op.add_column('import_refusals', sa.Column('position', sa.Integer(), nullable=True))
    op.add_column('import_refusals', sa.Column('hint', sa.String(), nullable=True))
    op.create_table('import_changes',
    merchant_column(),
    sa.Column('import_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('changes', postgresql.JSONB(none_as_null=True), nullable=True),
    sa.PrimaryKeyConstraint('import_id', 'user_id', name=op.f('pk_import_changes'))
    )
    op.create_table('import_conflicts',
    sa.Column('import_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('field', sa.String(), nullable=False),
    sa.Column('before', sa.String(), nullable=True),
    sa.Column('imported', sa.String(), nullable=True),
    sa.Column('now', sa.String(), nullable=True),
    merchant_column(),
    sa.ForeignKeyConstraint(['import_id'], ['imports.id'], name=op.f('fk_import_conflicts_import_id_imports')),
    merchant_key('import_conflicts'),
    sa.PrimaryKeyConstraint('import_id', 'user_id', 'field', name=op.f('pk_import_conflicts'))
    )
    op.create_table('import_mappings',
    sa.Column('signature', sa.String(), nullable=False),
    sa.Column('mapping', postgresql.JSONB(), nullable=False),
    sa.Column('options', postgresql.JSONB(), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=False),
    merchant_column(),
    merchant_key('import_mappings'),
    sa.PrimaryKeyConstraint('merchant_id', 'signature', name=op.f('pk_import_mappings'))
    )
    op.create_table('exports',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('kind', sa.String(32), nullable=False),
    sa.Column('format', sa.String(32), nullable=False),
    sa.Column('options', postgresql.JSONB(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('row_count', sa.BigInteger(), nullable=False),
    sa.Column('done_count', sa.BigInteger(), nullable=False),
    sa.Column('next_id', sa.UUID(), nullable=True),
    sa.Column('byte_count', sa.BigInteger(), nullable=False),
    sa.Column('failure', sa.String(), nullable=True),
    sa.Column('actor', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    merchant_column(),
    sa.Column('version', sa.Integer(), nullable=False),
    merchant_key('exports'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_exports'))
    )
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )


def downgrade() -> None:
    for table in TENANT_TABLES:
        op.drop_table(table)
    op.drop_column('import_refusals', 'hint')
    op.drop_column('import_refusals', 'position')
    op.add_column('imports', sa.Column('next_row', sa.Integer(), nullable=False, server_default='0'))
    op.alter_column('imports', 'next_row', server_default=None)
    op.execute("UPDATE imports SET next_row = done_count")
    for name in (
        'undone_at', 'resumed_at', 'preview', 'conflict_count', 'listed_count', 'done_count',
        'next_line', 'next_byte', 'byte_count', 'surveyed_count', 'is_surveyed', 'list_id',
        'options', 'samples', 'layout',
    ):
        op.drop_column('imports', name)
    op.alter_column('imports', 'row_count', type_=sa.Integer())
    op.alter_column('import_refusals', 'line', type_=sa.Integer())
    op.add_column('users', sa.Column('last_import_id', sa.UUID(), nullable=True))
    op.create_foreign_key('fk_users_last_import_id_imports', 'users', 'imports', ['last_import_id'], ['id'])
