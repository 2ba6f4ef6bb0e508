"""Reading and writing the JSON of the answers."""

from __future__ import annotations

import json

import jsonschema
import pytest

from handover.domain import Annotation, Kind, Relation, Span
from handover.teacher.answers import (
    AnswerError,
    Edge,
    Mention,
    answer_schema,
    completion_for,
    match_label,
    parse_choice,
    parse_choices,
    parse_entities,
    parse_relations,
    parse_spans,
)

LABELS = ("Bid", "Offer", "Not mentioned")


@pytest.mark.parametrize(
    "completion",
    [
        '{"label": "Offer"}',
        '  {"label":"Offer"}\n',
        '```json\n{"label": "Offer"}\n```',
        'The answer is {"label": "Offer"}, because the seller "names" a price.',
        '{"label": "Offer",}',
        '{"label": " offer "}',
        '{"reason": "{braces} in a string", "label": "OFFER"}',
        'Set {a, b}: {"label": "Offer"}',
        '{"label": "Offer"} Once more: {"label": "Offer"}',
    ],
)
def test_answers_choice_is_read(completion: str) -> None:
    assert parse_choice(completion, LABELS) == "Offer"


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ("", "no complete JSON object"),
        ("Offer", "no complete JSON object"),
        ('"Offer"', "no complete JSON object"),
        ('["Offer"]', "no complete JSON object"),
        ('{"label": "Off', "no complete JSON object"),
        ('{"label": "Bid", "label": "Offer"}', "no complete JSON object"),
        ("{" * 50_000, "no complete JSON object"),
        ('{"' * 5_000, "no complete JSON object"),
        ('{"a":' * 5_000, "no complete JSON object"),
        ('{"label": 3}', "label: Input should be a valid string"),
        ('{"label": null}', "label: Input should be a valid string"),
        ('{"label": ["Bid", "Offer"]}', "label: Input should be a valid string"),
        ('{"answer": {"label": "Offer"}}', "label: Field required"),
        ('{"answer": {"label": "Offer"}, "why": "', "no complete JSON object"),
        ('{"answer": {"label": "Offer"}', "no complete JSON object"),
        ('{"label": "Sale"}', "not one of the 3 labels"),
        ('{"label": "Offer or Bid"}', "not one of the 3 labels"),
        ('{"label": ""}', "not one of the 3 labels"),
        ('{"label": "Bid"} or rather {"label": "Offer"}', "2 different answers"),
    ],
)
def test_answers_choice_is_never_guessed(completion: str, problem: str) -> None:
    with pytest.raises(AnswerError, match=problem):
        parse_choice(completion, LABELS)


@pytest.mark.parametrize("word", ["Wolfsburg", "sk-secret"])
def test_answers_errors_do_not_quote_the_completion(word: str) -> None:
    for completion in (f'{{"label": "{word}"}}', f'{{"label": ["{word}"]}}', f'{{"{word}": 1}}', word):
        with pytest.raises(AnswerError) as caught:
            parse_choice(completion, LABELS)
        assert word not in str(caught.value)


def test_answers_entities_keep_their_order() -> None:
    completion = 'Here:\n{"entities": [{"text": "b", "label": "bid"}, {"text": "a", "label": "Nope"}]}'
    assert parse_entities(completion, LABELS) == [Mention("b", "Bid"), Mention("a", None)]


def test_answers_trailing_commas_leave_strings_alone() -> None:
    completion = '{"entities": [{"text": "a, }", "label": "Bid",}, {"text": "x,]\\",}", "label": "Bid"},],}'
    assert parse_entities(completion, LABELS) == [Mention("a, }", "Bid"), Mention('x,]",}', "Bid")]


