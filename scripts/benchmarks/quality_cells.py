"""One cell of the benchmark: a set, a number of annotations, a method and a seed; what was trained, and its scores."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import spacy
from spacy.cli.init_config import init_config
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train

from handover.domain import Annotation, Kind
from handover.evaluation.scores import score
from handover.student import spacy_run
from handover.student.candidates import measure
from handover.student.pipeline import load_student, predict
from handover.student.recipes import chosen_recipes
from handover.student.resources import Resources
from handover.student.training import TrainOptions, train_student
from scripts.benchmarks.quality_data import annotated
from scripts.benchmarks.sets import BenchSet

METHODS = {
    "quickstart": "spaCy's quickstart configuration (CPU, efficiency), people's annotations alone",
    "unrepaired": "recipes of the base install, silver as the teacher answered it",
    "base": "the base install: small recipes, silver repaired by words",
    "encoder": "with a sentence encoder: word vectors, silver repaired by words and embeddings",
    "transformer": "a fine-tuned transformer, and small recipes that learn from it",
}
COMPONENTS = {Kind.CHOICE: "textcat", Kind.ENTITIES: "ner"}


@dataclass(frozen=True)
class Setup:
    """What all cells share."""

    resources: Resources
    max_steps: int
    quickstart_steps: int


def run_cell(data: BenchSet, size: int | None, method: str, seed: int, *, setup: Setup, workdir: Path) -> list[Any]:
    """Train and score; one row per candidate, and the row of the one that is kept is marked `kept`."""
    if method == "quickstart":
        return [_quickstart(data, size, seed, steps=setup.quickstart_steps, workdir=workdir)]
    examples = annotated(data, size, seed)
    if method == "unrepaired":
        examples = replace(examples, answers=())
    options = _options(data.aspect.kind, method, setup=setup, seed=seed)
    started = time.monotonic()
    trained = train_student(data.aspect, examples, options=options, workdir=workdir)
    seconds = time.monotonic() - started
    rows = []
    for row in trained.report["candidates"]:
        suffix = "" if row["labels"] == "gold" else f"+{row['labels']}"
        path = workdir / (row["recipe"] + suffix) / row["checkpoint"]
        name = row["recipe"].partition("-")[2] + suffix
        value = eval_score(data, load_student(path))
        rows.append({**row, "name": name, "eval": value, "kept": path == trained.path, "all_seconds": seconds})
    return [{**row, "silver_repair": trained.report["silver_repair"]} for row in rows]


def eval_score(data: BenchSet, nlp: Language) -> float:
    """The aspect's metric on the set's eval rows."""
    answers = [answer.annotation for answer in predict(nlp, [row.text for row in data.eval], data.aspect)]
    return _score(data, answers)


def teacher_score(data: BenchSet) -> float:
    """The same for the teacher's answers."""
    return _score(data, [row.teacher for row in data.eval])


def speed_ratio(data: BenchSet, path: Path, *, rounds: int = 7) -> tuple[float, float]:
    """Words per second of a saved student, and as a ratio to spaCy's default component of the same kind, untrained,
    in turn on the same texts; medians."""
    blank = spacy.blank("en")
    component: Any = blank.add_pipe(COMPONENTS[data.aspect.kind])
    for label in data.aspect.label_names:
        component.add_label(label)
    blank.initialize()
    student = load_student(path)
    texts = [row.text for row in data.eval]
    speeds, ratios = [], []
    for _ in range(rounds):
        own, other = (_words_per_second(nlp, texts) for nlp in (student, blank))
        speeds.append(own)
        ratios.append(own / other)
    return statistics.median(speeds), statistics.median(ratios)


def _words_per_second(nlp: Language, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    words = sum(len(doc) for doc in nlp.pipe(texts))
    return words / (time.perf_counter() - started)


def _score(data: BenchSet, answers: Sequence[Annotation | None]) -> float:
    references = [row.gold for row in data.eval]
    return score(data.aspect.kind, data.aspect.label_names, references, answers).value


def _options(kind: Kind, method: str, *, setup: Setup, seed: int) -> TrainOptions:
    resources = setup.resources
    if method in {"base", "unrepaired"}:
        resources = Resources()
    if method == "encoder":
        resources = replace(resources, transformer="")
    recipes = chosen_recipes(kind, "auto")
    if method == "transformer":
        recipes = chosen_recipes(kind, "transformer cnn vectors")
    return TrainOptions(seed=seed, max_steps=setup.max_steps, recipes=recipes, resources=resources)


def _quickstart(data: BenchSet, size: int | None, seed: int, *, steps: int, workdir: Path) -> dict[str, Any]:
    """What `spacy init config --optimize efficiency` and `spacy train` make of people's annotations."""
    component = COMPONENTS[data.aspect.kind]
    config = init_config(lang="en", pipeline=[component], optimize="efficiency", gpu=False, silent=True)
    nlp = spacy.blank("en")
    examples = annotated(data, size, seed)
    for name, part in (("train", examples.train), ("dev", examples.dev)):
        spacy_run.write_docs(nlp, data.aspect, part, workdir / f"{name}.spacy")
        config["paths"][name] = str(workdir / f"{name}.spacy")
    config["training"]["seed"] = config["system"]["seed"] = seed
    if steps:
        config["training"]["max_steps"] = steps
    (workdir / "out").mkdir()
    started = time.monotonic()
    train(init_nlp(config.interpolate()), workdir / "out", stdout=io.StringIO(), stderr=io.StringIO())
    seconds = time.monotonic() - started
    path = workdir / "out" / "model-best"
    trained = load_student(path)
    cost = measure(trained, path, [row.text for row in data.train])
    return {
        "name": "quickstart",
        "labels": "gold",
        "eval": eval_score(data, trained),
        "kept": True,
        "seconds": seconds,
        "all_seconds": seconds,
        "size": cost.size,
        "words_per_second": cost.words_per_second,
    }
