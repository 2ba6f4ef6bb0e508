"""Examples and guidelines of a teacher."""

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    op.create_table('teacher_examples',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('aspect_id', sa.Integer(), nullable=False),
    sa.Column('task_id', sa.Integer(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('wanted', sa.Integer(), nullable=False),
    sa.Column('text_field', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('text_key', sa.Text(), nullable=False),
    sa.Column('annotation', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['aspect_id'], ['aspects.id'], name=op.f('fk_teacher_examples_aspect_id_aspects'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['task_id'], ['tasks.id'], name=op.f('fk_teacher_examples_task_id_tasks'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_teacher_examples')),
    sa.UniqueConstraint('aspect_id', 'position', name=op.f('uq_teacher_examples_aspect_id_position'))
    )
    with op.batch_alter_table('teacher_examples', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_teacher_examples_aspect_id'), ['aspect_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_teacher_examples_task_id'), ['task_id'], unique=False)

    # Not as a batch: SQLite would copy the table, and dropping the old one takes the rows that refer to it along.
    op.add_column('aspects', sa.Column('guidelines', sa.Text(), nullable=False, server_default=''))
    op.add_column('aspects', sa.Column('use_guidelines', sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column('aspects', sa.Column('teacher_examples', sa.Integer(), nullable=True))

    with op.batch_alter_table('tasks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_tasks_group_key'), ['group_key'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('tasks', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_tasks_group_key'))

    for column in ('teacher_examples', 'use_guidelines', 'guidelines'):
        op.drop_column('aspects', column)

    op.drop_table('teacher_examples')