"""What a student learns from, brought into the shape that training needs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from handover.domain import Annotation, Aspect, Kind
from handover.errors import TrainingError
from handover.student.candidates import Budget
from handover.student.resources import Resources

MIN_EXAMPLES = 8
"""Fewest train and dev texts together that a training is tried with."""

MIN_DEV = 8
"""With fewer dev texts, some train texts are used as dev: a score on two texts tells nothing."""

MAX_DEV_SHARE = 0.25
"""…but never more than this share of all."""


@dataclass(frozen=True)
class LabelledText:
    """A text and what somebody says about it."""

    text: str
    annotation: Annotation


@dataclass(frozen=True)
class TrainingSet:
    """People's annotations for learning and for choosing, and the teacher's for learning. Never gold.

    `silver` is what the teacher says about texts that nobody has annotated, `answers` what it says about texts
    of `train`: comparing the two shows how it errs.
    """

    train: tuple[LabelledText, ...]
    dev: tuple[LabelledText, ...]
    silver: tuple[LabelledText, ...] = ()
    answers: tuple[LabelledText, ...] = ()


@dataclass(frozen=True)
class Origin:
    """A student, trained on people's annotations alone, from whose weights its recipe goes on.

    `trained_anew` is the number of train texts of the last training that started anew, of those it comes from.
    """

    path: Path
    version: str
    recipe: str
    trained_anew: int


@dataclass(frozen=True)
class TrainOptions:
    """How to train. `recipes` are names of files in `recipes/`; empty: the default ones of the kind."""

    seed: int = 0
    max_steps: int = 800
    language: str = "en"
    recipes: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    budget: Budget = field(default_factory=Budget)
    origin: Origin | None = None


@dataclass(frozen=True)
class Prepared:
    """A training set that can be trained on, and what was done to get there.

    `unusable` counts examples left out (no text, no label, a label that the aspect does not have any more,
    silver on texts that people annotated), `moved_to_dev` train texts that serve as dev.
    """

    examples: TrainingSet
    unusable: int
    moved_to_dev: int


def prepare(aspect: Aspect, examples: TrainingSet) -> Prepared:
    """Sort, sift and check a training set; the order in which the examples come does not matter.

    Raises TrainingError, with what is missing, when nothing can be learned from it.
    """
    train, dev, silver = (canonical(part) for part in (examples.train, examples.dev, examples.silver))
    answers = tuple(e for e in canonical(examples.answers) if _is_usable(aspect, e))
    usable_train, usable_dev = (tuple(e for e in part if _is_usable(aspect, e)) for part in (train, dev))
    known = {e.text for e in (*usable_train, *usable_dev)}
    usable_silver = tuple(e for e in silver if _is_usable(aspect, e) and e.text not in known)
    _check(aspect, usable_train, usable_dev)
    kept, moved = _fill_dev(usable_train, usable_dev)
    prepared = TrainingSet(kept, canonical((*usable_dev, *moved)), silver=usable_silver, answers=answers)
    if not prepared.dev:
        raise TrainingError(
            f"Aspect {aspect.name!r} has no dev examples, and none of its {len(kept)} train examples can be spared, "
            "because each has an answer of its own. Annotate more tasks that are not gold."
        )
    before, after = (sum(map(len, (s.train, s.dev, s.silver))) for s in (examples, prepared))
    return Prepared(examples=prepared, unusable=before - after, moved_to_dev=len(moved))


def canonical(examples: tuple[LabelledText, ...]) -> tuple[LabelledText, ...]:
    """The same examples in an order that depends on nothing but themselves."""
    return tuple(sorted(examples, key=example_key))


def example_key(example: LabelledText) -> tuple[str, str]:
    """What identifies an example: its text and its annotation as JSON."""
    return example.text, json.dumps(example.annotation.to_json(), sort_keys=True, ensure_ascii=False)


def _is_usable(aspect: Aspect, example: LabelledText) -> bool:
    if not example.text.strip():
        return False
    cats = set(example.annotation.cats)
    if aspect.kind is Kind.CHOICE:
        return len(example.annotation.cats) == 1 and cats <= set(aspect.label_names)
    # What was said with labels that are gone says nothing about those that are left.
    return aspect.kind is not Kind.CHOICES or not cats or bool(cats & set(aspect.label_names))


def _check(aspect: Aspect, train: tuple[LabelledText, ...], dev: tuple[LabelledText, ...]) -> None:
    number = len(train) + len(dev)
    if number < MIN_EXAMPLES or not train:
        raise TrainingError(
            f"Aspect {aspect.name!r} has {len(train)} usable train and {len(dev)} dev examples; training needs at "
            f"least {MIN_EXAMPLES} together. Annotate more tasks that are not gold."
        )
    if aspect.kind is Kind.CHOICE:
        labels = {e.annotation.cats[0] for e in train}
        if len(labels) < 2:
            raise TrainingError(
                f"All {len(train)} train examples of aspect {aspect.name!r} have the label {labels.pop()!r}; there "
                f"is nothing to tell apart. Annotate tasks with other labels ({', '.join(aspect.label_names)})."
            )
    elif not any(_says(aspect, e) for e in train):
        done, needs = _WANTING[aspect.kind]
        raise TrainingError(
            f"Nothing is {done} in the {len(train)} train examples of aspect {aspect.name!r}; training needs {needs}. "
            f"Annotate tasks that have some ({', '.join(aspect.label_names)})."
        )


_WANTING = {
    Kind.CHOICES: ("chosen", "chosen labels"),
    Kind.ENTITIES: ("marked", "marked spans"),
    Kind.SPANS: ("marked", "marked spans"),
    Kind.RELATIONS: ("connected", "relations between spans"),
}


def _says(aspect: Aspect, example: LabelledText) -> bool:
    """Whether one of the aspect's labels is in an annotation."""
    annotation = example.annotation
    of_relations = {relation.label for relation in annotation.relations}
    found = of_relations if aspect.kind is Kind.RELATIONS else _answer(example)
    return not found.isdisjoint(aspect.label_names)


def _fill_dev(
    train: tuple[LabelledText, ...], dev: tuple[LabelledText, ...]
) -> tuple[tuple[LabelledText, ...], list[LabelledText]]:
    """Train without, and the list of, the examples that serve as dev. No label loses its last train example."""
    wanted = min(MIN_DEV, int(MAX_DEV_SHARE * (len(train) + len(dev)))) - len(dev)
    left = Counter(_answer(e) for e in train)
    moved: list[LabelledText] = []
    for example in sorted(train, key=_draw):
        if len(moved) >= wanted:
            break
        if left[_answer(example)] > 1:
            left[_answer(example)] -= 1
            moved.append(example)
    return tuple(e for e in train if not any(e is m for m in moved)), moved


def _answer(example: LabelledText) -> frozenset[str]:
    annotation = example.annotation
    labels = [*annotation.cats, *(span.label for span in annotation.spans), *(r.label for r in annotation.relations)]
    return frozenset(labels)


def _draw(example: LabelledText) -> str:
    return hashlib.sha256("\n".join(example_key(example)).encode("utf-8", "surrogatepass")).hexdigest()
