"""Students at work: load by version, predict, and say how sure they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from handover.domain import Aspect, Prediction
from handover.errors import ArtifactError
from handover.student.calibrate import Answer, Calibration, load_calibration
from handover.student.readings import read_texts

if TYPE_CHECKING:
    from spacy.language import Language

    from handover.student.artifacts import ArtifactStore

MAX_NEW_WORDS = 50_000
"""Words a loaded student may pick up from texts before it forgets them all: some ten megabytes."""


def load_student(path: Path) -> Language:
    """Load a student from its folder. Raises ArtifactError when it is not a pipeline that can be loaded."""
    import spacy  # noqa: PLC0415 - heavy

    from handover.student import relations, sentence_head  # noqa: F401, PLC0415 - makes the components known to spaCy

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

    Not thread-safe: one pipeline, one thread at a time, and new words of the texts stay in its vocabulary
    (`StudentCache` sees to both).
    """
    return (calibration or Calibration()).answers(read_texts(nlp, texts, aspect), aspect.kind)


class _Loaded:
    """A student in memory, for one thread at a time, whose memory does not grow with every text.

    spaCy keeps each new word, which makes the next text that has it cheap. In a memory zone it would forget them
    (https://spacy.io/usage/memory-management), but its tokenizer caches nothing there and takes three times as long.
    So the student is loaded anew when it has picked up `max_new_words`.
    """

    def __init__(self, path: Path, *, max_new_words: int) -> None:
        self._path = path
        self._max_new_words = max_new_words
        self._lock = threading.Lock()
        self._calibration = load_calibration(path)
        self._load()

    def predict(self, texts: Sequence[str], aspect: Aspect) -> list[Answer]:
        with self._lock:
            answers = predict(self._nlp, texts, aspect, calibration=self._calibration)
            if len(self._nlp.vocab) > self._known + self._max_new_words:
                self._load()
        return answers

    def _load(self) -> None:
        self._nlp = load_student(self._path)
        self._known = len(self._nlp.vocab)


class StudentCache:
    """The students in use, loaded once each. Safe to use from several threads.

    A version never changes its content, so no change is ever looked for; the `max_loaded` used last are kept.
    """

    def __init__(self, store: ArtifactStore, *, max_loaded: int = 8, max_new_words: int = MAX_NEW_WORDS) -> None:
        self.store = store
        self._max_loaded = max(1, max_loaded)
        self._max_new_words = max_new_words
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def predict(self, version: str, texts: Sequence[str], aspect: Aspect) -> list[Prediction]:
        """The student's predictions for texts; one thread at a time per student.

        Raises ArtifactError when the student's files are missing or damaged.
        """
        answers = self._get(version).predict(texts, aspect)
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
            loaded = _Loaded(self.store.fetch(version), max_new_words=self._max_new_words)
            with self._lock:
                self._loaded[version] = loaded
                self._loading.pop(version, None)
                while len(self._loaded) > self._max_loaded:
                    self._loaded.popitem(last=False)
            return loaded
