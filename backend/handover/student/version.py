"""The version of a student: a hash of everything it is made from, known before it is trained."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version as installed_version
from typing import Any

from handover.domain import Aspect
from handover.student.recipes import recipe_names, recipe_text
from handover.student.training_set import LabelledText, TrainingSet, TrainOptions, canonical, example_key

TRAINER = 3
"""Raise it when the trainer makes another student from the same input."""


def student_version(aspect: Aspect, examples: TrainingSet, options: TrainOptions) -> str:
    """12 hex digits of the SHA-256 over training data, recipes, seed, steps, language, aspect, what else is used,
    budget, the student it goes on from and spaCy's minor version. The order of the examples does not count.

    Raises ConfigError for an unknown recipe.
    """
    names = recipe_names(aspect.kind, options.recipes, have=options.resources.available)
    budget = options.budget
    content: dict[str, Any] = {
        "trainer": TRAINER,
        "spacy": ".".join(installed_version("spacy").split(".")[:2]),
        "aspect": [aspect.name, aspect.kind.value, list(aspect.label_names), list(aspect.span_label_names)],
        "recipes": [[name, recipe_text(name)] for name in names],
        "options": [options.seed, options.max_steps, options.language],
        "resources": options.resources.identity,
        "origin": options.origin.version if options.origin else None,
        "budget": [budget.max_megabytes, budget.min_words_per_second],
        "data": [_keys(part) for part in (examples.train, examples.dev, examples.silver, examples.answers)],
    }
    payload = json.dumps(content, ensure_ascii=False, sort_keys=True)
    # Texts may hold lone surrogates, which have no UTF-8 form.
    return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _keys(examples: tuple[LabelledText, ...]) -> list[tuple[str, str]]:
    return [example_key(example) for example in canonical(examples)]
