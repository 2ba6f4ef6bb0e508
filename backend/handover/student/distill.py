"""Cascaded distillation: the most accurate candidate answers for the pool, and small ones learn from its answers.

Its answers are easier to learn than the teacher's: they follow people's corrections, and they are consistent. (A
model between a large teacher and a small student: Mirzadeh et al., Improved Knowledge Distillation via Teacher
Assistant, 2020.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from handover.domain import Aspect, Kind
from handover.student.candidates import Budget, Candidate
from handover.student.pipeline import predict
from handover.student.recipes import short_name
from handover.student.training_set import LabelledText

if TYPE_CHECKING:
    from spacy.language import Language

ASSISTANTS = ("head", "transformer")
"""Recipes whose answers are worth learning from, by the end of their name."""


MIN_CHANGED = 0.02
"""Share of the pool's answers that have to change: a candidate that has learned silver by heart has nothing to add."""


def worth_asking(candidates: Sequence[Candidate], budget: Budget, *, has_silver: bool) -> Candidate | None:
    """The candidate to learn from: the best of the large ones, if it beats the small ones within the budget on dev
    and there is a pool to answer for."""
    large = [c for c in candidates if short_name(c.run.recipe) in ASSISTANTS]
    small = [c for c in candidates if c not in large and budget.allows(c.cost)]
    if not (large and small and has_silver):
        return None
    best = max(large, key=lambda c: c.dev_score)
    return best if best.dev_score > max(c.dev_score for c in small) else None


def relabel(aspect: Aspect, pool: Sequence[LabelledText], nlp: Language) -> tuple[LabelledText, ...]:
    """The texts of a pool with a pipeline's answers; a choice without one is left out."""
    answers = predict(nlp, [e.text for e in pool], aspect)
    labelled = (replace(e, annotation=a.annotation) for e, a in zip(pool, answers, strict=True))
    return tuple(e for e in labelled if aspect.kind is not Kind.CHOICE or e.annotation.cats)


def differs(pool: Sequence[LabelledText], answers: Sequence[LabelledText]) -> bool:
    """Whether the answers say something that the pool does not say already."""
    known = {e.text: e.annotation for e in pool}
    return sum(known[e.text] != e.annotation for e in answers) >= MIN_CHANGED * len(pool)
