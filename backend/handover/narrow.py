"""Label by label: the question that is left for the teacher, and both answers as one.

The student answers for the labels it holds, the teacher is asked about the others only. A narrower question has
another prompt: it is another teacher, with answers of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from handover.store.models import AspectRow


def narrowed(row: AspectRow, held: Collection[str]) -> AspectRow:
    """The aspect with the labels that the teacher still answers for. It belongs to no session and is never stored."""
    rest = [[name, hint] for name, hint in row.definition["labels"] if name not in held]
    return AspectRow(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        definition={**row.definition, "labels": rest},
        guidelines=row.guidelines,
        use_guidelines=row.use_guidelines,
        teacher_examples=row.teacher_examples,
    )


def digest_of(held: Collection[str]) -> str:
    """Names a set of labels in a version."""
    return hashlib.sha256("\n".join(sorted(held)).encode("utf-8", "surrogatepass")).hexdigest()[:6]
