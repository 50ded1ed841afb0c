"""provably fair draws, held by triggers, each read of a seed a row; digests that are anchored"""

from alembic import op
import sqlalchemy as sa

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None

_MERCHANT = "(nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
_TABLES = (
    'draws', 'draw_lines', 'draw_seeds', 'draw_seed_reads', 'draw_boxes', 'draw_openings',
    'draw_tickets', 'draw_places', 'draw_replacements', 'anchored_digests',
)

# A role may hold the right to update the row, and still not change what was promised, or take back
# what was published. States are in the order in which a draw goes through them.
_GUARD_DRAW = """
CREATE FUNCTION cohort_guard_draw() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    states text[] := ARRAY['committed', 'open', 'closed', 'drawn', 'revealed', 'void'];
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a draw is never deleted' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.id, NEW.merchant_id, NEW.campaign_id, NEW.mode, NEW.params, NEW.commitment,
        NEW.sealed_salt, NEW.boxes, NEW.draw_at, NEW.max_wins_per_user, NEW.reserves,
        NEW.beacon_chain_id, NEW.committed_at)
       IS DISTINCT FROM
       (OLD.id, OLD.merchant_id, OLD.campaign_id, OLD.mode, OLD.params, OLD.commitment,
        OLD.sealed_salt, OLD.boxes, OLD.draw_at, OLD.max_wins_per_user, OLD.reserves,
        OLD.beacon_chain_id, OLD.committed_at)
       OR (OLD.tickets_root IS NOT NULL AND NEW.tickets_root IS DISTINCT FROM OLD.tickets_root)
       OR (OLD.beacon_hash IS NOT NULL AND
           (NEW.beacon_number, NEW.beacon_hash, NEW.beacon_timestamp)
           IS DISTINCT FROM (OLD.beacon_number, OLD.beacon_hash, OLD.beacon_timestamp))
       OR (OLD.server_seed IS NOT NULL AND NEW.server_seed IS DISTINCT FROM OLD.server_seed)
       OR NEW.opened_count < OLD.opened_count OR NEW.handed_out_count < OLD.handed_out_count
       OR array_position(states, NEW.state::text) < array_position(states, OLD.state::text)
       OR (OLD.state IN ('revealed', 'void') AND NEW.state <> OLD.state)
    THEN
        RAISE EXCEPTION 'what a draw promised or published cannot change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""

_GUARD_LINE = """
CREATE FUNCTION cohort_guard_draw_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR
       (NEW.reward_line_id, NEW.merchant_id, NEW.draw_id, NEW.position, NEW.quantity)
       IS DISTINCT FROM
       (OLD.reward_line_id, OLD.merchant_id, OLD.draw_id, OLD.position, OLD.quantity)
    THEN
        RAISE EXCEPTION 'what a draw promised or published cannot change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""

# Owned by the migrating role: nobody else may read the table, so no read goes without its row.
_READ_SEED = """
CREATE FUNCTION cohort_read_draw_seed(draw uuid, purpose text, actor text) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    merchant uuid := nullif(current_setting('cohort.merchant_id', true), '')::uuid;
    found bytea;
BEGIN
    SELECT sealed INTO found FROM public.draw_seeds AS s
        WHERE s.draw_id = draw AND s.merchant_id = merchant;
    IF found IS NOT NULL THEN
        INSERT INTO public.draw_seed_reads (id, merchant_id, draw_id, purpose, actor, read_at)
            VALUES (public.cohort_new_id(), merchant, draw, purpose, actor, clock_timestamp());
    END IF;
    RETURN found;
END $$
"""


def _tenant() -> sa.Column:
    return sa.Column('merchant_id', sa.UUID(), server_default=sa.text(_MERCHANT), nullable=False)


def _key(table: str, column: str, target: str, of: str = 'id') -> sa.ForeignKeyConstraint:
    name = op.f(f'fk_{table}_{column}_{target}')
    return sa.ForeignKeyConstraint([column], [f'{target}.{of}'], name=name)


def _merchant_key(table: str) -> sa.ForeignKeyConstraint:
    return _key(table, 'merchant_id', 'merchants')


