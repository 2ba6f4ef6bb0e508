"""Answers from files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from handover.domain import Annotation, AnswerStatus, Aspect, Relation, Span
from handover.errors import TeacherError
from handover.settings import TeacherChoice
from handover.teacher import MemoryCache, TeacherSpec, build_teacher
from handover.teacher.completion import Completion
from handover.teacher.recorded import make_recorded


def write(path: Path, *records: Any) -> Path:
    """A file with these records, one a line."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def answer_of(path: Path, aspect: str, text: str) -> Completion:
    """The recorded completion for a text."""
    ((completion,),) = make_recorded(str(path), aspect)([[text]])
    assert isinstance(completion, Completion)
    return completion


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"aspect": "stage", "completion": "word for word"}, "word for word"),
        ({"completion": '{"label": "Bid"}'}, '{"label": "Bid"}'),
        ({"teacher": {"stage": "Bid", "terms": []}}, '{"label": "Bid"}'),
        ({"teacher": "Bid"}, '{"label": "Bid"}'),
        ({"teacher": []}, '{"entities": []}'),
        (
            {"teacher": [{"start": 3, "end": 7, "label": "PLACE"}]},
            '{"entities": [{"text": "Köln", "label": "PLACE"}]}',
        ),
    ],
)
def test_recorded_shapes(tmp_path: Path, record: dict[str, Any], expected: str) -> None:
    completion = answer_of(write(tmp_path / "a.jsonl", {"text": "to Köln", **record}), "stage", "to Köln")
    assert completion == expected
    assert completion.status is AnswerStatus.OK


SPANS = [{"start": 0, "end": 2, "label": "A"}, {"start": 3, "end": 7, "label": "B"}]
GRAPH = {"spans": SPANS, "relations": [{"head": 1, "child": 0, "label": "of"}]}
GRAPH_COMPLETION = (
    '{"spans": [{"number": 1, "text": "to", "label": "A"}, {"number": 2, "text": "Köln", "label": "B"}], '
    '"relations": [{"head": 2, "child": 1, "label": "of"}]}'
)


@pytest.mark.parametrize(
    ("teacher", "kind", "expected"),
    [
        (["A", "B"], "", '{"labels": ["A", "B"]}'),
        ({"stage": ["A"], "other": "B", "third": SPANS}, "choices", '{"labels": ["A"]}'),
        ([], "choices", '{"labels": []}'),
        ([], "spans", '{"spans": []}'),
        (SPANS[:1], "spans", '{"spans": [{"text": "to", "label": "A"}]}'),
        ({"stage": SPANS[:1]}, "spans", '{"spans": [{"text": "to", "label": "A"}]}'),
        (SPANS[:1], "", '{"entities": [{"text": "to", "label": "A"}]}'),
        (GRAPH, "relations", GRAPH_COMPLETION),
        (GRAPH, "", GRAPH_COMPLETION),
        ({"stage": GRAPH, "spans": SPANS, "other": "A"}, "relations", GRAPH_COMPLETION),
        ({"stage": {"spans": [], "relations": []}}, "relations", '{"spans": [], "relations": []}'),
    ],
)
def test_recorded_answers_of_all_kinds(tmp_path: Path, teacher: Any, kind: str, expected: str) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "to Köln", "teacher": teacher})
    ((completion,),) = make_recorded(str(path), "stage", kind=kind)([["to Köln"]])
    assert completion == expected


@pytest.mark.parametrize(
    ("aspect", "text"),
    [("stage", "to Rome"), ("stage", "to Köln "), ("other", "to Köln"), ("stage", "TO KÖLN")],
)
def test_recorded_has_no_answer_for_other_texts_and_aspects(tmp_path: Path, aspect: str, text: str) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "to Köln", "teacher": {"stage": "Bid"}})
    completion = answer_of(path, aspect, text)
    assert (completion.status, completion.problem) == (AnswerStatus.FAILED, "no recorded answer")


def test_recorded_reads_all_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    write(tmp_path / "a.jsonl", {"text": "one", "teacher": "A"}, {"text": "two", "teacher": "A"})
    write(tmp_path / "deeper" / "b.jsonl", {"text": "two", "teacher": "B"})
    (tmp_path / "notes.txt").write_text("not a record")
    assert answer_of(tmp_path, "stage", "one") == '{"label": "A"}'
    assert answer_of(tmp_path, "stage", "two") == '{"label": "B"}'


