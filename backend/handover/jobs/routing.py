"""A student that is not better overall may still be as good where it is sure: the threshold, and its worth on gold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from handover.domain import Annotation, Decision, Outcome
from handover.evaluation.gate import judge
from handover.evaluation.routing import Curve, Point, choose_threshold, route, route_curve, routed_counts
from handover.evaluation.scores import Counts
from handover.jobs.compare import Compared, compare
from handover.jobs.situation import Situation
from handover.runtime import Runtime
from handover.store.models import StudentRow


@dataclass(frozen=True)
class Threshold:
    """The confidence from which on the student answers, and the whole curve on dev."""

    point: Point
    curve: Curve

    @property
    def value(self) -> float:
        """The confidence itself."""
        return float(self.point.threshold or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Coverage, quality and cost at the threshold and along the curve, on dev. Cost 1 is the teacher for all."""
        points = [point.to_json() for point in self.curve.points]
        return {"n_dev": self.curve.n, "chosen": self.point.to_json(), "curve": points}


def may_route(runtime: Runtime, situation: Situation) -> bool:
    """Whether the project wants it, and there is a teacher to answer the rest."""
    wanted = bool((situation.project.options or {}).get("routing", runtime.settings.routing))
    return wanted and bool(situation.teacher_id)


def find_threshold(runtime: Runtime, situation: Situation, student: StudentRow, *, margin: float) -> Threshold | None:
    """Dev chooses. None when the teacher alone is as good, or there is nothing to choose from."""
    dev = compare(runtime, situation, student, situation.examples.dev, shadow=runtime.settings.shadow)
    if not dev.n:
        return None
    curve = route_curve(situation.aspect.kind, dev.counts(dev.answered), dev.counts(dev.teacher), confidences_of(dev))
    point = choose_threshold(curve, margin=margin)
    return Threshold(point, curve) if point is not None else None


def judge_cascade(
    runtime: Runtime, compared: Compared, threshold: Threshold, *, alpha: float, margin: float
) -> Decision:
    """Gold judges what dev chose. A promotion carries the threshold in its details."""
    decision = judge(
        compared.situation.aspect.kind,
        cascade_counts(compared, threshold.value),
        compared.counts(compared.teacher),
        alpha=alpha,
        margin=margin,
        min_gold=runtime.settings.min_gold,
        seed=runtime.settings.seed,
    )
    share = f"{threshold.point.coverage:.0%} of {threshold.curve.n} dev tasks"
    prefix = f"The student from confidence {threshold.value:.3f} on ({share}), the teacher for the rest: "
    details = {**decision.details, "routing": threshold.to_json()}
    if decision.outcome is Outcome.PROMOTE:
        details["threshold"] = threshold.value
    return replace(decision, reason=prefix + decision.reason, details=details)


def cascade_counts(compared: Compared, threshold: float) -> Counts:
    """Counts of the student where it is sure and of the teacher elsewhere."""
    student, teacher = compared.counts(compared.answered), compared.counts(compared.teacher)
    return routed_counts(student, teacher, confidences_of(compared), threshold=threshold) if compared.n else student


def served_by(compared: Compared) -> Compared:
    """The same with the answers that are really served: of the student, or of both by its threshold."""
    threshold = compared.situation.row.threshold
    if threshold is None:
        return compared
    answers = route(compared.answered, compared.teacher, confidences_of(compared), threshold=threshold)
    pairs = zip(compared.student, answers, strict=True)
    return replace(compared, student=tuple(replace(p, annotation=answer or Annotation()) for p, answer in pairs))


def confidences_of(compared: Compared) -> list[float | None]:
    """The student's confidences."""
    return [prediction.score for prediction in compared.student]
