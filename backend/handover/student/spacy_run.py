"""One spaCy training, with spaCy's own machinery: what `spacy train` does, on files in a folder."""

from __future__ import annotations

import io
import json
import logging
import math
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import spacy
from spacy.language import Language
from spacy.pipeline._parser_internals.ner import BiluoPushDown
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST, train
from spacy.util import filter_spans, load_config_from_str
from spacy.vocab import Vocab
from thinc.api import Config

from handover.doc_relations import SPANS_KEY
from handover.domain import Aspect, Kind
from handover.errors import ConfigError, TrainingError
from handover.labelstudio.convert import doc_from_annotation
from handover.student import head_fit, relations  # noqa: F401 - makes the components known to spaCy
from handover.student.progress import Listener, report_to
from handover.student.recipes import OWN_STEPS, recipe_text, short_name
from handover.student.sentence_head import SILVER
from handover.student.training_set import LabelledText, TrainOptions

logger = logging.getLogger(__name__)

MAX_PHRASE = 12
"""Longest span, in tokens, that is found by judging all stretches of its length."""


def blank_pipeline(language: str) -> Language:
    """An empty pipeline of a language. Raises ConfigError when spaCy cannot make one."""
    try:
        return spacy.blank(language)
    except ImportError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"spaCy cannot read language {language!r}: {reason} Check HANDOVER_LANGUAGE.") from error


def write_docs(
    nlp: Language, aspect: Aspect, examples: Sequence[LabelledText], path: Path, *, silver: Sequence[LabelledText] = ()
) -> int:
    """Write examples, people's and after them `silver`, as a DocBin; returns how many spans do not end where tokens
    do. Docs of silver say so in `doc.user_data`."""
    readings = [doc_from_annotation(nlp, e.text, e.annotation, aspect) for e in (*examples, *silver)]
    for reading in readings[len(examples) :]:
        reading.doc.user_data[SILVER] = True
    if aspect.kind is Kind.RELATIONS:  # for recipes that find the spans as entities
        for reading in readings:
            ends = filter_spans(reading.doc.spans.get(SPANS_KEY, []))
            reading.doc.ents = [span for span in ends if not (span[0].is_space or span[-1].is_space)]
    DocBin(docs=[reading.doc for reading in readings], store_user_data=True).to_disk(path)
    return sum(reading.misaligned for reading in readings)


def write_labels(aspect: Aspect, path: Path) -> None:
    """Write the aspect's labels as `spacy init labels` does, so that those without an example are known."""
    names = list(aspect.label_names)
    labels = _actions(names) if aspect.kind is Kind.ENTITIES else names
    path.write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")


def run_recipe(
    name: str,
    *,
    folder: Path,
    train_path: Path,
    options: TrainOptions,
    on_progress: Listener,
    origin: Path | None = None,
) -> tuple[Path, Path]:
    """Train a recipe on `train_path`, with dev.spacy and labels.json beside it; from the weights of the student in
    `origin`, which was trained with the same recipe and labels, if there is one.

    Returns the folders of the model that spaCy found best on dev, and of the last one.

    The config is kept in `folder`: `spacy train config.cfg` does the same again. Raises TrainingError when
    spaCy gives up, and whatever `on_progress` raises: that is how a training is stopped.
    """
    data = train_path.parent
    overrides = {
        "paths.train": str(train_path),
        "paths.dev": str(data / "dev.spacy"),
        "paths.labels": str(data / "labels.json"),
        "nlp.lang": options.language,
        "system.seed": options.seed,
    }
    overrides |= options.resources.overrides(short_name(name), options.language)
    folder.mkdir(parents=True)
    overrides |= _learned_settings(load_config_from_str(recipe_text(name)), train_path)
    config = load_config_from_str(recipe_text(name), overrides=overrides)
    own_limit = config["training"]["max_steps"] if short_name(name) in OWN_STEPS else options.max_steps
    config["training"]["max_steps"] = min(options.max_steps, own_limit)
    if origin is not None:
        _go_on_from(config, origin)
    config.to_disk(folder / "config.cfg")
    _train(name, config, folder, on_progress)
    return folder / DIR_MODEL_BEST, folder / DIR_MODEL_LAST


def _go_on_from(config: Config, origin: Path) -> None:
    """Take the components from a trained pipeline (https://spacy.io/usage/training#config-components)."""
    for name in config["nlp"]["pipeline"]:
        config["components"][name] = {"source": str(origin)}
        config["initialize"]["components"].pop(name, None)


def _learned_settings(recipe: Config, train_path: Path) -> dict[str, object]:
    """What a recipe leaves to the training data: the lengths of spans in tokens, where they are null."""
    components = recipe["components"]
    suggester = components.get("spancat", {}).get("suggester", {})
    finder = components.get("span_finder", {})
    settings: dict[str, object] = {}
    if "sizes" in suggester and suggester["sizes"] is None:
        settings["components.spancat.suggester.sizes"] = phrase_lengths(_span_lengths(train_path))
    if "max_length" in finder and finder["max_length"] is None:
        settings["components.span_finder.max_length"] = max(_span_lengths(train_path), default=1)
    return settings


def _span_lengths(path: Path) -> list[int]:
    docs = DocBin().from_disk(path).get_docs(Vocab())
    return [len(span) for doc in docs for span in doc.spans.get(SPANS_KEY, [])]


def phrase_lengths(lengths: Sequence[int]) -> list[int]:
    """The lengths of spans that are worth judging every stretch of: those that occur, up to `MAX_PHRASE`, without
    the longest percent, which would cost more than it finds."""
    kept = sorted(lengths)[: math.ceil(0.99 * len(lengths))]
    return sorted({length for length in kept if length <= MAX_PHRASE}) or [1]


def _train(name: str, config: Config, folder: Path, on_progress: Listener) -> None:
    sink = io.StringIO()
    with report_to(on_progress), _random_state_kept():
        try:
            nlp = init_nlp(config)
            train(nlp, folder, stdout=sink, stderr=sink)
        except (ValueError, KeyError) as error:
            # spaCy's messages may quote the text of an example: the code of the error has to do.
            logger.debug("Training of recipe %s failed", name, exc_info=True)
            code = re.search(r"E\d{3,4}", str(error))
            kind = f"{type(error).__name__} {code.group()}" if code else type(error).__name__
            raise TrainingError(f"spaCy could not train recipe {name!r} ({kind}); DEBUG logs say more.") from None


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """spaCy seeds the global generators; whoever comes after a training should not get the same numbers."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _actions(labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """The moves of spaCy's transition system for entities, as in `EntityRecognizer.label_data`."""
    actions = BiluoPushDown.get_actions(entity_types=list(labels))
    return {str(action): dict(counts) for action, counts in actions.items()}
