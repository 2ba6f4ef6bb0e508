"""How far jobs are, in words; what killed trainings leave behind."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from handover.commands.jobs import list_jobs
from handover.jobs.retrain import remove_workdirs, time_left
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.columns import utcnow
from handover.store.models import JobRow, ProjectRow
from handover.store.projects import aspects_of

TRAINING = {
    "phase": "training",
    "recipe": "choice-cnn",
    "silver": True,
    "candidate": 3,
    "candidates": 4,
    "epoch": 2,
    "step": 100,
    "max_steps": 800,
    "score": 0.8125,
    "loss": 1.5,
    "seconds": 30.0,
    "seconds_left": 95.0,
}


def test_jobs_are_listed_with_their_progress(database, project: ProjectRow, settings: Settings) -> None:
    now = utcnow()
    with database.write() as session:
        (aspect,) = aspects_of(session, project.id)
        for number, (kind, subject, status, progress, error) in enumerate(
            [
                ("retrain", aspect.id, "started", TRAINING, ""),
                ("forecast", aspect.id, "queued", {}, ""),
                ("refresh", project.id, "started", {"pushed": 20, "of": 50}, ""),
                ("retrain", 99, "canceled", TRAINING, "Canceled."),
                ("reconcile", project.id, "failed", {}, "Label Studio is away."),
            ]
        ):
            session.add(
                JobRow(
                    id=f"job-{number}", kind=kind, subject_id=subject, status=status, progress=progress, error=error,
                    enqueued_at=now - timedelta(seconds=number), started_at=now - timedelta(seconds=75),
                    ended_at=None if status in ("started", "queued") else now - timedelta(seconds=70),
                )
            )  # fmt: skip
    runtime = Runtime(settings)
    lines = list_jobs(runtime)
    runtime.close()
    assert lines == [
        "job-0: started, retrain of aspect stage, for 1 min 15 s, choice-cnn with silver (3 of 4), "
        "epoch 2, step 100, 0.812 on dev, at most 1 min 35 s left",
        "job-1: queued, forecast of aspect stage, for 1 min 15 s",
        "job-2: started, refresh of project 7, for 1 min 15 s, pushed 20, of 50",
        "job-3: canceled, retrain of aspect 99, took 5 s",
        "job-4: failed, reconcile of project 7, took 5 s, Label Studio is away.",
    ]


def test_time_left_counts_the_candidates() -> None:
    info = {"candidate": 3, "candidates": 4, "step": 0, "max_steps": 800}
    assert time_left(info, 60.0) == {"seconds": 60.0, "seconds_left": 60.0 * 2 / 2}
    assert time_left({**info, "step": 800}, 60.0) == {"seconds": 60.0, "seconds_left": 20.0}
    assert time_left({**info, "candidate": 1}, 1.0) == {"seconds": 1.0}


def test_remove_workdirs_of_trainings_that_were_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("handover-train-old", "handover-train-young", "another-old"):
        (tmp_path / name / "data").mkdir(parents=True)
    for name in ("handover-train-old", "another-old"):
        os.utime(tmp_path / name, (0, 0))
    remove_workdirs(older_than=3600)
    assert {path.name for path in tmp_path.iterdir()} == {"handover-train-young", "another-old"}