def test_answers_line_break_inside_a_string_is_read() -> None:
    assert parse_entities('{"entities": [{"text": "a\nb", "label": "Bid"}]}', LABELS) == [Mention("a\nb", "Bid")]


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ('{"entities": [{"text": "a", "label": "Bid"}, {"text": "b"', "no complete JSON object"),
        ('{"entities": [{"text": "a"}]}', "entities.0.label: Field required"),
        ('{"entities": [{"text": 5, "label": "Bid"}]}', "entities.0.text: Input should be a valid string"),
        ('{"entities": {"text": "a", "label": "Bid"}}', "entities: Input should be a valid list"),
        ('{"entities": null}', "entities: Input should be a valid list"),
        ('[{"text": "a", "label": "Bid"}]', "entities: Field required"),
    ],
)
def test_answers_entities_of_another_form_are_refused(completion: str, problem: str) -> None:
    with pytest.raises(AnswerError, match=problem):
        parse_entities(completion, LABELS)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ('{"labels": ["offer", "Bid"]}', ["Offer", "Bid"]),
        ('```json\n{"labels": ["Offer",],}\n```', ["Offer"]),
        ('{"labels": []}', []),
        ('{"labels": "not mentioned"}', ["Not mentioned"]),
        ('{"labels": ["Sale", "Bid"]}', [None, "Bid"]),
    ],
)
def test_answers_choices_are_read(completion: str, expected: list[str | None]) -> None:
    assert parse_choices(completion, LABELS) == expected


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ('{"label": "Bid"}', "labels: Field required"),
        ('{"labels": null}', "labels: Input should be a valid list"),
        ('{"labels": ["Bid", 3]}', "labels.1: Input should be a valid string"),
        ('{"labels": ["Bid"]} or {"labels": []}', "2 different answers"),
        ('{"labels": ["Bid"', "no complete JSON object"),
        ('{"labels": ' + "9" * 5_000 + "}", "no complete JSON object"),
    ],
)
def test_answers_choices_of_another_form_are_refused(completion: str, problem: str) -> None:
    with pytest.raises(AnswerError, match=problem):
        parse_choices(completion, LABELS)


def test_answers_spans_are_read_under_their_own_name() -> None:
    spans = '[{"text": "to sell", "label": "OFFER"}, {"text": "sell", "label": "x"}]'
    assert parse_spans(f'{{"spans": {spans}}}', LABELS) == [Mention("to sell", "Offer"), Mention("sell", None)]
    with pytest.raises(AnswerError, match="spans: Field required"):
        parse_spans(f'{{"entities": {spans}}}', LABELS)


@pytest.mark.parametrize("numbers", [("1", "2"), ('"1"', '"2"')])
def test_answers_relations_are_read_with_their_numbers(numbers: tuple[str, str]) -> None:
    first, second = numbers
    graph = parse_relations(
        f'{{"spans": [{{"number": {second}, "text": "Ann", "label": "person"}}, '
        f'{{"number": {first}, "text": "Rome", "label": "Town"}}], '
        f'"relations": [{{"head": {second}, "child": {first}, "label": "OFFER"}}, '
        f'{{"head": {first}, "child": 9, "label": "x"}}]}}',
        LABELS,
        ("Person", "Place"),
    )
    assert graph.mentions == (Mention("Ann", "Person"), Mention("Rome", None))
    assert graph.numbers == (2, 1)
    assert graph.edges == (Edge(2, 1, "Offer"), Edge(1, 9, None))


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ('{"spans": []}', "relations: Field required"),
        ('{"spans": [{"text": "a", "label": "b"}], "relations": []}', "spans.0.number: Field required"),
        ('{"spans": [], "relations": [{"head": 1.5, "child": 1, "label": "a"}]}', "relations.0.head: Input should be"),
        ('{"spans": [], "relations": [{"head": true, "child": 1, "label": "a"}]}', "relations.0.head: Input should be"),
        ('{"spans": [], "relations": [{"head": "Ann", "child": 1, "label": "a"}]}', "relations.0.head: Input should"),
    ],
)
def test_answers_relations_of_another_form_are_refused(completion: str, problem: str) -> None:
    with pytest.raises(AnswerError, match=problem):
        parse_relations(completion, LABELS, ("Person",))


@pytest.mark.parametrize(
    ("value", "labels", "expected"),
    [
        ("us", ("US", "Us", "us"), "us"),
        ("uS", ("US", "Us"), None),
        ("not\n mentioned", LABELS, "Not mentioned"),
        ("NOT  MENTIONED ", LABELS, "Not mentioned"),
        ("mentioned", LABELS, None),
        ("STRASSE", ("Straße",), "Straße"),
    ],
)
def test_answers_labels_match_only_without_doubt(value: str, labels: tuple[str, ...], expected: str | None) -> None:
    assert match_label(value, labels) == expected


def test_answers_composed_completions_are_read_back() -> None:
    text = 'Ein "Angebot" für 5 €\nin Köln'
    spans = [{"start": 25, "end": 29, "label": "Bid"}, {"start": 4, "end": 13, "label": "Offer"}]
    completion = completion_for(Kind.ENTITIES, text, spans)
    assert parse_entities(completion, LABELS) == [Mention('"Angebot"', "Offer"), Mention("Köln", "Bid")]
    assert completion == completion_for(
        Kind.ENTITIES, text, Annotation(spans=(Span(4, 13, "Offer"), Span(25, 29, "Bid")))
    )
    assert parse_choice(completion_for(Kind.CHOICE, text, "Bid"), LABELS) == "Bid"
    assert completion_for(Kind.CHOICE, text, Annotation(cats=("Bid",))) == '{"label": "Bid"}'


