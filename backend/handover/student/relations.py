"""A trainable spaCy component for directed, labelled relations between the spans of a Doc.

It reads the spans that an earlier component found (`doc.spans`, or `doc.ents`), scores every pair of them, and
writes `doc._.relations`: a list of (head, child, label), where head and child are indices into the span group,
sorted by position. `doc._.relation_scores` holds their probabilities in the same order.

The module imports nothing but spaCy, thinc and numpy, so that it can be packed with a pipeline that uses it:
`spacy package PIPELINE OUTPUT --code relations.py`.
"""

# No postponed annotations here: spaCy reads the types of `initialize` to check a config.
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, permutations
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Linear, Logistic, Maxout, Model, Optimizer, chain, set_dropout_rate

FACTORY = "relation_extractor"
DISTANCES = (0, 1, 2, 3, 5, 8, 13, 21)
"""Distances between two spans in tokens, from each of which on a feature of its own is used."""
SEEDED_EXAMPLES = 10

for _name in ("relations", "relation_scores"):
    if not Doc.has_extension(_name):
        Doc.set_extension(_name, default=None)

SpanKey = tuple[int, int, str]
Edge = tuple[SpanKey, SpanKey, str]


@dataclass(frozen=True)
class Pairs:
    """Pairs of spans in a batch of docs. `doc` holds the number of the doc, shape (n,); `tokens` the start and
    end of head and of child in it, shape (n, 4); `features` what is known of the pair beside its words."""

    doc: np.ndarray
    tokens: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.doc)


Input = tuple[list[Doc], Pairs]


@registry.architectures("handover.RelationModel.v1")
def build_relation_model(tok2vec: Model, hidden_width: int, nO: int | None = None) -> Model[Input, Any]:  # noqa: N803
    """Mean vectors of head, child and the words between, with the features, through one hidden layer to an
    independent probability per label."""
    output = Linear(nO=nO)
    hidden = Maxout(nO=hidden_width, nP=3, normalize=True, dropout=0.0)
    model: Model[Input, Any] = chain(pool_pairs(tok2vec), hidden, output, Logistic())
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output)
    return model


def pool_pairs(tok2vec: Model) -> Model[Input, Any]:
    """A layer from docs and pairs to one row of numbers a pair."""
    return Model("pool_pairs", _forward, init=_init, layers=[tok2vec])


def _init(model: Model, X: Input | None = None, Y: Any = None) -> None:  # noqa: N803
    model.layers[0].initialize(X=X[0] if X is not None else None)


def _forward(model: Model, X: Input, is_train: bool) -> tuple[Any, Callable]:  # noqa: N803
    docs, pairs = X
    xp = model.ops.xp
    vectors, backprop_vectors = model.layers[0](docs, is_train)
    lengths = [len(v) for v in vectors]
    flat = xp.concatenate(vectors)
    width = flat.shape[1]
    ranges = _ranges(pairs, lengths)
    # The mean of any range is the difference of two running sums.
    sums = xp.concatenate([xp.zeros((1, width), dtype=flat.dtype), flat.cumsum(axis=0)])
    means = [(sums[end] - sums[start]) / size[:, None] for start, end, size in ranges]
    output = xp.concatenate([*means, xp.asarray(pairs.features)], axis=1)

    def backprop(d_output: Any) -> list[Doc]:
        steps = xp.zeros_like(sums)
        for number, (start, end, size) in enumerate(ranges):
            part = d_output[:, number * width : (number + 1) * width] / size[:, None]
            xp.add.at(steps, start, part)
            xp.add.at(steps, end, -part)
        gradient = steps.cumsum(axis=0)[:-1]
        return backprop_vectors(list(xp.split(gradient, np.cumsum(lengths)[:-1])))

    return output, backprop


