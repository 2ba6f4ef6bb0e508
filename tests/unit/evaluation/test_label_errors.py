"""Doubts about annotations, on probabilities made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from handover.evaluation.label_errors import doubted_choices, doubted_labels, doubted_marks

LABELS = ("Bid", "Offer", "Trade")
SURE = {"Bid": [0.9, 0.05, 0.05], "Offer": [0.1, 0.8, 0.1], "Trade": [0.2, 0.1, 0.7]}


def test_doubted_choices_finds_the_label_that_is_confidently_another() -> None:
    right = ["Bid", "Offer", "Trade"] * 10
    given = list(right)
    given[4], given[9] = "Trade", "Offer"  # really Offer and Bid
    found = doubted_choices([SURE[label] for label in right], given, LABELS)
    assert [(s.index, s.given, s.suggested) for s in found] == [
        (9, ("Offer",), ("Bid",)),
        (4, ("Trade",), ("Offer",)),
    ]
    assert [s.score for s in found] == pytest.approx([0.85, 0.7])


def test_doubted_choices_does_not_doubt_where_the_model_is_less_sure_than_usual() -> None:
    given = ["Bid"] * 10 + ["Offer"] * 10
    probabilities = [SURE[label] for label in given]
    probabilities[0] = [0.4, 0.6, 0.0]  # more likely an offer, but offers usually get 0.8
    assert doubted_choices(probabilities, given, LABELS) == []


def test_doubted_choices_never_suggests_a_label_that_nobody_chose() -> None:
    probabilities = [[0.3, 0.0, 0.7]] * 5 + [[0.0, 0.9, 0.1]] * 5
    assert doubted_choices(probabilities, ["Bid"] * 5 + ["Offer"] * 5, LABELS) == []
    assert doubted_choices(np.zeros((0, 3)), [], LABELS) == []


def test_doubted_labels_says_what_to_add_and_to_drop() -> None:
    given = [("Bid",), ("Offer",), ("Bid", "Offer"), ()] * 5
    probabilities = np.array([[0.9 if label in chosen else 0.1 for label in LABELS] for chosen in given])
    probabilities[0] = [0.05, 0.95, 0.1]
    (doubt,) = doubted_labels(probabilities, given, LABELS)
    assert (doubt.index, doubt.given, doubt.suggested) == (0, ("Bid",), ("Offer",))


def test_doubted_marks_finds_what_is_missing_and_what_is_too_much() -> None:
    price, place = ("PRICE", "0-3"), ("PLACE", "5-9")
    predicted = [[(price, 0.9), (place, 0.9)]] * 6 + [[(price, 0.9)]] * 3
    given = [[price, place]] * 5 + [[price]] + [[price]] * 2 + [[price, place]]
    sure = [0.8] * 8 + [0.9]
    found = {s.index: s for s in doubted_marks(predicted, given, sure)}
    assert set(found) == {5, 8}
    assert (found[5].given, found[5].suggested, found[5].score) == ((), ("PLACE 5-9",), 0.9)
    assert (found[8].given, found[8].suggested, found[8].score) == (("PLACE 5-9",), (), 0.9)


def test_doubted_marks_leaves_out_what_the_model_is_unsure_about() -> None:
    price, place = ("PRICE", "0-3"), ("PLACE", "5-9")
    predicted = [[(price, 0.9)]] * 6 + [[(price, 0.9), (place, 0.6)], [(price, 0.9)]]
    given = [[price]] * 7 + [[price, place]]
    assert doubted_marks(predicted, given, [0.8] * 7 + [0.5]) == []
    assert doubted_marks([[]], [[price]], [0.99]) == [], "nothing to compare with"
