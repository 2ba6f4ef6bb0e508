"""What is trained on: order, sifting, checks, and dev when there is too little of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handover.domain import Annotation, Aspect, Span
from handover.errors import TrainingError
from handover.student.training_set import LabelledText, TrainingSet, prepare
from tests.texts import STAGE, TERMS, choice, entities

EMPTY = LabelledText("nothing is marked here", Annotation())
GONE = LabelledText("a label that the config lost", Annotation(cats=("Removed",)))
BLANK = LabelledText(" \n", Annotation(cats=("Bid",)))


def test_prepare_order_of_examples_does_not_matter() -> None:
    forward = TrainingSet(train=choice(20), dev=choice(9, start=50), silver=choice(5, start=80))
    backward = TrainingSet(*(part[::-1] for part in (forward.train, forward.dev, forward.silver)))
    assert prepare(STAGE, forward) == prepare(STAGE, backward)


def test_prepare_leaves_out_and_counts_what_cannot_be_learned_from() -> None:
    silver = (*choice(2, start=80), choice(1)[0], choice(1, start=50)[0], EMPTY)
    prepared = prepare(STAGE, TrainingSet((*choice(20), GONE, BLANK), (*choice(9, start=50), EMPTY), silver))
    assert prepared.unusable == 3 + 3
    assert prepared.examples.train == tuple(sorted(choice(20), key=lambda e: e.text))
    assert {e.text for e in prepared.examples.silver} == {e.text for e in choice(2, start=80)}


def test_prepare_keeps_empty_annotations_of_entities() -> None:
    prepared = prepare(TERMS, TrainingSet((*entities(20), EMPTY), entities(9, start=50)))
    assert EMPTY in prepared.examples.train
    assert prepared.unusable == 0


@pytest.mark.parametrize(
    ("aspect", "train", "dev", "said"),
    [
        (STAGE, (), (), "0 usable train and 0 dev examples; training needs at least 8"),
        (STAGE, choice(4), choice(3, start=50), "4 usable train and 3 dev examples"),
        (STAGE, (), choice(20), "0 usable train and 20 dev examples"),
        (STAGE, choice(20)[::2], choice(8, start=50), "All 10 train examples of aspect 'stage' have the label 'Bid'"),
        (TERMS, (EMPTY,) * 20, entities(8), "Nothing is marked in the 20 train examples of aspect 'terms'"),
    ],
)
def test_prepare_says_what_is_missing(
    aspect: Aspect, train: tuple[LabelledText, ...], dev: tuple[LabelledText, ...], said: str
) -> None:
    with pytest.raises(TrainingError, match="Annotate") as caught:
        prepare(aspect, TrainingSet(train, dev))
    assert said in str(caught.value)


def test_prepare_errors_hold_no_task_text() -> None:
    one_sided = TrainingSet(choice(20)[::2], choice(8, start=50))
    with pytest.raises(TrainingError) as caught:
        prepare(STAGE, one_sided)
    assert "Zyxomat" not in str(caught.value)


@pytest.mark.parametrize(
    ("train", "dev", "moved"),
    [(100, 0, 8), (100, 3, 5), (100, 8, 0), (20, 0, 5), (8, 0, 2), (8, 3, 0)],
)
def test_prepare_fills_dev_from_train(train: int, dev: int, moved: int) -> None:
    prepared = prepare(STAGE, TrainingSet(choice(train), choice(dev, start=200)))
    assert prepared.moved_to_dev == moved
    assert len(prepared.examples.dev) == dev + moved
    assert len(prepared.examples.train) == train - moved
    assert not set(prepared.examples.train) & set(prepared.examples.dev)


def test_prepare_leaves_the_last_example_of_a_label_in_train() -> None:
    rare = LabelledText("the only one", Annotation(cats=("Never used",)))
    bids = choice(40)[::2]
    for number in range(8):  # whatever the draw says about other companions
        companions = tuple(replace(e, text=f"{e.text} {number}") for e in bids)
        prepared = prepare(STAGE, TrainingSet((*companions, rare), ()))
        assert rare in prepared.examples.train


def test_prepare_without_any_example_to_spare_for_dev() -> None:
    labels = ["PRICE", "PLACE", "Never: used."]
    answers = [labels[:1], labels[1:2], labels[2:], labels[:2], labels[1:], labels[::2], labels, []]
    train = tuple(
        LabelledText(f"text {i}", Annotation(spans=tuple(Span(k, k + 1, label) for k, label in enumerate(answer))))
        for i, answer in enumerate(answers)
    )
    with pytest.raises(TrainingError, match="none of its 8 train examples can be spared"):
        prepare(TERMS, TrainingSet(train, ()))