def _ranges(pairs: Pairs, lengths: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Start, end and size (at least 1) of head, child, and the words between them, in the batch's tokens."""
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])[pairs.doc]
    head_start, head_end, child_start, child_end = (pairs.tokens + offsets[:, None]).T
    left, right = np.minimum(head_end, child_end), np.maximum(head_start, child_start)
    between = (left, np.maximum(left, right))
    found = [(head_start, head_end), (child_start, child_end), between]
    return [(start, end, np.maximum(end - start, 1).astype(np.float32)) for start, end in found]


def make_relation_extractor(
    nlp: Language,
    name: str,
    model: Model,
    spans_key: str,
    from_ents: bool,
    threshold: float,
    max_distance: int | None,
    negatives: int,
) -> "RelationExtractor":
    """The component as it is named in a config."""
    return RelationExtractor(
        nlp.vocab,
        model,
        name,
        spans_key=spans_key,
        from_ents=from_ents,
        threshold=threshold,
        max_distance=max_distance,
        negatives=negatives,
    )


class RelationExtractor(TrainablePipe):
    """Scores pairs of spans. Docs without relations (`doc._.relations` is None) are not learned from.

    `max_distance` is the most tokens between two spans that may be related; None: as many as in the training
    data. Pairs that are not related are learned from too, `negatives` for each one that is, and as many for a
    doc without any. `cfg` is saved with the model and may be changed afterwards (`threshold`).
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = FACTORY,
        *,
        spans_key: str = "sc",
        from_ents: bool = False,
        threshold: float = 0.5,
        max_distance: int | None = None,
        negatives: int = 8,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {
            "labels": [],
            "span_labels": [],
            "spans_key": spans_key,
            "from_ents": from_ents,
            "threshold": threshold,
            "max_distance": max_distance,
            "negatives": negatives,
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of relations."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """What `spacy init labels` writes."""
        return list(self.cfg["labels"])

    def add_label(self, label: str) -> int:
        """Add a label before the model is initialized; 0 when it is there already."""
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Learn labels, labels of spans and the largest distance from the data, and give the model its shape."""
        self._learn_settings(get_examples, labels)
        docs = [eg.reference for eg in islice(get_examples(), SEEDED_EXAMPLES)]
        # One pair a doc is enough to tell the sizes of the layers.
        tokens = np.array([[0, 1, 0, 1]] * len(docs), dtype=np.int64)
        features = np.zeros((len(docs), self._n_features), dtype=np.float32)
        sample = (docs, Pairs(np.arange(len(docs)), tokens, features))
        self.model.initialize(X=sample, Y=self.model.ops.alloc2f(len(docs), len(self.labels)))

    def _learn_settings(self, get_examples: Callable[[], Iterable[Example]], labels: Sequence[str] | None) -> None:
        seen: set[str] = set()
        span_labels: set[str] = set()
        longest = 0
        for eg in get_examples():
            spans = list(eg.reference.spans.get(self.cfg["spans_key"], []))
            span_labels.update(span.label_ for span in spans)
            for head, child, label in eg.reference._.relations or []:
                seen.add(label)
                longest = max(longest, _distance(spans[head], spans[child]))
        for label in labels if labels is not None else sorted(seen):
            self.add_label(label)
        self.cfg["span_labels"] = sorted(span_labels)
        if self.cfg["max_distance"] is None:
            self.cfg["max_distance"] = longest

    @property
    def _n_features(self) -> int:
        return 2 * len(DISTANCES) + 2 * len(self.cfg["span_labels"])

    def predict(self, docs: Iterable[Doc]) -> list[tuple[list[Span], np.ndarray, np.ndarray]]:
        """For each doc its spans in order, the pairs of them, shape (n, 2), and probabilities (n, labels)."""
        docs = list(docs)
        spans = [self._ordered(doc) for doc in docs]
        pairs = [self._candidates(group) for group in spans]
        scores = self._scores(docs, spans, pairs)
        ends = np.cumsum([len(p) for p in pairs])[:-1]
        indices = [np.array(p, dtype=np.int64).reshape(-1, 2) for p in pairs]
        return list(zip(spans, indices, np.split(scores, ends), strict=True))

    def _scores(self, docs: list[Doc], spans: list[list[Span]], pairs: list[list[tuple[int, int]]]) -> np.ndarray:
        batch = self._pairs(spans, pairs)
        if not len(batch):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        return np.asarray(self.model.ops.to_numpy(self.model.predict((docs, batch))))

    def set_annotations(self, docs: Iterable[Doc], scores: Any) -> None:
        """Write spans, relations and their probabilities on the docs."""
        for doc, (spans, pairs, probabilities) in zip(docs, scores, strict=True):
            self._set_spans(doc, spans)
            rows, columns = np.nonzero(probabilities >= self.cfg["threshold"])
            found = [
                (int(pairs[i, 0]), int(pairs[i, 1]), self.labels[j], float(probabilities[i, j]))
                for i, j in zip(rows, columns, strict=True)
            ]
            found.sort(key=lambda relation: relation[:3])
            doc._.relations = [relation[:3] for relation in found]
            doc._.relation_scores = [relation[3] for relation in found]

    def _set_spans(self, doc: Doc, spans: list[Span]) -> None:
        key = self.cfg["spans_key"]
        group = doc.spans[key] if key in doc.spans and not self.cfg["from_ents"] else None
        attrs = {}
        if group is not None and "scores" in group.attrs:
            by_span = {_key(s): float(p) for s, p in zip(group, group.attrs["scores"], strict=True)}
            attrs = {"scores": np.array([by_span[_key(span)] for span in spans])}
        doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=attrs)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from the pairs of annotated spans, and of those that were predicted in their place."""
        examples = list(examples)
        losses = losses if losses is not None else {}
        losses.setdefault(self.name, 0.0)
        validate_examples(examples, "RelationExtractor.update")
        set_dropout_rate(self.model, drop)
        batch, truth = self._lesson(examples)
        docs = [eg.predicted for eg in examples]
        if not len(batch):
            self._learn_nothing(docs)
            return losses
        scores, backprop = self.model.begin_update((docs, batch))
        gradient = scores - self.model.ops.asarray(truth)
        backprop(gradient)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += float((gradient**2).sum())
        return losses

    def _learn_nothing(self, docs: list[Doc]) -> None:
        """A shared tok2vec waits for the gradient of its last listener, even if that is zero."""
        if any(len(doc) for doc in docs):
            vectors, backprop = self.model.get_ref("tok2vec").begin_update(docs)
            backprop([self.model.ops.xp.zeros_like(v) for v in vectors])

    def _lesson(self, examples: list[Example]) -> tuple[Pairs, np.ndarray]:
        """The pairs to learn from, and for each the truth per label."""
        spans: list[list[Span]] = []
        pairs: list[list[tuple[int, int]]] = []
        truth: list[np.ndarray] = []
        for eg in examples:
            edges = relations_of(eg.reference, self.cfg["spans_key"])
            group = self._taught(eg) if edges is not None else []
            chosen, rows = self._choose(group, edges or set())
            spans.append(group)
            pairs.append(chosen)
            truth += rows
        return self._pairs(spans, pairs), np.array(truth, dtype=np.float32).reshape(-1, len(self.labels))

    def _taught(self, eg: Example) -> list[Span]:
        gold = eg.reference.spans.get(self.cfg["spans_key"], [])
        aligned = eg.get_aligned_spans_y2x(gold, allow_overlap=True)
        spans = {_key(span): span for span in (*self._ordered(eg.predicted), *aligned)}
        return [spans[key] for key in sorted(spans)]

    def _choose(self, spans: list[Span], edges: set[Edge]) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
        """All pairs that are related and a sample of the others, with their truth."""
        candidates = self._candidates(spans)
        rows = [
            np.array([(_key(spans[i]), _key(spans[j]), label) in edges for label in self.labels], dtype=np.float32)
            for i, j in candidates
        ]
        related = [number for number, row in enumerate(rows) if row.any()]
        others = [number for number, row in enumerate(rows) if not row.any()]
        wanted = self.cfg["negatives"] * max(1, len(related))
        if len(others) > wanted:
            others = np.random.permutation(others)[:wanted].tolist()
        chosen = sorted([*related, *others])
        return [candidates[number] for number in chosen], [rows[number] for number in chosen]

    def _candidates(self, spans: list[Span]) -> list[tuple[int, int]]:
        """Ordered pairs of spans that are near enough."""
        limit = self.cfg["max_distance"]
        return [
            (i, j)
            for i, j in permutations(range(len(spans)), 2)
            if limit is None or _distance(spans[i], spans[j]) <= limit
        ]

    def _pairs(self, spans: list[list[Span]], pairs: list[list[tuple[int, int]]]) -> Pairs:
        number = [n for n, chosen in enumerate(pairs) for _ in chosen]
        ends = [(group[i], group[j]) for group, chosen in zip(spans, pairs, strict=True) for i, j in chosen]
        tokens = [(head.start, head.end, child.start, child.end) for head, child in ends]
        features = np.zeros((len(ends), self._n_features), dtype=np.float32)
        for row, (head, child) in zip(features, ends, strict=True):
            row[list(self._features(head, child))] = 1.0
        return Pairs(np.array(number, dtype=np.int64), np.array(tokens, dtype=np.int64).reshape(-1, 4), features)

    def _features(self, head: Span, child: Span) -> Iterator[int]:
        """The numbers of the features that are on: distance with direction, labels of head and child."""
        place = sum(_distance(head, child) >= least for least in DISTANCES) - 1
        yield place + (len(DISTANCES) if child.start < head.start else 0)
        labels = self.cfg["span_labels"]
        for number, span in enumerate((head, child)):
            if span.label_ in labels:
                yield 2 * len(DISTANCES) + number * len(labels) + labels.index(span.label_)

    def _ordered(self, doc: Doc) -> list[Span]:
        """The spans of a doc by position, each once."""
        found = doc.ents if self.cfg["from_ents"] else doc.spans.get(self.cfg["spans_key"], [])
        spans = {_key(span): span for span in found}
        return [spans[key] for key in sorted(spans)]

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, float | None]:
        """Micro-averaged precision, recall and F of relations whose ends and label are all right; docs without
        annotation are left out."""
        prf = PRFScore()
        key = self.cfg["spans_key"]
        for eg in examples:
            expected = relations_of(eg.reference, key)
            if expected is not None:
                prf.score_set(relations_of(eg.predicted, key) or set(), expected)
        return {"rel_micro_p": prf.precision, "rel_micro_r": prf.recall, "rel_micro_f": prf.fscore}


def relations_of(doc: Doc, spans_key: str = "sc") -> set[Edge] | None:
    """The relations of a doc by the offsets of their ends in characters; None where nobody said anything."""
    if doc._.relations is None:
        return None
    spans = list(doc.spans.get(spans_key, []))
    return {(_key(spans[head]), _key(spans[child]), label) for head, child, label in doc._.relations}


def _key(span: Span) -> SpanKey:
    return span.start_char, span.end_char, span.label_


def _distance(a: Span, b: Span) -> int:
    """Tokens between two spans, 0 when they touch or overlap."""
    return max(0, max(a.start, b.start) - min(a.end, b.end))


# A packed pipeline in the same process brings the same factory; spaCy refuses a second one.
if not Language.has_factory(FACTORY):
    Language.factory(
        FACTORY,
        default_config={
            "spans_key": "sc",
            "from_ents": False,
            "threshold": 0.5,
            "max_distance": None,
            "negatives": 8,
        },
        default_score_weights={"rel_micro_f": 1.0, "rel_micro_p": None, "rel_micro_r": None},
        func=make_relation_extractor,
    )
