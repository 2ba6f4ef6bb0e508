"""The tables before examples and guidelines of an aspect, with rows in them, brought up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import AspectRow, TaskRow


def test_migration_0005_keeps_the_rows(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade(database, revision="0002")
    now = "2026-01-01 00:00:00"
    with database.write() as session:
        session.execute(
            text(
                "INSERT INTO projects (id, ls_id, title, label_config, guidelines, sampling, options, live_version, "
                f"created_at, updated_at) VALUES (1, 7, 'Old', '', 'Rules.', '', '{{}}', '', '{now}', '{now}')"
            )
        )
        session.execute(
            text(
                "INSERT INTO aspects (id, project_id, name, definition, active, position, server, teacher_id, "
                "live_version, trained_revision, attempted_revision, created_at, updated_at) VALUES "
                f"(3, 1, 'stage', '{{}}', 1, 0, 'teacher', 't', 'v', 5, 5, '{now}', '{now}')"
            )
        )
        session.execute(
            text(
                "INSERT INTO tasks (id, project_id, ls_id, data, text_key, group_key, split, deleted, created_at, "
                f"pushed_version) VALUES (4, 1, 9, '{{}}', 'k', 'g', 'train', 0, '{now}', '')"
            )
        )
    upgrade(database)
    with database.read() as session:
        aspect, task = session.get_one(AspectRow, 3), session.get_one(TaskRow, 4)
    database.close()
    assert (aspect.name, aspect.trained_revision, task.group_key) == ("stage", 5, "g")
    assert (aspect.guidelines, aspect.use_guidelines, aspect.teacher_examples) == ("", True, None)
