"""Decisions after the handover: who decided, what a pin withheld, what was found out; what annotators started from."""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    # The default of a truth value is the text '0', which both databases read: for sa.false() Alembic would make SQLite's
    # tables anew, and dropping the old ones drops all rows that refer to them.
    with op.batch_alter_table('aspects', schema=None) as batch_op:
        batch_op.add_column(sa.Column('looked_revision', sa.Integer(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('pinned', sa.Boolean(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('threshold', sa.Double(), nullable=True))
        batch_op.add_column(sa.Column('live_threshold', sa.Double(), nullable=True))
        batch_op.add_column(sa.Column('held', sa.JSON(), nullable=False, server_default='[]'))
        batch_op.add_column(sa.Column('live_held', sa.JSON(), nullable=False, server_default='[]'))
        batch_op.add_column(sa.Column('live_teacher_id', sa.Text(), nullable=False, server_default=''))

    with op.batch_alter_table('decisions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('author', sa.Text(), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('applied', sa.Boolean(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('mark', sa.Integer(), nullable=False, server_default='0'))
    # What replaced one student by another cost nothing of the gate's error budget; it has an actor of its own now.
    op.execute(sa.text("UPDATE decisions SET actor = 'dev' WHERE outcome = 'promote' AND alpha = 0"))
    # Until now a promotion always took effect, and gold up to the last training at the latest had chosen the student.
    op.execute(sa.text("UPDATE decisions SET applied = (outcome = 'promote')"))
    trained = "SELECT aspects.trained_revision FROM aspects WHERE aspects.id = decisions.aspect_id"
    op.execute(sa.text(f"UPDATE decisions SET mark = ({trained})"))

    with op.batch_alter_table('annotations', schema=None) as batch_op:
        batch_op.add_column(sa.Column('parent_version', sa.Text(), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('parent_result', sa.JSON(), nullable=True))

    op.create_table('findings',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('aspect_id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('is_warning', sa.Boolean(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('details', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['aspect_id'], ['aspects.id'], name=op.f('fk_findings_aspect_id_aspects'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_findings'))
    )
    with op.batch_alter_table('findings', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_findings_aspect_id'), ['aspect_id'], unique=False)


def downgrade() -> None:
    op.drop_table('findings')
    op.drop_column('annotations', 'parent_result')
    op.drop_column('annotations', 'parent_version')
    # Not in a batch: on SQLite that would make the tables anew, and dropping the old ones drops what refers to them.
    for column in ('mark', 'applied', 'author'):
        op.drop_column('decisions', column)
    for column in ('live_teacher_id', 'live_held', 'held', 'live_threshold', 'threshold', 'pinned', 'looked_revision'):
        op.drop_column('aspects', column)