def test_recorded_files_are_read_again_only_when_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "one", "teacher": "A"})
    opened: list[Path] = []
    read = Path.open

    def counting(self: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(self)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", counting)
    assert answer_of(path, "stage", "one") == answer_of(path, "terms", "one") == '{"label": "A"}'
    assert opened == [path]
    write(path, {"text": "one", "teacher": "B"})
    os.utime(path, ns=(1, 1))
    assert answer_of(path, "stage", "one") == '{"label": "B"}'


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '["a list"]',
        "{}",
        '{"text": "secret words"}',
        '{"text": 5, "teacher": "A"}',
        '{"text": "secret words", "completion": {"label": "A"}}',
        '{"text": "secret words", "teacher": 7}',
        '{"text": "secret words", "teacher": [{"start": 0}]}',
        '{"text": "secret words", "teacher": ["A", {"start": 0}]}',
        '{"text": "secret words", "teacher": {"spans": [], "relations": [{"head": 0, "child": 0, "label": "A"}]}}',
        '{"text": "secret words", "teacher": {"x": {"spans": []}}}',
        '{"text": "secret words", "teacher": [{"start": 0, "end": 99, "label": "A"}]}',
    ],
)
def test_recorded_bad_line_is_named_without_its_text(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "fine", "teacher": "A"}}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(TeacherError, match=r"Line 3 of .*a\.jsonl") as caught:
        make_recorded(str(path), "stage")
    assert "secret words" not in str(caught.value)


def test_recorded_missing_file_says_what_to_set(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(TeacherError, match="Set HANDOVER_TEACHER_RECORDED"):
            make_recorded(str(path), "stage")


def test_recorded_model_id_changes_with_the_answers(tmp_path: Path) -> None:
    first = make_recorded(str(write(tmp_path / "a.jsonl", {"text": "t", "teacher": {"x": "A", "y": "A"}})), "x")
    same = make_recorded(str(write(tmp_path / "b.jsonl", {"text": "t", "teacher": {"x": "A", "y": "B"}})), "x")
    other = make_recorded(str(write(tmp_path / "c.jsonl", {"text": "t", "teacher": {"x": "B"}})), "x")
    assert first.model_id == same.model_id != other.model_id
    assert first.model_id.startswith("recorded-")


def test_recorded_teacher_answers_with_exact_spans(tmp_path: Path, terms: Aspect) -> None:
    text = "🙂 Rome, then\nRome again"
    spans = [{"start": 13, "end": 17, "label": "PLACE"}, {"start": 2, "end": 6, "label": "PLACE"}]
    path = write(tmp_path / "a.jsonl", {"text": text, "teacher": {"terms": spans}})
    teacher = build_teacher(terms, TeacherSpec(TeacherChoice.RECORDED, recorded=path))
    assert teacher is not None
    known, unknown = teacher.annotate([text, "to Oslo"], MemoryCache())
    assert known.annotation is not None
    assert known.annotation.spans == (Span(2, 6, "PLACE"), Span(13, 17, "PLACE"))
    assert (unknown.status, unknown.problems) == (AnswerStatus.FAILED, ("no recorded answer",))


def test_recorded_teacher_answers_for_all_aspects_of_a_file(
    tmp_path: Path, topics: Aspect, phrases: Aspect, deals: Aspect
) -> None:
    text = "😀 New York Times\r\nin Rome"
    spans = [(2, 16, "ORG"), (2, 10, "PLACE"), (21, 25, "PLACE")]
    listed = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    graph = {"spans": listed, "relations": [{"head": 0, "child": 2, "label": "in"}]}
    answers = {"topics": ["Time", "Price"], "phrases": listed, "relations": graph}
    path = write(tmp_path / "a.jsonl", {"text": text, "teacher": answers})
    found = {}
    for aspect in (topics, phrases, deals):
        teacher = build_teacher(aspect, TeacherSpec(TeacherChoice.RECORDED, recorded=path))
        assert teacher is not None
        (answer,) = teacher.annotate([text], MemoryCache())
        assert (answer.status, answer.problems) == (AnswerStatus.OK, ())
        found[aspect.name] = answer.annotation
    ordered = tuple(sorted(Span(*span) for span in spans))
    assert found == {
        "topics": Annotation(cats=("Price", "Time")),
        "phrases": Annotation(spans=ordered),
        "relations": Annotation(spans=ordered, relations=(Relation(1, 2, "in"),)),
    }
