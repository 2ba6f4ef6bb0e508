"""Students at work: load by version, predict, and say how sure they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handover.domain import Aspect, Prediction
from handover.errors import ArtifactError
from handover.student.calibrate import Answer, Calibration, load_calibration
from handover.student.readings import RawAnswer, read_texts

if TYPE_CHECKING:
    from spacy.language import Language

    from handover.student.artifacts import ArtifactStore


def load_student(path: Path) -> Language:
    """Load a student from its folder. Raises ArtifactError when it is not a pipeline that can be loaded."""
    import spacy  # noqa: PLC0415 - heavy

    from handover.student import relations  # noqa: F401, PLC0415 - makes the component known to spaCy

    try:
        return spacy.load(path)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"The student in {path} cannot be loaded ({type(error).__name__}: {error}). Train it again."
        ) from error


def predict(
    nlp: Language, texts: Sequence[str], aspect: Aspect, *, calibration: Calibration | None = None
) -> list[Answer]:
    """One answer per text, in their order, with confidences as `calibration` has them (None: as they are).

    Nothing of the texts stays in the pipeline. Not thread-safe: one pipeline, one thread at a time
    (`StudentCache` sees to it).

    Raises ConversionError for an aspect of an unsupported kind.
    """
    calibration = calibration or Calibration()
    return [calibration.answer(raw, aspect.kind) for raw in predict_raw(nlp, texts, aspect)]


def predict_raw(nlp: Language, texts: Sequence[str], aspect: Aspect) -> list[RawAnswer]:
    """As `predict`, with what the networks themselves say about their confidence."""
    # The memory zone drops words that were new, so that a server's memory does not grow with every text.
    with nlp.memory_zone():
        return read_texts(nlp, texts, aspect)


@dataclass
class _Loaded:
    nlp: Language
    calibration: Calibration
    lock: threading.Lock


class StudentCache:
    """The students in use, loaded once each. Safe to use from several threads.

    A version never changes its content, so nothing is ever reloaded; the `max_loaded` used last are kept.
    """

    def __init__(self, store: ArtifactStore, *, max_loaded: int = 8) -> None:
        self.store = store
        self._max_loaded = max(1, max_loaded)
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def predict(self, version: str, texts: Sequence[str], aspect: Aspect) -> list[Prediction]:
        """The student's predictions for texts; one thread at a time per student.

        Raises ArtifactError when the student's files are missing or damaged.
        """
        loaded = self._get(version)
        with loaded.lock:
            answers = predict(loaded.nlp, texts, aspect, calibration=loaded.calibration)
        return [Prediction(a.annotation, version, a.score, a.scores) for a in answers]

    def _get(self, version: str) -> _Loaded:
        with self._lock:
            if version in self._loaded:
                self._loaded.move_to_end(version)
                return self._loaded[version]
            loading = self._loading.setdefault(version, threading.Lock())
        # Loading takes a while; threads that need other students do not wait for it.
        with loading:
            with self._lock:
                if version in self._loaded:
                    return self._loaded[version]
            path = self.store.fetch(version)
            loaded = _Loaded(load_student(path), load_calibration(path), threading.Lock())
            with self._lock:
                self._loaded[version] = loaded
                self._loading.pop(version, None)
                while len(self._loaded) > self._max_loaded:
                    self._loaded.popitem(last=False)
            return loaded
