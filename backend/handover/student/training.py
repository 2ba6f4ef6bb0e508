"""Train the candidates for one aspect and keep the best on dev."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from handover.domain import Aspect
from handover.evaluation.scores import Scores, score
from handover.student.calibrate import fit_calibration, save_calibration
from handover.student.candidates import Candidate, Labels, Run, choose, measure, standard_error
from handover.student.distill import differs, relabel, worth_asking
from handover.student.pipeline import load_student, predict
from handover.student.readings import read_texts
from handover.student.recipes import recipe_names
from handover.student.silver import Repaired, repair_silver
from handover.student.thresholds import set_thresholds
from handover.student.training_set import LabelledText, Origin, TrainingSet, TrainOptions, prepare

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


def train_student(
    aspect: Aspect,
    examples: TrainingSet,
    *,
    options: TrainOptions,
    workdir: Path,
    on_progress: Progress | None = None,
) -> TrainedStudent:
    """Train every recipe of the aspect on train, and on train + silver, and keep the best on dev.

    Silver is repaired where that is better on train (see `silver`). It helps on some aspects and hurts on others,
    and so do networks against bags of words; dev decides. When a large recipe turns out best, it answers for the
    pool and the others are trained on that too (see `distill`). Only a candidate within the budget is kept (see
    `choose`). `workdir` is an empty folder for data, configs and models. `on_progress` gets a dict (recipe, silver,
    candidate, candidates, epoch, step, max_steps, score, loss) at each evaluation and may raise to stop.

    With `options.origin` its recipe goes on from that student's weights, where it learns from people alone.

    The same examples, options and spaCy give the same student on the same machine. Raises TrainingError when
    the examples are too few or one-sided or no candidate is within the budget, ConfigError for an unknown recipe
    or language.
    """
    prepared = prepare(aspect, examples)
    names = recipe_names(aspect.kind, options.recipes, have=options.resources.available)
    training = _Training(aspect, prepared.examples, options, workdir, on_progress or (lambda info: None))
    repaired = training.write_data()
    training.train_all([Run(name, labels) for labels in training.labels for name in names])
    if asked := worth_asking(training.candidates, options.budget, has_silver=bool(prepared.examples.silver)):
        training.distill(asked, names)
    best = choose(training.candidates, options.budget, n_dev=len(prepared.examples.dev))
    report = training.report(best) | {
        "silver_repair": repaired.to_json(),
        "unusable": prepared.unusable,
        "moved_to_dev": prepared.moved_to_dev,
        "calibration": calibrate(aspect, prepared.examples.dev, best.path),
    }
    return TrainedStudent(
        path=best.path,
        recipe=best.run.recipe,
        used_silver=best.run.labels is not Labels.GOLD,
        dev_score=best.dev_score,
        misaligned=training.misaligned["train"] + training.misaligned["dev"],
        report=report,
    )


class _Training:
    """One training's state: what was written and trained so far."""

    def __init__(
        self, aspect: Aspect, examples: TrainingSet, options: TrainOptions, workdir: Path, on_progress: Progress
    ) -> None:
        self.aspect, self.examples, self.options = aspect, examples, options
        self.candidates: list[Candidate] = []
        self.misaligned: dict[str, int] = {}
        self._workdir, self._on_progress = workdir, on_progress
        self._details: dict[Run, Scores] = {}

    @property
    def labels(self) -> tuple[Labels, ...]:
        """Who labels what the first candidates learn from."""
        return (Labels.GOLD, Labels.SILVER) if self.examples.silver else (Labels.GOLD,)

    def write_data(self) -> Repaired:
        """Write what the trainings read; returns how silver was repaired."""
        from handover.student import spacy_run  # noqa: PLC0415 - heavy

        folder = self._workdir / "data"
        folder.mkdir(parents=True)
        nlp = spacy_run.blank_pipeline(self.options.language)
        spacy_run.write_labels(self.aspect, folder / "labels.json")
        load_encoder = self.options.resources.load_encoder
        repaired = repair_silver(self.aspect, self.examples, nlp=nlp, load_encoder=load_encoder)
        self.examples = replace(self.examples, silver=repaired.silver)
        self._write("train", self.examples.train)
        self._write("dev", self.examples.dev)
        if self.examples.silver:
            self._write("train+silver", self.examples.train, silver=self.examples.silver)
        return repaired

    def train_all(self, runs: list[Run]) -> None:
        """Train candidates, one after the other."""
        total = len(self.candidates) + len(runs)
        for run in runs:
            told = {
                "recipe": run.recipe,
                "silver": run.labels is not Labels.GOLD,
                "candidate": len(self.candidates) + 1,
                "candidates": total,
            }
            self.candidates.append(self._train(run, told))

    def distill(self, asked: Candidate, names: tuple[str, ...]) -> None:
        """Let a candidate answer for the pool, and train the other recipes on its answers where these are new."""
        answers = relabel(self.aspect, self.examples.silver, load_student(asked.path))
        if not differs(self.examples.silver, answers):
            return
        self._write("train+distilled", self.examples.train, silver=answers)
        self.train_all([Run(name, Labels.DISTILLED) for name in names if name != asked.run.recipe])

    def report(self, best: Candidate) -> dict[str, Any]:
        """All about the candidates, in JSON values."""
        budget, scores, origin = self.options.budget, self._details[best.run], self._origin_of(best.run)
        return {
            "origin": {"version": origin.version, "trained_anew": origin.trained_anew} if origin else None,
            "metric": scores.metric,
            "kind": self.aspect.kind.value,
            "text_field": self.aspect.text_field,
            "labels": list(self.aspect.label_names),
            "span_labels": [label.name for label in self.aspect.span_labels],
            "n_train": len(self.examples.train),
            "n_dev": len(self.examples.dev),
            "n_silver": len(self.examples.silver),
            "candidates": [c.to_json(affordable=budget.allows(c.cost)) for c in self.candidates],
            "dev": scores.details,
            "misaligned": self.misaligned,
        }

    def _write(self, name: str, examples: tuple[LabelledText, ...], silver: tuple[LabelledText, ...] = ()) -> None:
        from handover.student import spacy_run  # noqa: PLC0415 - heavy

        nlp = spacy_run.blank_pipeline(self.options.language)
        path = self._workdir / "data" / f"{name}.spacy"
        self.misaligned[name] = spacy_run.write_docs(nlp, self.aspect, examples, path, silver=silver)

    def _train(self, run: Run, told: dict[str, Any]) -> Candidate:
        started = time.monotonic()
        best, last, steps = self._run(run, told)
        dev = self.examples.dev
        for path in (best, last):
            set_thresholds(self.aspect, dev, path)
        path, scores = pick_checkpoint(best, last, evaluate=lambda path: dev_scores(self.aspect, dev, path))
        seconds = round(time.monotonic() - started, 2)
        self._details[run] = scores
        cost = measure(load_student(path), path, [e.text for e in (*dev, *self.examples.train)])
        return Candidate(run, scores.value, seconds=seconds, steps=steps, cost=cost, path=path)

    def _origin_of(self, run: Run) -> Origin | None:
        origin = self.options.origin
        return origin if origin is not None and run == Run(origin.recipe) else None

    def _run(self, run: Run, told: dict[str, Any]) -> tuple[Path, Path, int]:
        """The best model, the last one, and the number of steps."""
        from handover.student import spacy_run  # noqa: PLC0415 - heavy

        steps, origin = 0, self._origin_of(run)

        def listen(info: dict[str, Any]) -> None:
            nonlocal steps
            steps = info["step"]
            self._on_progress(told | {"max_steps": self.options.max_steps} | info)

        best, last = spacy_run.run_recipe(
            run.recipe,
            folder=self._workdir / (run.recipe + run.suffix),
            train_path=self._workdir / "data" / f"train{run.suffix}.spacy",
            options=self.options,
            on_progress=listen,
            origin=origin.path if origin else None,
        )
        return best, last, steps


def pick_checkpoint(best: Path, last: Path, *, evaluate: Callable[[Path], Scores]) -> tuple[Path, Scores]:
    """The last model, unless the best on dev is better by more than one standard error.

    On a few dozen dev texts the best step is mostly luck, and these small networks still gain after it: with
    15 dev texts the last model was better by up to 8 points of F (one-standard-error rule: Breiman et al.,
    Classification and Regression Trees, 1984).
    """
    of_best, of_last = evaluate(best), evaluate(last)
    error = standard_error(of_best.value, of_best.n)
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
