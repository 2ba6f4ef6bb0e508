"""Train, dev and silver leave out what is gold in all but its split."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from handover.annotation_intake import apply_annotation
from handover.examples import Examples, load_examples
from handover.held_out import texts_like_gold
from handover.intake import apply_config, apply_tasks, options_for
from handover.labelstudio.protocol import TaskIn
from handover.store.models import TaskRow
from handover.store.projects import aspects_of
from tests.projects import CHOICE_CONFIG, MAX_TEXT_CHARS, chosen, tasks

Rows = dict[int, TaskRow]


@pytest.fixture
def rows(database, project, settings) -> Rows:
    with database.write() as session:
        return apply_tasks(session, project, tasks(60), options_for(project, settings))


def annotate(database, project, rows: Sequence[TaskRow]) -> Examples:
    with database.write() as session:
        for row in rows:
            apply_annotation(session, project, row, chosen("Bid", id=row.ls_id, seconds=row.ls_id))
    return examples(database, project)


def examples(database, project) -> Examples:
    with database.read() as session:
        return load_examples(session, aspects_of(session, project.id)[0], max_text_chars=MAX_TEXT_CHARS)


def edit(database, project, settings, row: TaskRow, text: str) -> None:
    with database.write() as session:
        apply_tasks(session, project, [TaskIn(id=row.ls_id, data={"text": text})], options_for(project, settings))


def of_split(rows: Rows, split: str) -> list[TaskRow]:
    return [row for row in rows.values() if row.split == split]


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("change", ["{}", "  {}!", "{} now"])
def test_held_out_leaves_out_a_task_that_was_edited_into_a_gold_text(
    database, project, settings, rows, split, change
) -> None:
    text = "A Brazilian crusher bought three thousand tonnes of DAP from Meridian Metals in late June, it is said"
    gold, other = of_split(rows, "gold")[0], of_split(rows, split)[0]
    edit(database, project, settings, gold, text)
    edit(database, project, settings, other, change.format(text))
    before = annotate(database, project, list(rows.values()))
    sizes = {name: len(of_split(rows, name)) for name in ("train", "dev")}
    assert before.like_gold == 1
    assert {"train": len(before.train), "dev": len(before.dev)} == {**sizes, split: sizes[split] - 1}
    assert other.ls_id not in [task.ls_task_id for task in (*before.train, *before.dev)]


def test_held_out_lets_a_task_back_in_when_its_text_is_another_again(database, project, settings, rows) -> None:
    gold, train = of_split(rows, "gold")[0], of_split(rows, "train")[0]
    edit(database, project, settings, train, gold.data["text"])
    assert annotate(database, project, [train]).train == ()
    edit(database, project, settings, train, "Cocoa from Abidjan")
    assert [task.text for task in examples(database, project).train] == ["Cocoa from Abidjan"]


def test_held_out_counts_gold_that_nobody_has_annotated_yet(database, project, settings, rows) -> None:
    gold, train = of_split(rows, "gold")[0], of_split(rows, "train")[0]
    edit(database, project, settings, train, gold.data["text"])
    found = annotate(database, project, [train])
    assert (found.train, found.gold, found.like_gold) == ((), (), 1)


def test_held_out_forgets_gold_that_was_deleted(database, project, settings, rows) -> None:
    gold, train = of_split(rows, "gold")[0], of_split(rows, "train")[0]
    edit(database, project, settings, train, gold.data["text"])
    with database.write() as session:
        session.get_one(TaskRow, gold.id).deleted = True
    assert len(annotate(database, project, [train]).train) == 1


def test_held_out_goes_by_the_text_that_the_config_shows_now(database, project, settings) -> None:
    bodies = ["the very same body", "another body altogether", "and quite a different one"]
    both = [TaskIn(id=t.id, data={"title": t.data["text"], "text": bodies[t.id % 3]}) for t in tasks(60)]
    with database.write() as session:
        apply_config(session, project, CHOICE_CONFIG.replace("$text", "$title"), max_text_chars=MAX_TEXT_CHARS)
        rows = apply_tasks(session, project, both, options_for(project, settings))
    assert annotate(database, project, list(rows.values())).like_gold == 0
    with database.write() as session:
        apply_config(session, project, CHOICE_CONFIG, max_text_chars=MAX_TEXT_CHARS)
    found = examples(database, project)
    assert (found.train, found.dev) == ((), ())
    assert found.like_gold == len(of_split(rows, "train")) + len(of_split(rows, "dev"))


def test_held_out_finds_a_text_near_gold_that_is_not_near_the_first_of_its_group(database, project, settings) -> None:
    first, gold, train = chain(26)
    with database.write() as session:
        options = options_for(project, settings)
        texts = enumerate((first, gold, train), start=1)
        rows = apply_tasks(session, project, [TaskIn(id=i, data={"text": t}) for i, t in texts], options)
        assert [rows[i].split for i in (1, 2, 3)] == ["gold", "gold", "train"]
        assert rows[1].group_key == rows[2].group_key != rows[3].group_key
        aspect = aspects_of(session, project.id)[0]
        assert texts_like_gold(session, aspect, [train, "else"], max_text_chars=MAX_TEXT_CHARS) == {train}


def chain(seed: int) -> tuple[str, str, str]:
    """Three texts: the second is near the first and the third, which are not near each other."""
    rng = random.Random(seed)
    a = [f"{rng.choice('bcdfg')}{rng.randrange(10**5)}" for _ in range(40)]
    b = [*a[:3], "changed", *a[4:10], "x1", *a[11:]]
    c = [*b[:25], "y2", *b[26:30], "others", *b[31:]]
    return " ".join(a), " ".join(b), " ".join(c)
