"""What kind of error a wrong span is: another label, a shifted boundary, missed, or spurious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from handover.domain import Annotation, Span


@dataclass(frozen=True)
class SpanErrors:
    """What became of the spans that do not match exactly; each is counted once, or once with its counterpart.

    `confusions`: same offsets, (reference label, predicted label). `boundaries`: same label, overlapping offsets,
    paired by the largest overlap. What has no counterpart is `missed` or `spurious`, by label.
    """

    confusions: Counter[tuple[str, str]]
    boundaries: Counter[str]
    missed: Counter[str]
    spurious: Counter[str]

    def details(self, prefix: str) -> dict[str, Any]:
        """As scores' details, most frequent first, with keys like spaCy's: `ents_confusions`, `ents_missed`…"""
        confusions = [(*labels, number) for labels, number in self.confusions.items()]
        return {
            f"{prefix}_confusions": sorted(confusions, key=lambda c: (-c[2], c[0], c[1])),
            f"{prefix}_boundary_errors": _sorted(self.boundaries),
            f"{prefix}_missed": _sorted(self.missed),
            f"{prefix}_spurious": _sorted(self.spurious),
        }


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def span_errors(labels: Collection[str], pairs: Sequence[tuple[Annotation, Annotation | None]]) -> SpanErrors:
    """Sort the errors in pairs of reference and prediction; labels that are not in `labels` are left out."""
    errors = SpanErrors(Counter(), Counter(), Counter(), Counter())
    for reference, predicted in pairs:
        expected = {span for span in reference.spans if span.label in labels}
        found = {span for span in (predicted.spans if predicted else ()) if span.label in labels}
        _sort_errors(sorted(expected - found), sorted(found - expected), errors)
    return errors


def _sort_errors(missed: list[Span], spurious: list[Span], errors: SpanErrors) -> None:
    candidates = [(pair, _rank(*pair)) for pair in ((m, s) for m in missed for s in spurious)]
    for (expected, found), rank in sorted(candidates, key=lambda c: c[1], reverse=True):
        if rank > 0 and expected in missed and found in spurious:
            missed.remove(expected)
            spurious.remove(found)
            if expected.label == found.label:
                errors.boundaries[found.label] += 1
            else:
                errors.confusions[expected.label, found.label] += 1
    errors.missed.update(span.label for span in missed)
    errors.spurious.update(span.label for span in spurious)


def _rank(expected: Span, found: Span) -> float:
    """How well two spans go together: same offsets first, then the same label by overlap; 0 if not at all."""
    if (expected.start, expected.end) == (found.start, found.end):
        return float("inf")
    if expected.label != found.label:
        return 0.0
    return float(max(0, min(expected.end, found.end) - max(expected.start, found.start)))
