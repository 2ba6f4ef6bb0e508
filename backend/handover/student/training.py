"""Train the candidates for one aspect and keep the best on dev."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handover.domain import Aspect
from handover.evaluation.scores import Scores, score
from handover.student.pipeline import load_student, predict
from handover.student.recipes import recipe_names
from handover.student.training_set import LabelledText, TrainingSet, TrainOptions, prepare

__all__ = ["LabelledText", "TrainOptions", "TrainedStudent", "TrainingSet", "train_student"]

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainedStudent:
    """The best candidate, in folder `path`, and a JSON-ready report about all of them.

    `dev_score` is the aspect's metric on dev; a span that does not align with tokens counts against it.
    `misaligned` is the number of such spans in train and dev.
    """

    path: Path
    recipe: str
    used_silver: bool
    dev_score: float
    misaligned: int = 0
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """One trained recipe: without silver or with it."""

    recipe: str
    used_silver: bool
    dev_score: float
    seconds: float
    steps: int
    path: Path


def train_student(
    aspect: Aspect,
    examples: TrainingSet,
    *,
    options: TrainOptions,
    workdir: Path,
    on_progress: Progress | None = None,
) -> TrainedStudent:
    """Train every recipe of the aspect on train, and on train + silver, and keep the best on dev.

    Silver helps on some aspects and hurts on others, and so do networks against bags of words; dev decides.
    Equal scores: without silver, and the recipe that comes first. `workdir` is an empty folder for data,
    configs and models. `on_progress` gets a dict (recipe, silver, candidate, candidates, epoch, step,
    max_steps, score, loss) at each evaluation and may raise to stop.

    The same examples, options and spaCy give the same student on the same machine. Raises TrainingError when
    the examples are too few or one-sided, ConfigError for an unknown recipe or language.
    """
    from handover.student import spacy_run  # noqa: PLC0415 - heavy

    prepared = prepare(aspect, examples)
    usable = prepared.examples
    data = workdir / "data"
    data.mkdir(parents=True)
    nlp = spacy_run.blank_pipeline(options.language)
    misaligned = {
        "train": spacy_run.write_docs(nlp, aspect, usable.train, data / "train.spacy"),
        "dev": spacy_run.write_docs(nlp, aspect, usable.dev, data / "dev.spacy"),
    }
    if usable.silver:
        mixed = (*usable.train, *usable.silver)
        misaligned["train_and_silver"] = spacy_run.write_docs(nlp, aspect, mixed, data / "train+silver.spacy")
    spacy_run.write_labels(aspect, data / "labels.json")
    candidates, details = _train_all(aspect, usable, options, workdir, on_progress or (lambda info: None))
    best = choose(candidates)
    report = _report(usable, candidates, details[candidates.index(best)]) | {
        "misaligned": misaligned,
        "unusable": prepared.unusable,
        "moved_to_dev": prepared.moved_to_dev,
    }
    return TrainedStudent(
        path=best.path,
        recipe=best.recipe,
        used_silver=best.used_silver,
        dev_score=best.dev_score,
        misaligned=misaligned["train"] + misaligned["dev"],
        report=report,
    )


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The best on dev; of equals one without silver, and the recipe that comes first."""
    return max(sorted(candidates, key=lambda c: c.used_silver), key=lambda c: c.dev_score)


def _train_all(
    aspect: Aspect, examples: TrainingSet, options: TrainOptions, workdir: Path, on_progress: Progress
) -> tuple[list[Candidate], list[Scores]]:
    names = recipe_names(aspect.kind, options.recipes)
    runs = [(name, silver) for silver in ((False, True) if examples.silver else (False,)) for name in names]
    candidates, details = [], []
    for number, (name, silver) in enumerate(runs, start=1):
        told = {"recipe": name, "silver": silver, "candidate": number, "candidates": len(runs)}
        candidate, scores = _train_one(aspect, examples, options, workdir, told, on_progress)
        candidates.append(candidate)
        details.append(scores)
    return candidates, details


def _train_one(
    aspect: Aspect,
    examples: TrainingSet,
    options: TrainOptions,
    workdir: Path,
    told: dict[str, Any],
    on_progress: Progress,
) -> tuple[Candidate, Scores]:
    from handover.student import spacy_run  # noqa: PLC0415 - heavy

    suffix = "+silver" if told["silver"] else ""
    steps = [0]

    def listen(info: dict[str, Any]) -> None:
        steps[0] = info["step"]
        on_progress(told | {"max_steps": options.max_steps} | info)

    started = time.monotonic()
    path = spacy_run.run_recipe(
        told["recipe"],
        folder=workdir / (told["recipe"] + suffix),
        train_path=workdir / "data" / f"train{suffix}.spacy",
        options=options,
        on_progress=listen,
    )
    seconds = round(time.monotonic() - started, 2)
    scores = dev_scores(aspect, examples.dev, path)
    candidate = Candidate(told["recipe"], told["silver"], scores.value, seconds=seconds, steps=steps[0], path=path)
    return candidate, scores


def dev_scores(aspect: Aspect, dev: tuple[LabelledText, ...], path: Path) -> Scores:
    """The scores of a saved student on dev, against the annotations as they were made."""
    answers = predict(load_student(path), [e.text for e in dev], aspect)
    return score(aspect.kind, aspect.label_names, [e.annotation for e in dev], [a.annotation for a in answers])


def _report(examples: TrainingSet, candidates: list[Candidate], best: Scores) -> dict[str, Any]:
    rows = [{k: v for k, v in asdict(c).items() if k != "path"} | {"size": folder_size(c.path)} for c in candidates]
    return {
        "metric": best.metric,
        "n_train": len(examples.train),
        "n_dev": len(examples.dev),
        "n_silver": len(examples.silver),
        "candidates": rows,
        "dev": best.details,
    }


def folder_size(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
