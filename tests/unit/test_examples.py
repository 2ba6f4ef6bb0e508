"""Annotations as examples: splits, blindness of gold, several annotators."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from handover.annotation_intake import apply_annotation
from handover.domain import Annotation, Split
from handover.evaluation.scores import score
from handover.examples import Examples, load_examples
from handover.intake import apply_config, apply_tasks, options_for
from handover.labelstudio.protocol import AnnotationIn, TaskIn
from handover.store.annotations import set_aside_counts
from handover.store.database import Database
from handover.store.models import ProjectRow, TaskRow
from handover.store.projects import aspect_of, aspects_of
from handover.store.tasks import tasks_by_ls_id
from tests.projects import CHOICE_CONFIG, ENTITY_CONFIG, START, chosen, tasks


@pytest.fixture
def rows(database: Database, project: ProjectRow, settings) -> dict[int, TaskRow]:
    with database.write() as session:
        return apply_tasks(session, project, tasks(60), options_for(project, settings))


def one(rows: dict[int, TaskRow], split: Split) -> TaskRow:
    return next(row for row in rows.values() if row.split == split.value)


def annotate(database: Database, project: ProjectRow, task: TaskRow, *annotations: AnnotationIn) -> Examples:
    with database.write() as session:
        for annotation in annotations:
            apply_annotation(session, project, task, annotation)
    with database.read() as session:
        return load_examples(session, aspects_of(session, project.id)[0], max_text_chars=50_000)


@pytest.mark.parametrize("split", list(Split))
def test_examples_go_where_the_split_says(database, project, rows, split) -> None:
    task = one(rows, split)
    examples = annotate(database, project, task, chosen("Bid", id=1))
    assert [t.ls_task_id for t in getattr(examples, split.value)] == [task.ls_id]
    assert len(examples.train) + len(examples.dev) + len(examples.gold) == 1
    assert getattr(examples, split.value)[0].annotation.cats == ("Bid",)


@pytest.mark.parametrize(
    ("more", "content", "blind"),
    [
        ({}, None, True),
        ({"parent_prediction": 5}, None, False),
        ({"parent_prediction": 5}, True, False),
        ({"parent_prediction": 5}, False, True),
        ({"import_id": 2}, None, False),
        ({"import_id": 2, "ground_truth": True}, None, False),
        ({"completed_by": 1, "updated_by": None, "ground_truth": True}, None, False),
        ({"completed_by": 1, "updated_by": 1, "ground_truth": True}, None, True),
        ({"completed_by": 1, "updated_by": None, "parent_prediction": 5}, False, False),
        ({"last_action": "imported"}, None, False),
    ],
)
def test_examples_void_gold_that_was_not_annotated_blind(database, project, rows, more, content, blind) -> None:
    task = one(rows, Split.GOLD)
    with database.write() as session:
        apply_annotation(session, project, task, chosen("Bid", id=1, **more))
        from handover.store.annotations import annotations_by_ls_id

        annotations_by_ls_id(session, project.id, [1])[1].parent_has_content = content
    examples = annotate(database, project, task)
    assert (len(examples.gold), examples.voided) == ((1, 0) if blind else (0, 1))


def test_examples_count_imported_gold_that_somebody_marked_as_ground_truth_since(database, project, rows) -> None:
    task = one(rows, Split.GOLD)
    imported = {"completed_by": 1, "import_id": 2}
    examples = annotate(database, project, task, chosen("Bid", id=1, updated_by=None, **imported))
    assert (len(examples.gold), examples.voided) == (0, 1)
    marked = chosen("Bid", id=1, seconds=5, ground_truth=True, updated_by=1, **imported)
    examples = annotate(database, project, task, marked)
    assert (len(examples.gold), examples.voided) == (1, 0)


@pytest.mark.parametrize("split", list(Split))
def test_examples_prefer_people_to_what_was_imported(database, project, rows, split) -> None:
    """Label Studio marks all that it imports as ground truth: an LLM's answers, too."""
    task = one(rows, split)
    imported = chosen("Bid", id=1, ground_truth=True, completed_by=1, updated_by=None)
    examples = annotate(database, project, task, imported, chosen("Offer", id=2, completed_by=3, updated_by=3))
    assert [t.annotation.cats for t in getattr(examples, split.value)] == [("Offer",)]


