"""Label by label: the student answers for the labels it has won, the teacher for the rest.

Every label is judged by the gate on its own counts. The error rate of one look is shared among the labels by the
method of Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure: the chance that any label is handed
over wrongly stays within it, however the labels depend on each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from handover.domain import Annotation, Decision, Kind, Outcome, Span
from handover.evaluation.gate import judge
from handover.evaluation.scores import Counts, counts, metric

KINDS = (Kind.CHOICES, Kind.ENTITIES, Kind.SPANS)
"""Kinds whose labels can be answered for by themselves. A `choice` has one answer, relations need their spans."""


@dataclass(frozen=True)
class LabelsDecision:
    """The decision for each label, and what both make together.

    `won` are the labels that the student takes over now, without those it holds already. `teacher_score` and
    `combined_score` are the metric over all labels, of the teacher alone and of both merged (the student with
    the labels it holds and has won), counted once on the merged annotations.
    """

    decisions: Mapping[str, Decision]
    won: tuple[str, ...]
    teacher_score: float
    combined_score: float
    reason: str = ""


@dataclass(frozen=True)
class _Gold:
    """The gold documents and how to judge on them."""

    kind: Kind
    references: Sequence[Annotation]
    teacher: Sequence[Annotation | None]
    student: Sequence[Annotation | None]
    options: Mapping[str, object] = field(default_factory=dict)

    def tables(self, label: str) -> tuple[Counts, Counts]:
        """The student's and the teacher's counts of one label."""
        student = counts(self.kind, (label,), self.references, self.student)
        return student, counts(self.kind, (label,), self.references, self.teacher)

    def judge(self, label: str, alpha: float) -> Decision:
        decision = judge(self.kind, *self.tables(label), alpha=alpha, **self.options)  # type: ignore[arg-type]
        return replace(decision, reason=f"Label {label}: {decision.reason}")

    def value(self, labels: Collection[str], predictions: Sequence[Annotation | None]) -> float:
        return float(metric(self.kind, counts(self.kind, labels, self.references, predictions).sum(axis=0)))


def decide_per_label(
    kind: Kind,
    references: Sequence[Annotation],
    teacher: Sequence[Annotation | None],
    student: Sequence[Annotation | None],
    *,
    labels: Sequence[str],
    held: Collection[str] = (),
    alpha: float,
    margin: float = 0.0,
    min_gold: int,
    min_support: int = 20,
    resamples: int = 10_000,
    seed: int,
) -> LabelsDecision:
    """Judge the `labels` that the student does not hold yet; arguments else as for `gate.decide`.

    A label takes part when at least `min_support` gold documents have it. `alpha` is for all labels together
    (half of a look's, when the other half judges the student as a whole). Nothing is won when the merged answers
    would score below the teacher's. Raises ValueError for a kind other than `KINDS`.
    """
    _check(kind)
    gold = _Gold(
        kind,
        references,
        teacher,
        student,
        {"margin": margin, "min_gold": min_gold, "resamples": resamples, "seed": seed},
    )
    support = {label: _support(gold, label) for label in labels if label not in held}
    tested = [label for label, documents in support.items() if documents >= min_support]
    decisions = _holm(gold, tested, alpha)
    decisions |= {
        label: _too_rare(gold, label, documents, min_support, margin)
        for label, documents in support.items()
        if label not in decisions
    }
    won = tuple(label for label in labels if label in tested and decisions[label].outcome is Outcome.PROMOTE)
    return _combined(gold, labels, held, {label: decisions[label] for label in support}, won, margin)


def _holm(gold: _Gold, labels: Sequence[str], alpha: float) -> dict[str, Decision]:
    """Judge all at alpha / m; what is won leaves its share to the others, which are judged again."""
    decisions: dict[str, Decision] = {}
    open_labels = list(labels)
    while open_labels:
        share = alpha / len(open_labels)
        decisions |= {label: gold.judge(label, share) for label in open_labels}
        left = [label for label in open_labels if decisions[label].outcome is not Outcome.PROMOTE]
        if len(left) == len(open_labels):
            break
        open_labels = left
    return decisions


def _support(gold: _Gold, label: str) -> int:
    student, _ = gold.tables(label)
    return int((student[:, 0] + student[:, 2] > 0).sum())


def _too_rare(gold: _Gold, label: str, documents: int, min_support: int, margin: float) -> Decision:
    student, teacher = (float(metric(gold.kind, table.sum(axis=0))) for table in gold.tables(label))
    return Decision(
        outcome=Outcome.NEED_MORE,
        reason=f"Label {label}: in {documents} of {len(gold.references)} gold tasks, it takes {min_support}.",
        n=len(gold.references),
        teacher_score=teacher,
        student_score=student,
        difference=student - teacher,
        low=-1.0,
        high=1.0,
        alpha=0.0,
        margin=margin,
    )


def _combined(
    gold: _Gold,
    labels: Sequence[str],
    held: Collection[str],
    decisions: Mapping[str, Decision],
    won: tuple[str, ...],
    margin: float,
) -> LabelsDecision:
    def score_with(student_labels: Collection[str]) -> float:
        pairs = zip(gold.teacher, gold.student, strict=True)
        return gold.value(labels, [merge(gold.kind, t, s, student_labels=student_labels) for t, s in pairs])

    alone, score = gold.value(labels, gold.teacher), score_with({*held, *won})
    if won and score < alone - margin:
        reason = f"Merged, both would have {score:.3f}, the teacher alone {alone:.3f}: {', '.join(won)} stay with it."
        return LabelsDecision(decisions, (), alone, score_with(held), reason)
    taken = f"The student takes over {', '.join(won)}." if won else "The student takes over no further label."
    return LabelsDecision(
        decisions, won, alone, score, f"{taken} Both together {score:.3f}, teacher alone {alone:.3f}."
    )


def merge(
    kind: Kind, teacher: Annotation | None, student: Annotation | None, *, student_labels: Collection[str]
) -> Annotation | None:
    """The student's answer for its labels and the teacher's for all others; None when neither has one.

    Entities must not overlap: where they do, the student's stays, because the gate has found its labels the more
    reliable ones. Raises ValueError for a kind other than `KINDS`.
    """
    _check(kind)
    if teacher is None and student is None:
        return None
    first, second = student or Annotation(), teacher or Annotation()
    if kind is Kind.CHOICES:
        cats = [c for c in first.cats if c in student_labels] + [c for c in second.cats if c not in student_labels]
        return Annotation(cats=tuple(cats))
    kept = [span for span in first.spans if span.label in student_labels]
    rest = [span for span in second.spans if span.label not in student_labels]
    if kind is Kind.ENTITIES:
        rest = [span for span in rest if not any(_overlap(span, other) for other in kept)]
    return Annotation(spans=tuple(sorted(kept + rest)))


def _overlap(first: Span, second: Span) -> bool:
    return first.start < second.end and second.start < first.end


def _check(kind: Kind) -> None:
    if kind not in KINDS:
        allowed = ", ".join(k.value for k in KINDS)
        raise ValueError(f"Aspects of kind {kind.value} cannot be handed over label by label (only {allowed}).")
