"""The relation component by itself, in a plain spaCy pipeline."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from thinc.api import Model

from handover.student import relations
from handover.student.relations import Pairs, RelationExtractor, pool_pairs, relations_of

MODEL = {
    "@architectures": "handover.RelationModel.v1",
    "hidden_width": 32,
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 32,
        "depth": 1,
        "embed_size": 500,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
        "pretrained_vectors": None,
    },
}
BUYERS = ["Anna", "Bert", "Cleo", "Dora", "Emil", "Fritz"]


def trade(nlp: Language, i: int) -> Doc:
    """A buyer, a seller and a bystander; the word between tells who buys from whom."""
    a, b, c = (BUYERS[(i + k * (1 + i % 2)) % 6] for k in range(3))
    verb, edge = ("buys from", (0, 1, "BUYS_FROM")) if i % 2 else ("sells to", (1, 0, "BUYS_FROM"))
    doc = nlp.make_doc(f"{a} {verb} {b} while {c} looks on")
    starts = [0, 3, 5]
    doc.spans["sc"] = SpanGroup(doc, spans=[doc.char_span(doc[s].idx, doc[s].idx + 4, "WHO", alignment_mode="expand")
                                            for s in starts])  # fmt: skip
    doc._.relations = [edge]
    return doc


def blank(**config: object) -> tuple[Language, RelationExtractor]:
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("relation_extractor", config={"model": MODEL, **config})
    assert isinstance(pipe, RelationExtractor)
    return nlp, pipe


def examples(nlp: Language, numbers: range) -> list[Example]:
    """Examples whose predicted docs have the spans already, as an earlier component sets them."""
    found = []
    for i in numbers:
        reference, predicted = trade(nlp, i), trade(nlp, i)
        predicted._.relations = None
        found.append(Example(predicted, reference))
    return found


@pytest.fixture(scope="module")
def trained() -> tuple[Language, RelationExtractor]:
    """A component that learned who buys from whom."""
    spacy.util.fix_random_seed(0)
    nlp, pipe = blank()
    optimizer = nlp.initialize(lambda: examples(nlp, range(30)))
    for _ in range(25):
        pipe.update(examples(nlp, range(30)), sgd=optimizer, drop=0.1)
    return nlp, pipe


def apply(nlp: Language, pipe: RelationExtractor, number: int) -> Doc:
    doc = trade(nlp, number)
    doc._.relations = None
    return pipe(doc)


def test_relation_extractor_learns_direction_from_the_words_between(
    trained: tuple[Language, RelationExtractor],
) -> None:
    nlp, pipe = trained
    unseen = examples(nlp, range(100, 120))
    for eg in unseen:
        pipe(eg.predicted)
    assert pipe.score(unseen)["rel_micro_f"] > 0.9


def test_relation_extractor_learns_its_settings_from_the_data(trained: tuple[Language, RelationExtractor]) -> None:
    _, pipe = trained
    assert pipe.labels == ("BUYS_FROM",)
    assert pipe.cfg["max_distance"] == 2
    assert pipe.cfg["span_labels"] == ["WHO"]


def test_relation_extractor_tells_directions_distances_and_labels_apart() -> None:
    nlp, pipe = blank()
    pipe.cfg["span_labels"] = ["WHERE", "WHO"]
    doc = nlp.make_doc("Anna sells to Bert and then to Cleo")
    anna, bert, cleo = Span(doc, 0, 1, "WHO"), Span(doc, 3, 4, "WHERE"), Span(doc, 7, 8, "odd")
    distances = len(relations.DISTANCES)
    assert list(pipe._features(anna, bert)) == [2, 2 * distances + 1, 2 * distances + 2 + 0]
    assert list(pipe._features(bert, anna)) == [distances + 2, 2 * distances, 2 * distances + 2 + 1]
    assert list(pipe._features(anna, cleo)) == [4, 2 * distances + 1], "a label that is not known has no feature"


def test_relation_extractor_writes_sorted_spans_and_a_score_for_each_relation(
    trained: tuple[Language, RelationExtractor],
) -> None:
    nlp, pipe = trained
    doc = trade(nlp, 1)
    first, *others = doc.spans["sc"]
    doc.spans["sc"] = SpanGroup(doc, spans=[*others, first], attrs={"scores": np.array([0.2, 0.3, 0.1])})
    pipe(doc)
    assert [span.start for span in doc.spans["sc"]] == [0, 3, 5]
    assert doc.spans["sc"].attrs["scores"].tolist() == [0.1, 0.2, 0.3]
    assert doc._.relations == [(0, 1, "BUYS_FROM")]
    (score,) = doc._.relation_scores
    assert 0.5 <= score <= 1


def test_relation_extractor_goes_by_its_threshold(trained: tuple[Language, RelationExtractor]) -> None:
    nlp, pipe = trained
    before = pipe.cfg["threshold"]
    try:
        pipe.cfg["threshold"] = 0.0
        assert len(apply(nlp, pipe, 1)._.relations) == 4, "0-3, 3-5 in both directions; 0-5 is too far"
        pipe.cfg["threshold"] = 1.1
        assert apply(nlp, pipe, 1)._.relations == []
    finally:
        pipe.cfg["threshold"] = before


def test_relation_extractor_reads_entities_when_told_so() -> None:
    nlp, pipe = blank(from_ents=True)
    nlp.initialize(lambda: examples(nlp, range(4)))
    doc = trade(nlp, 1)
    doc.ents = [doc.spans["sc"][2], doc.spans["sc"][0]]
    doc.spans["sc"] = []
    pipe(doc)
    assert [(span.start, span.label_) for span in doc.spans["sc"]] == [(0, "WHO"), (5, "WHO")]


@pytest.mark.parametrize("text", ["", "nobody here"])
def test_relation_extractor_of_docs_without_spans(trained: tuple[Language, RelationExtractor], text: str) -> None:
    nlp, pipe = trained
    doc = pipe(nlp.make_doc(text))
    assert doc._.relations == []
    assert list(doc.spans["sc"]) == []


def test_relation_extractor_does_not_learn_from_what_nobody_was_asked_about() -> None:
    nlp, pipe = blank()
    optimizer = nlp.initialize(lambda: examples(nlp, range(4)))
    silent = examples(nlp, range(4))
    for eg in silent:
        eg.reference._.relations = None
    before = pipe.model.to_bytes()
    assert pipe.update(silent, sgd=optimizer) == {"relation_extractor": 0.0}
    assert pipe.model.to_bytes() == before
    pipe.update(examples(nlp, range(4)), sgd=optimizer)
    assert pipe.model.to_bytes() != before


def test_relation_extractor_comes_back_from_disk(trained: tuple[Language, RelationExtractor], tmp_path: Path) -> None:
    nlp, pipe = trained
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    copy = again.get_pipe("relation_extractor")
    assert isinstance(copy, RelationExtractor)
    assert copy.cfg == pipe.cfg
    for number in range(100, 104):
        assert apply(again, copy, number)._.relation_scores == apply(nlp, pipe, number)._.relation_scores


def test_relation_extractor_samples_pairs_without_a_relation() -> None:
    nlp, pipe = blank(negatives=2, max_distance=10)
    nlp.initialize(lambda: examples(nlp, range(4)))
    batch, truth = pipe._lesson(examples(nlp, range(8)))
    assert truth.sum() == 8
    assert len(batch) == 8 * 3


def test_pool_pairs_gradient_is_the_derivative() -> None:
    """Finite differences of the sum of squares, where the token vectors are the only parameters."""
    doc = Doc(spacy.blank("en").vocab, words=list("abcdef"))
    vectors = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float64")
    seen: list[np.ndarray] = []

    def forward(model: Model, docs: list[Doc], is_train: bool):
        return list(vectors), lambda gradients: seen.extend(gradients) or docs

    pairs = Pairs(
        np.array([0, 1, 1]), np.array([[0, 2, 4, 5], [5, 6, 1, 3], [2, 4, 3, 6]]), np.zeros((3, 1), dtype="float64")
    )
    layer = pool_pairs(Model("fixed", forward))
    output, backprop = layer(([doc, doc], pairs), is_train=True)
    assert output.shape == (3, 10)
    assert output[0, :3] == pytest.approx(vectors[0, 0:2].mean(axis=0))
    assert output[1, 6:9] == pytest.approx(vectors[1, 3:5].mean(axis=0)), "between, whatever the direction"
    assert output[2, 6:9] == pytest.approx(0), "nothing is between spans that overlap"
    backprop(2 * output)
    for place in [(0, 0, 0), (0, 2, 1), (1, 2, 2), (1, 3, 0), (1, 5, 1)]:
        step = 1e-5
        vectors[place] += step
        high = (layer(([doc, doc], pairs), is_train=False)[0] ** 2).sum()
        vectors[place] -= 2 * step
        low = (layer(([doc, doc], pairs), is_train=False)[0] ** 2).sum()
        vectors[place] += step
        assert seen[place[0]][place[1:]] == pytest.approx((high - low) / (2 * step), rel=1e-4)


def test_relations_of_says_none_where_nobody_said_anything() -> None:
    nlp = spacy.blank("en")
    assert relations_of(nlp.make_doc("a b")) is None
    assert relations_of(trade(nlp, 1)) == {((0, 4, "WHO"), (15, 19, "WHO"), "BUYS_FROM")}


def test_relations_module_can_be_taken_along_by_a_pipeline() -> None:
    tree = ast.parse(Path(relations.__file__).read_text(encoding="utf-8"))
    plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    others = [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    roots = {name.split(".")[0] for name in (*plain, *others)} - set(sys.stdlib_module_names)
    assert roots == {"numpy", "spacy", "thinc"}