def _moment(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _make_draws()
    _make_entries()
    _make_results()
    op.create_table('anchored_digests',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('plan_id', sa.UUID(), nullable=True),
    _moment('requested_at'),
    _tenant(),
    _merchant_key('anchored_digests'),
    _key('anchored_digests', 'plan_id', 'plans'),
    sa.PrimaryKeyConstraint('merchant_id', 'digest', name=op.f('pk_anchored_digests'))
    )
    op.create_index('ix_anchored_digests_waiting', 'anchored_digests', ['merchant_id', 'requested_at'], postgresql_where=sa.text('plan_id IS NULL'))
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING "
            "(merchant_id = nullif(current_setting('cohort.merchant_id', true), '')::uuid)"
        )
    op.execute(_GUARD_DRAW)
    op.execute(_GUARD_LINE)
    op.execute(_READ_SEED)
    op.execute("REVOKE ALL ON FUNCTION cohort_read_draw_seed(uuid, text, text) FROM PUBLIC")
    for table, guard in (('draws', 'cohort_guard_draw'), ('draw_lines', 'cohort_guard_draw_line')):
        op.execute(
            f"CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {guard}()"
        )


def _make_draws() -> None:
    op.create_table('draws',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('campaign_id', sa.UUID(), nullable=True),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('mode', sa.String(32), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('params', sa.LargeBinary(), nullable=False),
    sa.Column('commitment', sa.LargeBinary(), nullable=False),
    sa.Column('sealed_salt', sa.LargeBinary(), nullable=False),
    sa.Column('boxes', sa.BigInteger(), nullable=True),
    _moment('draw_at', nullable=True),
    sa.Column('max_wins_per_user', sa.Integer(), nullable=True),
    sa.Column('reserves', sa.Integer(), nullable=False),
    sa.Column('beacon_chain_id', sa.BigInteger(), nullable=True),
    sa.Column('shows_odds', sa.Boolean(), nullable=False),
    sa.Column('handed_out_count', sa.BigInteger(), nullable=False),
    sa.Column('opened_count', sa.BigInteger(), nullable=False),
    sa.Column('log_end', sa.LargeBinary(), nullable=False),
    sa.Column('tickets_root', sa.LargeBinary(), nullable=True),
    sa.Column('beacon_number', sa.BigInteger(), nullable=True),
    sa.Column('beacon_hash', sa.LargeBinary(), nullable=True),
    sa.Column('beacon_timestamp', sa.BigInteger(), nullable=True),
    sa.Column('server_seed', sa.LargeBinary(), nullable=True),
    _moment('committed_at'),
    *(_moment(name, nullable=True) for name in ('ended_at', 'closed_at', 'drawn_at', 'revealed_at')),
    _tenant(),
    sa.CheckConstraint('handed_out_count <= boxes', name=op.f('ck_draws_handed_out')),
    sa.CheckConstraint('opened_count <= handed_out_count', name=op.f('ck_draws_opened')),
    sa.CheckConstraint("(server_seed IS NOT NULL) = (state = 'revealed')", name=op.f('ck_draws_secret')),
    sa.CheckConstraint("(mode = 'raffle') = (draw_at IS NOT NULL)", name=op.f('ck_draws_date')),
    _merchant_key('draws'),
    _key('draws', 'campaign_id', 'campaigns'),
    _key('draws', 'beacon_chain_id', 'chains'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_draws'))
    )
    op.create_index('ix_draws_list', 'draws', ['merchant_id', 'id'])
    op.create_index('ix_draws_moving', 'draws', ['state'], postgresql_where=sa.text("state NOT IN ('revealed', 'void')"))
    op.create_table('draw_lines',
    sa.Column('reward_line_id', sa.UUID(), nullable=False),
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('quantity', sa.BigInteger(), nullable=False),
    sa.Column('won_count', sa.BigInteger(), nullable=False),
    _tenant(),
    sa.CheckConstraint('quantity > 0', name=op.f('ck_draw_lines_quantity')),
    sa.CheckConstraint('won_count BETWEEN 0 AND quantity', name=op.f('ck_draw_lines_won')),
    _merchant_key('draw_lines'),
    _key('draw_lines', 'reward_line_id', 'reward_lines'),
    _key('draw_lines', 'draw_id', 'draws'),
    sa.PrimaryKeyConstraint('reward_line_id', name=op.f('pk_draw_lines')),
    sa.UniqueConstraint('draw_id', 'position', name=op.f('uq_draw_lines_draw_id_position'))
    )
    op.create_table('draw_seeds',
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    _tenant(),
    _merchant_key('draw_seeds'),
    _key('draw_seeds', 'draw_id', 'draws'),
    sa.PrimaryKeyConstraint('draw_id', name=op.f('pk_draw_seeds'))
    )
    op.create_table('draw_seed_reads',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('purpose', sa.String(), nullable=False),
    sa.Column('actor', sa.String(), nullable=False),
    _moment('read_at'),
    _tenant(),
    _merchant_key('draw_seed_reads'),
    _key('draw_seed_reads', 'draw_id', 'draws'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_draw_seed_reads'))
    )
    op.create_index('ix_draw_seed_reads_draw', 'draw_seed_reads', ['draw_id', 'id'])


def _make_entries() -> None:
    op.create_table('draw_boxes',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('source_id', sa.UUID(), nullable=False),
    sa.Column('ordinal', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    _moment('handed_out_at'),
    _tenant(),
    _merchant_key('draw_boxes'),
    _key('draw_boxes', 'draw_id', 'draws'),
    _key('draw_boxes', 'user_id', 'users'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_draw_boxes')),
    sa.UniqueConstraint('draw_id', 'source_id', 'user_id', 'ordinal', name=op.f('uq_draw_boxes_draw_id_source_id_user_id_ordinal'))
    )
    op.create_index('ix_draw_boxes_owner', 'draw_boxes', ['user_id', 'id'])
    op.create_index('ix_draw_boxes_sealed', 'draw_boxes', ['draw_id', 'id'], postgresql_where=sa.text("state = 'sealed'"))
    op.create_table('draw_openings',
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('box_id', sa.UUID(), nullable=False),
    sa.Column('client_nonce', sa.LargeBinary(), nullable=False),
    sa.Column('flag', sa.String(), nullable=True),
    sa.Column('line_id', sa.UUID(), nullable=True),
    sa.Column('previous_hash', sa.LargeBinary(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('unclaimed', sa.String(), nullable=True),
    _moment('opened_at'),
    _tenant(),
    sa.CheckConstraint('number > 0', name=op.f('ck_draw_openings_number')),
    _merchant_key('draw_openings'),
    _key('draw_openings', 'draw_id', 'draws'),
    _key('draw_openings', 'box_id', 'draw_boxes'),
    _key('draw_openings', 'line_id', 'draw_lines', 'reward_line_id'),
    sa.PrimaryKeyConstraint('draw_id', 'number', name=op.f('pk_draw_openings')),
    sa.UniqueConstraint('box_id', name=op.f('uq_draw_openings_box_id'))
    )
    op.create_table('draw_tickets',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('tag', sa.LargeBinary(), nullable=False),
    sa.Column('user_id', sa.UUID(), nullable=False),
    sa.Column('source_id', sa.UUID(), nullable=False),
    sa.Column('ordinal', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    _moment('registered_at'),
    _tenant(),
    sa.CheckConstraint('seq > 0', name=op.f('ck_draw_tickets_seq')),
    _merchant_key('draw_tickets'),
    _key('draw_tickets', 'draw_id', 'draws'),
    _key('draw_tickets', 'user_id', 'users'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_draw_tickets')),
    sa.UniqueConstraint('draw_id', 'seq', name=op.f('uq_draw_tickets_draw_id_seq')),
    sa.UniqueConstraint('draw_id', 'source_id', 'user_id', 'ordinal', name=op.f('uq_draw_tickets_draw_id_source_id_user_id_ordinal'))
    )
    op.create_index('ix_draw_tickets_owner', 'draw_tickets', ['user_id', 'id'])


def _make_results() -> None:
    op.create_table('draw_places',
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('ticket_id', sa.UUID(), nullable=False),
    sa.Column('line_id', sa.UUID(), nullable=True),
    _tenant(),
    _merchant_key('draw_places'),
    _key('draw_places', 'draw_id', 'draws'),
    _key('draw_places', 'ticket_id', 'draw_tickets'),
    _key('draw_places', 'line_id', 'draw_lines', 'reward_line_id'),
    sa.PrimaryKeyConstraint('draw_id', 'number', name=op.f('pk_draw_places')),
    sa.UniqueConstraint('ticket_id', name=op.f('uq_draw_places_ticket_id'))
    )
    op.create_table('draw_replacements',
    sa.Column('draw_id', sa.UUID(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('out_id', sa.UUID(), nullable=False),
    sa.Column('by_id', sa.UUID(), nullable=True),
    sa.Column('line_id', sa.UUID(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    _moment('replaced_at'),
    _tenant(),
    _merchant_key('draw_replacements'),
    _key('draw_replacements', 'draw_id', 'draws'),
    _key('draw_replacements', 'out_id', 'draw_tickets'),
    _key('draw_replacements', 'by_id', 'draw_tickets'),
    _key('draw_replacements', 'line_id', 'draw_lines', 'reward_line_id'),
    sa.PrimaryKeyConstraint('draw_id', 'number', name=op.f('pk_draw_replacements')),
    *(
        sa.UniqueConstraint(it, name=op.f(f'uq_draw_replacements_{it}'))
        for it in ('out_id', 'by_id')
    ),
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.execute("DROP FUNCTION cohort_read_draw_seed(uuid, text, text)")
    op.execute("DROP FUNCTION cohort_guard_draw()")
    op.execute("DROP FUNCTION cohort_guard_draw_line()")
