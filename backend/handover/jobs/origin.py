"""The student from whose weights the next training may go on, instead of starting anew."""

from __future__ import annotations

from handover.errors import ArtifactError
from handover.runtime import Runtime
from handover.store.models import AspectRow, StudentRow
from handover.store.projects import aspect_of
from handover.store.students import students_of
from handover.student.recipes import GO_ON
from handover.student.training_set import Origin

ANEW = 2.0
"""A training starts anew when it has so many times the texts of the last one that did: a network that only ever goes
on ends up worse than one that starts with all the data (Ash and Adams, On Warm-Starting Neural Network Training,
2020)."""


def find_origin(runtime: Runtime, row: AspectRow, n_train: int) -> Origin | None:
    """The newest student with fewer train texts than now, if its recipe may go on and it learned from people alone.

    Not one with as many: training twice on the same data shall give the same student. None where `n_train` is below
    HANDOVER_WARM_FROM, the labels changed, the data doubled, or its files are gone.
    """
    if not runtime.settings.warm_from or n_train < runtime.settings.warm_from:
        return None
    with runtime.database.read() as session:
        earlier = next((s for s in students_of(session, row.id) if s.n_train < n_train), None)
    if earlier is None or not _may_go_on(earlier, row) or n_train >= ANEW * trained_anew(earlier):
        return None
    try:
        path = runtime.artifacts.fetch(earlier.version)
    except ArtifactError:
        return None
    return Origin(path, earlier.version, earlier.recipe, trained_anew(earlier))


def trained_anew(student: StudentRow) -> int:
    """The train texts of the last training that started anew, of those this student comes from."""
    origin = student.report.get("origin")
    return int(origin["trained_anew"]) if origin else student.n_train


def _may_go_on(student: StudentRow, row: AspectRow) -> bool:
    same_labels = student.report.get("labels") == list(aspect_of(row).label_names)
    return same_labels and not student.used_silver and student.recipe in GO_ON
