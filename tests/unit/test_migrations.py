"""Migrations keep the rows of older databases."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import AnnotationRow, AspectRow, DecisionRow
from handover.store.students import switches_of

OLD_ROWS = """
INSERT INTO projects (id, ls_id, title, label_config, guidelines, sampling, options, live_version, created_at,
  updated_at)
  VALUES (1, 7, 't', '', '', '', '{}', '', '2026-01-01', '2026-01-01');
INSERT INTO aspects (id, project_id, name, definition, active, position, server, teacher_id, live_version,
  trained_revision, attempted_revision, created_at, updated_at)
  VALUES (1, 1, 'stage', '{}', true, 0, 'student', 't1', '', 42, 42, '2026-01-01', '2026-01-01');
INSERT INTO decisions (id, aspect_id, teacher_id, outcome, reason, actor, n, planned, alpha, details, created_at) VALUES
  (1, 1, 't1', 'need_more', 'a', 'gate', 5, 90, 0.0, '{}', '2026-01-01'),
  (2, 1, 't1', 'promote', 'b', 'gate', 50, 90, 0.01, '{}', '2026-01-02'),
  (3, 1, 't1', 'promote', 'c', 'gate', 60, 90, 0.0, '{}', '2026-01-03');
INSERT INTO tasks (id, project_id, ls_id, data, text_key, group_key, split, deleted, created_at, pushed_version)
  VALUES (1, 1, 5, '{}', '', '', 'gold', false, '2026-01-01', '');
INSERT INTO annotations (id, project_id, task_id, ls_id, result, was_cancelled, ground_truth, imported, ls_updated_at,
  deleted, revision) VALUES (1, 1, 1, 9, '[]', false, false, false, '2026-01-01', false, 3);
"""


def test_migrations_keep_decisions_and_say_which_of_them_handed_over(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade(database, revision="0001")
    with database.write() as session:
        for statement in OLD_ROWS.strip().split(";\n"):
            session.execute(text(statement.rstrip(";")))
    upgrade(database)
    with database.read() as session:
        assert [(d.actor, d.applied, d.mark) for d in session.query(DecisionRow).order_by(DecisionRow.id)] == [
            ("gate", False, 42),
            ("gate", True, 42),
            ("dev", True, 42),
        ]
        assert [d.id for d in switches_of(session, 1)] == [2], "one student in place of another is no handover"
        aspect = session.query(AspectRow).one()
        assert (aspect.server, aspect.pinned, aspect.looked_revision) == ("student", False, 0)
        annotation = session.query(AnnotationRow).one()
        assert (annotation.parent_version, annotation.parent_result) == ("", None)
    database.close()
