"""What a completion sets on its doc, and what it does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from handover.doc_relations import get_relations
from handover.domain import Annotation, AnswerStatus, Aspect, Kind, Relation, Span
from handover.errors import ConfigError
from handover.teacher.completion import Completion
from handover.teacher.doc_answer import DocAnswer, read_answer
from handover.teacher.tasks import (
    make_choice_task,
    make_choices_task,
    make_entities_task,
    make_relations_task,
    make_spans_task,
    task_for,
)


def parse(aspect: Aspect, text: str, response: object) -> tuple[Doc, DocAnswer]:
    """The doc and what it holds after a response."""
    (doc,) = task_for(aspect).parse_responses([spacy.blank("en")(text)], [response])
    return doc, read_answer(doc)


@pytest.mark.parametrize(
    "response",
    [
        '{"label": "Offer"}',
        ['{"label": "Offer"}'],
        Completion('{"label": "Offer"}'),
        [Completion('{"label": "offer"}')],
    ],
)
def test_tasks_choice_sets_one_category(stage: Aspect, response: object) -> None:
    doc, answer = parse(stage, "to sell", response)
    assert doc.cats == {"Bid": 0.0, "Offer": 1.0, "Trade": 0.0}
    assert answer.annotation == Annotation(cats=("Offer",))
    assert (answer.status, answer.problems) == (AnswerStatus.OK, ())


@pytest.mark.parametrize(
    ("response", "status", "problem"),
    [
        ("nonsense", AnswerStatus.UNPARSED, "cannot be read: there is no complete JSON object"),
        ('{"label": "Sale"}', AnswerStatus.UNPARSED, "cannot be read: the label is not one of the 3"),
        ([], AnswerStatus.FAILED, "gave no answer"),
        (Completion("", status=AnswerStatus.FAILED, problem="away"), AnswerStatus.FAILED, "away"),
        (
            Completion('{"label": "Bid"}', status=AnswerStatus.REFUSED, problem="no"),
            AnswerStatus.REFUSED,
            "no",
        ),
        (Completion('{"label": "Bid"}', stop_reason="max_tokens"), AnswerStatus.UNPARSED, "was cut off"),
    ],
)
def test_tasks_choice_without_an_answer_sets_no_category(
    stage: Aspect, response: object, status: AnswerStatus, problem: str
) -> None:
    doc, answer = parse(stage, "to sell", response)
    assert doc.cats == {}
    assert (answer.status, answer.annotation) == (status, None)
    assert len(answer.problems) == 1
    assert problem in answer.problems[0]


def test_tasks_entities_sets_exact_spans(terms: Aspect) -> None:
    response = '{"entities": [{"text": "$5", "label": "PRICE"}, {"text": "ROME", "label": "place"}]}'
    doc, answer = parse(terms, "pay $5 in Rome", response)
    assert [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents] == [
        (4, 6, "PRICE"),
        (10, 14, "PLACE"),
    ]
    assert answer.annotation == Annotation(spans=(Span(4, 6, "PRICE"), Span(10, 14, "PLACE")))
    assert answer.problems == ()


def test_tasks_entities_empty_answer_is_an_answer(terms: Aspect) -> None:
    doc, answer = parse(terms, "nothing", '{"entities": []}')
    assert (answer.status, answer.annotation, doc.ents) == (AnswerStatus.OK, Annotation(), ())


def test_tasks_entities_keep_what_can_be_placed(terms: Aspect) -> None:
    response = '{"entities": [{"text": "Oslo", "label": "PLACE"}, {"text": "Rome", "label": "PLACE"}]}'
    doc, answer = parse(terms, "to Rome", response)
    assert answer.status is AnswerStatus.OK
    assert answer.annotation == Annotation(spans=(Span(3, 7, "PLACE"),))
    assert answer.problems == ("entity 1 of 2: its words are not in the text",)
    assert [ent.text for ent in doc.ents] == ["Rome"]


def test_tasks_entities_mostly_not_in_the_text_are_no_answer(terms: Aspect) -> None:
    entities = ", ".join(f'{{"text": "{word}", "label": "PLACE"}}' for word in ("Oslo", "Rome", "Bonn"))
    doc, answer = parse(terms, "to Rome", f'{{"entities": [{entities}]}}')
    assert (answer.status, answer.annotation, doc.ents) == (AnswerStatus.UNPARSED, None, ())
    assert len(answer.problems) == 2


def test_tasks_entities_across_tokens_stay_exact_beside_the_doc(terms: Aspect) -> None:
    doc, answer = parse(terms, "ask joe@rome.example", '{"entities": [{"text": "rome", "label": "PLACE"}]}')
    assert [token.text for token in doc] == ["ask", "joe@rome.example"]
    assert answer.annotation == Annotation(spans=(Span(8, 12, "PLACE"),))
    assert doc.ents == ()
    assert answer.status is AnswerStatus.OK
    assert answer.problems == ("1 of 1 entities do not begin and end with a token (not in doc.ents)",)


@pytest.mark.parametrize(
    ("response", "cats", "problems"),
    [
        ('{"labels": ["time", "Price"]}', ("Price", "Time"), ()),
        ('{"labels": ["Time", "Time"]}', ("Time",), ()),
        ('{"labels": []}', (), ()),
        ('{"labels": ["Mood", "Time"]}', ("Time",), ("label 1 of 2 is not one of the aspect's",)),
    ],
)
def test_tasks_choices_set_a_category_for_each_label(
    topics: Aspect, response: str, cats: tuple[str, ...], problems: tuple[str, ...]
) -> None:
    doc, answer = parse(topics, "to sell", response)
    assert doc.cats == {label: float(label in cats) for label in topics.label_names}
    assert (answer.status, answer.annotation, answer.problems) == (AnswerStatus.OK, Annotation(cats=cats), problems)


def test_tasks_choices_of_mostly_unknown_labels_are_no_answer(topics: Aspect) -> None:
    doc, answer = parse(topics, "to sell", '{"labels": ["None"]}')
    assert (answer.status, answer.annotation, doc.cats) == (AnswerStatus.UNPARSED, None, {})
    assert answer.problems == ("label 1 of 1 is not one of the aspect's",)


def test_tasks_spans_may_overlap_and_stay_exact_beside_the_doc(phrases: Aspect) -> None:
    mentions = [("New York Times", "ORG"), ("New York", "PLACE"), ("New York", "ORG"), ("yo", "ORG"), ("Oslo", "ORG")]
    spans = ", ".join(f'{{"text": "{words}", "label": "{label}"}}' for words, label in mentions)
    doc, answer = parse(phrases, "the New York Times joe@yo.example", f'{{"spans": [{spans}]}}')
    assert answer.annotation == Annotation(
        spans=(Span(4, 12, "ORG"), Span(4, 12, "PLACE"), Span(4, 18, "ORG"), Span(23, 25, "ORG"))
    )
    assert [(span.text, span.label_) for span in doc.spans["sc"]] == [
        ("New York", "ORG"),
        ("New York", "PLACE"),
        ("New York Times", "ORG"),
    ]
    assert answer.problems == (
        "span 5 of 5: its words are not in the text",
        "1 of 4 spans do not begin and end with a token (not in doc.spans)",
    )


def test_tasks_spans_empty_answer_sets_an_empty_group(phrases: Aspect) -> None:
    doc, answer = parse(phrases, "nothing", '{"spans": []}')
    assert (answer.status, answer.annotation, list(doc.spans["sc"])) == (AnswerStatus.OK, Annotation(), [])
    unread, _ = parse(phrases, "nothing", "no idea")
    assert "sc" not in unread.spans


def graph(*edges: tuple[int, int, str]) -> str:
    """Spans 1 (Acme), 2 (Rome), 3 (not in the text), twice 4, and these relations."""
    spans = [(1, "Acme", "ORG"), (2, "Rome", "PLACE"), (3, "Oslo", "PLACE"), (4, "buys", "ORG"), (4, "buys", "PLACE")]
    listed = [{"number": number, "text": words, "label": label} for number, words, label in spans]
    relations = [{"head": head, "child": child, "label": label} for head, child, label in edges]
    return json.dumps({"spans": listed, "relations": relations})


def test_tasks_relations_set_spans_and_edges(deals: Aspect) -> None:
    doc, answer = parse(deals, "Acme buys Rome", graph((1, 2, "in"), (2, 1, "OWNS"), (1, 2, "in")))
    spans = (Span(0, 4, "ORG"), Span(5, 9, "ORG"), Span(5, 9, "PLACE"), Span(10, 14, "PLACE"))
    assert answer.status is AnswerStatus.OK
    assert answer.annotation == Annotation(spans=spans, relations=(Relation(0, 3, "in"), Relation(3, 0, "owns")))
    assert [(span.start_char, span.end_char, span.label_) for span in doc.spans["sc"]] == [
        (span.start, span.end, span.label) for span in spans
    ]
    assert get_relations(doc) == [(0, 3, "in"), (3, 0, "owns")]
    assert answer.problems == ("span 3 of 5: its words are not in the text",)


@pytest.mark.parametrize(
    ("edge", "problem"),
    [
        ((1, 3, "in"), "relation 2 of 2: its child has no place in the text"),
        ((9, 1, "in"), "relation 2 of 2: its head is not one of the spans"),
        ((1, 4, "in"), "relation 2 of 2: 2 spans have the number of its child"),
        ((1, 2, "likes"), "relation 2 of 2: its label is not one of the aspect's"),
    ],
)
def test_tasks_relations_that_cannot_be_placed_are_dropped_and_listed(
    deals: Aspect, edge: tuple[int, int, str], problem: str
) -> None:
    _, answer = parse(deals, "Acme buys Rome", graph((1, 2, "in"), edge))
    assert answer.annotation is not None
    assert answer.annotation.relations == (Relation(0, 3, "in"),)
    assert answer.problems[-1] == problem
    _, alone = parse(deals, "Acme buys Rome", graph(edge))
    assert (alone.status, alone.annotation) == (AnswerStatus.UNPARSED, None)


def test_tasks_relations_empty_answer_is_an_answer(deals: Aspect) -> None:
    doc, answer = parse(deals, "nothing", '{"spans": [], "relations": []}')
    assert (answer.status, answer.annotation, get_relations(doc)) == (AnswerStatus.OK, Annotation(), [])


def test_tasks_doc_with_an_answer_can_be_stored(stage: Aspect) -> None:
    completion = Completion('{"label": "Bid"}', model="m", input_tokens=3, latency_ms=1.5, stop_reason="end_turn")
    doc, answer = parse(stage, "to buy", [completion])
    (stored,) = DocBin(docs=[doc], store_user_data=True).get_docs(doc.vocab)
    assert read_answer(stored) == answer
    assert vars(read_answer(stored).completion) == vars(completion)


def test_tasks_read_answer_needs_one() -> None:
    with pytest.raises(KeyError, match="handover"):
        read_answer(spacy.blank("en")("plain"))


def test_tasks_question_defaults_to_one_that_names_the_aspect(stage: Aspect) -> None:
    unasked = replace(stage, question=" ")
    assert '"stage"' in task_for(unasked).question.wording
    other = replace(unasked, name="phase")
    assert task_for(unasked).prompt_hash != task_for(other).prompt_hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": Kind.RELATIONS}, "'stage' has no labels"),
        ({"labels": ()}, "'stage' has no labels"),
    ],
)
def test_tasks_refuse_what_they_cannot_ask(stage: Aspect, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_for(replace(stage, **change))


def test_tasks_from_a_config_ask_the_same_as_from_an_aspect(stage: Aspect, terms: Aspect) -> None:
    choice = make_choice_task(["Bid", "Offer", "Trade"], stage.question, {"Bid": "wants to buy"})
    assert choice.prompt_hash == task_for(stage).prompt_hash
    entities = make_entities_task(["PRICE", "PLACE"], terms.question, {"PRICE": "an amount of money"}, "House rule.")
    assert entities.prompt_hash == task_for(terms, guidelines="House rule.").prompt_hash
    with pytest.raises(ConfigError, match="at least one label"):
        make_choice_task([], "Why?")


def test_tasks_of_other_kinds_from_a_config_ask_the_same_as_from_an_aspect(
    topics: Aspect, phrases: Aspect, deals: Aspect
) -> None:
    choices = make_choices_task(["Price", "Place", "Time"], topics.question, {"Price": "money is named"})
    assert choices.prompt_hash == task_for(topics).prompt_hash
    spans = make_spans_task(["PLACE", "ORG"], phrases.question, {"ORG": "a company"})
    assert spans.prompt_hash == task_for(phrases).prompt_hash
    relations = make_relations_task(
        ["in", "owns"], ["PLACE", "ORG"], deals.question, {"in": "head is in child"}, {"ORG": "a company"}
    )
    assert relations.prompt_hash == task_for(deals).prompt_hash
    with pytest.raises(ConfigError, match="at least one label"):
        make_relations_task(["in"], [], "Why?")