def test_examples_score_the_teacher_on_blind_gold_alone(database, project, rows) -> None:
    """The lesson of r/Cooking: people who correct a teacher let its errors pass, so such gold flatters it.

    The teacher says "Bid" for every task, and every second one is an offer. Blind annotators say so; those who were
    shown "Bid" corrected a third of it.
    """
    gold = [row for row in rows.values() if row.split == "gold"]
    half = len(gold) // 2
    blind, corrected = gold[:half], gold[half:]
    for i, task in enumerate(blind):
        annotate(database, project, task, chosen(("Bid", "Offer")[i % 2], id=i + 1))
    with database.write() as session:
        for i, task in enumerate(corrected, start=100):
            apply_annotation(
                session, project, task, chosen("Offer" if i % 6 == 1 else "Bid", id=i, parent_prediction=i)
            )
    with database.read() as session:
        row = aspects_of(session, project.id)[0]
        examples = load_examples(session, row, max_text_chars=50_000)
        aspect = aspect_of(row)
    assert (len(blind) >= 4, len(corrected) >= 4) == (True, True)
    assert {task.ls_task_id for task in examples.gold} == {task.ls_id for task in blind}
    assert examples.voided == len(corrected)
    references = [task.annotation for task in examples.gold]
    teacher = [Annotation(cats=("Bid",))] * len(references)
    assert score(aspect.kind, aspect.label_names, references, teacher).value == (half + 1) // 2 / half


def test_examples_do_not_void_train_tasks_that_started_from_a_prediction(database, project, rows) -> None:
    examples = annotate(database, project, one(rows, Split.TRAIN), chosen("Bid", id=1, parent_prediction=5))
    assert (len(examples.train), examples.voided) == (1, 0)


def test_examples_void_gold_whose_text_was_edited_afterwards(database, project, rows, settings) -> None:
    task = one(rows, Split.GOLD)
    annotate(database, project, task, chosen("Bid", id=1))
    with database.write() as session:
        edited = TaskIn(id=task.ls_id, data={"text": "quite another text"})
        apply_tasks(session, project, [edited], options_for(project, settings))
    examples = annotate(database, project, task)
    assert (len(examples.gold), examples.voided) == (0, 1)


def test_examples_count_gold_that_was_submitted_again_for_the_edited_text(database, project, rows, settings) -> None:
    task = one(rows, Split.GOLD)
    annotate(database, project, task, chosen("Bid", id=1))
    edited = TaskIn(id=task.ls_id, data={"text": "quite another text"}, updated_at=START + timedelta(seconds=60))
    with database.write() as session:
        task = apply_tasks(session, project, [edited], options_for(project, settings))[task.ls_id]
    for seconds, expected in ((30, (0, 1)), (90, (1, 0))):
        examples = annotate(database, project, task, chosen("Bid", id=1, seconds=seconds))
        assert (len(examples.gold), examples.voided) == expected


def test_examples_void_gold_of_an_edited_text_though_label_studios_clock_is_ahead(
    database, project, rows, settings
) -> None:
    task = one(rows, Split.GOLD)
    ahead = chosen("Bid", id=1).model_copy(update={"updated_at": datetime.now(timezone.utc) + timedelta(minutes=4)})
    annotate(database, project, task, ahead)
    with database.write() as session:
        edited = TaskIn(id=task.ls_id, data={"text": "quite another text"})
        task = apply_tasks(session, project, [edited], options_for(project, settings))[task.ls_id]
    examples = annotate(database, project, task)
    assert (len(examples.gold), examples.voided) == (0, 1)


@pytest.mark.parametrize(
    ("labels", "expected", "ties"),
    [(("Bid", "Bid", "Offer"), ("Bid",), 0), (("Bid", "Offer"), None, 1), (("Bid",), ("Bid",), 0)],
)
def test_examples_take_the_majority_of_several_annotators(database, project, rows, labels, expected, ties) -> None:
    task = one(rows, Split.TRAIN)
    annotations = [chosen(label, id=i, completed_by=i) for i, label in enumerate(labels, start=1)]
    examples = annotate(database, project, task, *annotations)
    assert [t.annotation.cats for t in examples.train] == ([expected] if expected else [])
    assert examples.ties == ties


def test_examples_let_ground_truth_overrule_the_majority(database, project, rows) -> None:
    annotations = [chosen("Bid", id=1), chosen("Bid", id=2), chosen("Trade", id=3, ground_truth=True)]
    examples = annotate(database, project, one(rows, Split.TRAIN), *annotations)
    assert examples.train[0].annotation.cats == ("Trade",)


def test_examples_leave_out_skipped_and_unreadable_annotations(database, project, rows) -> None:
    train = [row for row in rows.values() if row.split == "train"]
    annotate(database, project, train[0], chosen("Bid", id=1, was_cancelled=True))
    examples = annotate(database, project, train[1], chosen("Nonsense", id=2))
    assert (len(examples.train), examples.unusable) == (0, 1)


def test_examples_gold_hash_changes_with_the_gold(database, project, rows) -> None:
    task = one(rows, Split.GOLD)
    first = annotate(database, project, task, chosen("Bid", id=1)).gold_hash
    assert annotate(database, project, one(rows, Split.TRAIN), chosen("Bid", id=2)).gold_hash == first
    assert annotate(database, project, task, chosen("Offer", id=1, seconds=5)).gold_hash != first


CHOICES_CONFIG = """
<View>
  <Text name="text" value="$text"/>
  <Choices name="topics" toName="text" choice="multiple"%s><Choice value="Price"/><Choice value="Time"/></Choices>
</View>
"""


