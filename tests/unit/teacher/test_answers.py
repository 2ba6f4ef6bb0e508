"""Reading and writing the JSON of the answers."""

from __future__ import annotations

import json

import jsonschema
import pytest

from handover.domain import Annotation, Kind, Span
from handover.teacher.answers import (
    AnswerError,
    Mention,
    answer_schema,
    completion_for,
    match_label,
    parse_choice,
    parse_entities,
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


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
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
    for kind, answer in ((Kind.CHOICE, "Offer"), (Kind.ENTITIES, spans), (Kind.ENTITIES, [])):
        schema = answer_schema(kind, LABELS)
        jsonschema.validate(json.loads(completion_for(kind, "a text", answer)), schema)
        assert schema["additionalProperties"] is False
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"label": "Sale"}, answer_schema(Kind.CHOICE, LABELS))
