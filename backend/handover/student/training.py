"""Train the candidates for one aspect and keep the best on dev."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handover.domain import Aspect
from handover.evaluation.scores import Scores, score
from handover.student.calibrate import fit_calibration, save_calibration
from handover.student.pipeline import load_student, predict
from handover.student.readings import read_texts
from handover.student.recipes import recipe_names
from handover.student.thresholds import set_thresholds
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
    prepared = prepare(aspect, examples)
    usable = prepared.examples
    misaligned = _write_data(aspect, usable, options.language, folder=workdir / "data")
    listen = on_progress or (lambda info: None)
    candidates, details = _train_all(aspect, usable, options=options, workdir=workdir, on_progress=listen)
    best = choose(candidates)
    report = _report(usable, candidates, details[candidates.index(best)]) | {
        "misaligned": misaligned,
        "unusable": prepared.unusable,
        "moved_to_dev": prepared.moved_to_dev,
        "calibration": calibrate(aspect, usable.dev, best.path),
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


def _write_data(aspect: Aspect, examples: TrainingSet, language: str, *, folder: Path) -> dict[str, int]:
    """Write what the trainings read; returns the number of misaligned spans by part."""
    from handover.student import spacy_run  # noqa: PLC0415 - heavy

    folder.mkdir(parents=True)
    nlp = spacy_run.blank_pipeline(language)
    spacy_run.write_labels(aspect, folder / "labels.json")
    parts = {"train": examples.train, "dev": examples.dev}
    if examples.silver:
        parts["train+silver"] = (*examples.train, *examples.silver)
    return {name: spacy_run.write_docs(nlp, aspect, part, folder / f"{name}.spacy") for name, part in parts.items()}


def _train_all(
    aspect: Aspect, examples: TrainingSet, *, options: TrainOptions, workdir: Path, on_progress: Progress
) -> tuple[list[Candidate], list[Scores]]:
    names = recipe_names(aspect.kind, options.recipes)
    runs = [(name, silver) for silver in ((False, True) if examples.silver else (False,)) for name in names]
    candidates, details = [], []
    for number, (name, silver) in enumerate(runs, start=1):
        told = {"recipe": name, "silver": silver, "candidate": number, "candidates": len(runs)}
        started = time.monotonic()
        best, last, steps = _train_one(told, options=options, workdir=workdir, on_progress=on_progress)
        for path in (best, last):
            set_thresholds(aspect, examples.dev, path)
        path, scores = pick_checkpoint(best, last, evaluate=lambda path: dev_scores(aspect, examples.dev, path))
        seconds = round(time.monotonic() - started, 2)
        candidates.append(Candidate(name, silver, scores.value, seconds=seconds, steps=steps, path=path))
        details.append(scores)
    return candidates, details


def _train_one(
    told: dict[str, Any], *, options: TrainOptions, workdir: Path, on_progress: Progress
) -> tuple[Path, Path, int]:
    """The best model, the last one, and the number of steps."""
    from handover.student import spacy_run  # noqa: PLC0415 - heavy

    suffix = "+silver" if told["silver"] else ""
    steps = 0

    def listen(info: dict[str, Any]) -> None:
        nonlocal steps
        steps = info["step"]
        on_progress(told | {"max_steps": options.max_steps} | info)

    best, last = spacy_run.run_recipe(
        told["recipe"],
        folder=workdir / (told["recipe"] + suffix),
        train_path=workdir / "data" / f"train{suffix}.spacy",
        options=options,
        on_progress=listen,
    )
    return best, last, steps


def pick_checkpoint(best: Path, last: Path, *, evaluate: Callable[[Path], Scores]) -> tuple[Path, Scores]:
    """The last model, unless the best on dev is better by more than one standard error.

    On a few dozen dev texts the best step is mostly luck, and these small networks still gain after it: with
    15 dev texts the last model was better by up to 8 points of F (one-standard-error rule: Breiman et al.,
    Classification and Regression Trees, 1984).
    """
    of_best, of_last = evaluate(best), evaluate(last)
    # One success and one failure more, so that a perfect score on little data is not taken for certain.
    rate = (of_best.value * of_best.n + 1) / (of_best.n + 2)
    error = math.sqrt(rate * (1 - rate) / (of_best.n + 2))
    return (last, of_last) if of_last.value >= of_best.value - error else (best, of_best)


def dev_scores(aspect: Aspect, dev: tuple[LabelledText, ...], path: Path) -> Scores:
    """The scores of a saved student on dev, against the annotations as they were made."""
    answers = predict(load_student(path), [e.text for e in dev], aspect)
    return score(aspect.kind, aspect.label_names, [e.annotation for e in dev], [a.annotation for a in answers])


def calibrate(aspect: Aspect, dev: tuple[LabelledText, ...], path: Path) -> dict[str, Any]:
    """Fit the calibration of a saved student on dev and keep it in its folder; returns the report."""
    raws = read_texts(load_student(path), [e.text for e in dev], aspect)
    calibration, report = fit_calibration(aspect, raws, [e.annotation for e in dev])
    save_calibration(calibration, path)
    return report


def _report(examples: TrainingSet, candidates: list[Candidate], best: Scores) -> dict[str, Any]:
    rows = [_row(c) for c in candidates]
    return {
        "metric": best.metric,
        "n_train": len(examples.train),
        "n_dev": len(examples.dev),
        "n_silver": len(examples.silver),
        "candidates": rows,
        "dev": best.details,
    }


def _row(candidate: Candidate) -> dict[str, Any]:
    row = asdict(candidate)
    path = row.pop("path")
    return row | {"checkpoint": path.name, "size": folder_size(path)}


def folder_size(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