@pytest.mark.parametrize(
    ("attribute", "cats", "unusable"), [("", [()], 0), (' required="false"', [()], 0), (' required="true"', [], 1)]
)
def test_examples_submitted_without_a_choice_say_that_none_applies_unless_one_is_required(
    database, project, rows, attribute, cats, unusable
) -> None:
    with database.write() as session:
        apply_config(session, project, CHOICES_CONFIG % attribute, max_text_chars=50_000)
    task, other = [row for row in rows.values() if row.split == Split.TRAIN.value][:2]
    submitted = AnnotationIn.model_validate({"id": 1, "result": [], "updated_at": START})
    skipped = AnnotationIn.model_validate({"id": 2, "result": [], "updated_at": START, "was_cancelled": True})
    annotate(database, project, task, submitted)
    examples = annotate(database, project, other, skipped)
    assert [example.annotation.cats for example in examples.train] == cats
    assert examples.unusable == unusable


def test_examples_void_gold_that_was_annotated_on_another_field(database, project, settings) -> None:
    body = CHOICE_CONFIG.replace("$text", "$body")
    with database.write() as session:
        options = options_for(project, settings)
        given = [TaskIn(id=t.id, data={**t.data, "body": f"body {t.id * 7717}"}) for t in tasks(60)]
        rows = apply_tasks(session, project, given, options)
        gold = [row for row in rows.values() if row.split == Split.GOLD.value]
        gold[0].data = {**gold[0].data, "body": f"  {gold[0].data['text']}! "}
        late = datetime.now(timezone.utc) + timedelta(minutes=4)  # Label Studio's clock is ahead
        for row in gold[:3]:
            apply_annotation(session, project, row, at("Bid", row.ls_id, START if row is gold[0] else late))
        row = session.merge(project)
        assert apply_config(session, row, body, max_text_chars=50_000)
        assert [r.split for r in rows.values()] == [r.split for r in tasks_by_ls_id(session, row.id, [*rows]).values()]
    examples = annotate(database, project, gold[0])
    assert ([task.ls_task_id for task in examples.gold], examples.voided) == ([gold[0].ls_id], 2)
    examples = annotate(database, project, gold[1], at("Offer", gold[1].ls_id, late + timedelta(minutes=5)))
    assert [task.text for task in examples.gold] == [gold[i].data["body"] for i in (0, 1)]


def at(label: str, id: int, time: datetime) -> AnnotationIn:
    return chosen(label, id=id).model_copy(update={"updated_at": time})


def test_examples_of_other_labels_or_hints_keep_gold(database, project, rows) -> None:
    task = one(rows, Split.GOLD)
    annotate(database, project, task, chosen("Bid", id=1))
    with database.write() as session:
        row = session.merge(project)
        more = CHOICE_CONFIG.replace('<Choice value="Bid"/>', '<Choice value="Spam"/><Choice value="Bid"/>')
        assert apply_config(session, row, more, max_text_chars=50_000)
    assert len(annotate(database, project, task).gold) == 1


def terms(id: int, *marked: tuple[int, int, str]) -> AnnotationIn:
    regions = [
        {"from_name": "terms", "to_name": "text", "type": "labels", "value": {"start": s, "end": e, "labels": [label]}}
        for s, e, label in marked
    ]
    return AnnotationIn.model_validate({"id": id, "result": regions, "updated_at": START})


@pytest.mark.parametrize("split", list(Split))
def test_examples_leave_out_annotations_with_a_label_that_was_renamed(database, project, settings, split) -> None:
    with database.write() as session:
        row = session.merge(project)
        apply_config(session, row, ENTITY_CONFIG, max_text_chars=50_000)
        given = [TaskIn(id=i, data={"text": f"copper 900 Santos {i * 99991} qq {i * 7}"}) for i in range(1, 60)]
        rows = apply_tasks(session, row, given, options_for(row, settings))
        one, other = [task for task in rows.values() if task.split == split.value][:2]
        apply_annotation(session, row, one, terms(1, (7, 10, "PRICE"), (11, 17, "PLACE")))
        apply_annotation(session, row, other, terms(2, (7, 10, "PRICE")))
        renamed = ENTITY_CONFIG.replace('value="PLACE"', 'value="LOCATION"')
        apply_config(session, row, renamed, max_text_chars=50_000)
        reasons = [(reason, number) for _, _, reason, _, number in set_aside_counts(session, row.id)]
        examples = load_examples(session, aspects_of(session, row.id)[0], max_text_chars=50_000)
        assert [task.ls_task_id for task in getattr(examples, split.value)] == [other.ls_id]
        assert (examples.unusable, reasons) == (
            1,
            [("Region 2 has label 'PLACE', which is not in the labeling config.", 1)],
        )
        apply_config(session, row, ENTITY_CONFIG, max_text_chars=50_000)
        examples = load_examples(session, aspects_of(session, row.id)[0], max_text_chars=50_000)
        assert (len(getattr(examples, split.value)), set_aside_counts(session, row.id)) == (2, [])
