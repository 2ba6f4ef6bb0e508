"""Relations on a Doc."""

from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from handover.doc_relations import SPANS_KEY, get_relations, set_relations


@pytest.fixture
def doc() -> Doc:
    return spacy.blank("xx")("Ann met Bob in Rome")


def test_doc_relations_are_renumbered_when_spans_are_sorted(doc: Doc) -> None:
    spans = [doc.char_span(15, 19, "PLACE"), doc.char_span(0, 3, "PERSON"), doc.char_span(0, 3, "NAME")]
    set_relations(doc, spans, [(1, 0, "in"), (2, 0, "in")])
    assert [(span.text, span.label_) for span in doc.spans[SPANS_KEY]] == [
        ("Ann", "NAME"),
        ("Ann", "PERSON"),
        ("Rome", "PLACE"),
    ]
    assert get_relations(doc) == [(0, 2, "in"), (1, 2, "in")]


def test_doc_relations_none_set_is_none_and_no_edges_is_an_answer(doc: Doc) -> None:
    assert get_relations(doc) is None
    set_relations(doc, [], [])
    assert get_relations(doc) == []


def test_doc_relations_survive_a_docbin(doc: Doc) -> None:
    set_relations(doc, [doc.char_span(0, 3, "PERSON"), doc.char_span(8, 11, "PERSON")], [(1, 0, "met")])
    (stored,) = DocBin(docs=[doc], store_user_data=True).get_docs(doc.vocab)
    assert get_relations(stored) == [(1, 0, "met")]
    assert [span.text for span in stored.spans[SPANS_KEY]] == ["Ann", "Bob"]


def test_doc_relations_refuse_an_edge_to_nowhere(doc: Doc) -> None:
    with pytest.raises(IndexError, match="one of the 1 spans"):
        set_relations(doc, [doc.char_span(0, 3, "PERSON")], [(0, 1, "met")])