def test_answers_composed_completions_of_other_kinds_are_read_back() -> None:
    text = "New York Times in New York"
    assert parse_choices(completion_for(Kind.CHOICES, text, ["Bid", "Offer"]), LABELS) == ["Bid", "Offer"]
    assert completion_for(Kind.CHOICES, text, Annotation()) == '{"labels": []}'
    spans = [{"start": 0, "end": 8, "label": "Bid"}, {"start": 0, "end": 14, "label": "Offer"}]
    outer_first = [Mention("New York Times", "Offer"), Mention("New York", "Bid")]
    assert parse_spans(completion_for(Kind.SPANS, text, spans), LABELS) == outer_first
    graph = {"spans": spans, "relations": [{"head": 0, "child": 1, "label": "Bid"}]}
    completion = completion_for(Kind.RELATIONS, text, graph)
    read = parse_relations(completion, LABELS, LABELS)
    assert (list(read.mentions), read.numbers, read.edges) == (outer_first, (1, 2), (Edge(2, 1, "Bid"),))
    annotation = Annotation(spans=(Span(0, 8, "Bid"), Span(0, 14, "Offer")), relations=(Relation(0, 1, "Bid"),))
    assert completion_for(Kind.RELATIONS, text, annotation) == completion


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Kind.CHOICES, "Bid"),
        (Kind.CHOICES, [{"start": 0, "end": 1, "label": "Bid"}]),
        (Kind.SPANS, {"spans": [], "relations": []}),
        (Kind.SPANS, [{"start": 0, "end": 99, "label": "Bid"}]),
        (Kind.RELATIONS, []),
        (Kind.RELATIONS, {"spans": [], "relations": [{"head": 0, "child": 0, "label": "Bid"}]}),
        (Kind.RELATIONS, {"spans": [{"start": 0, "end": 99, "label": "Bid"}], "relations": []}),
        (Kind.CHOICE, Annotation(cats=("a", "b"))),
        (Kind.CHOICE, []),
        (Kind.ENTITIES, "Bid"),
        (Kind.ENTITIES, [{"start": 0, "end": 99, "label": "Bid"}]),
        (Kind.ENTITIES, [{"start": 2, "end": 2, "label": "Bid"}]),
        (Kind.ENTITIES, [{"start": -1, "end": 2, "label": "Bid"}]),
    ],
)
def test_answers_composing_refuses_what_does_not_fit(kind: Kind, answer: object) -> None:
    with pytest.raises(ValueError, match=r"label|span|kind"):
        completion_for(kind, "a text", answer)  # type: ignore[arg-type]


def test_answers_schema_accepts_what_is_composed() -> None:
    spans = [{"start": 0, "end": 1, "label": "Bid"}]
    graph = {"spans": spans, "relations": [{"head": 0, "child": 0, "label": "Offer"}]}
    answers = (
        (Kind.CHOICE, "Offer"),
        (Kind.CHOICES, ["Offer", "Bid"]),
        (Kind.CHOICES, []),
        (Kind.ENTITIES, spans),
        (Kind.ENTITIES, []),
        (Kind.SPANS, spans),
        (Kind.RELATIONS, graph),
    )
    for kind, answer in answers:
        schema = answer_schema(kind, LABELS, ("Bid",))
        jsonschema.validate(json.loads(completion_for(kind, "a text", answer)), schema)
        assert schema["additionalProperties"] is False
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"label": "Sale"}, answer_schema(Kind.CHOICE, LABELS))


def without_redundant_types(schema: object) -> object:
    """The SDK leaves out the type of an enum, which its values tell."""
    if isinstance(schema, list):
        return [without_redundant_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: without_redundant_types(v) for key, v in schema.items() if not (key == "type" and "enum" in schema)}


@pytest.mark.parametrize("kind", list(Kind))
def test_answers_schema_is_what_structured_outputs_accept(kind: Kind) -> None:
    from anthropic import transform_schema

    schema = answer_schema(kind, LABELS, ("PERSON",))
    assert transform_schema(schema) == without_redundant_types(schema), "the SDK takes nothing out of it"
