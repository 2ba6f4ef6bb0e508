"""From a look at the gold to who serves: handover, rollback, void decisions, replacements, pins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.domain import Actor
from handover.evaluation import spending
from handover.intake import apply_tasks, options_for
from handover.jobs.trigger import look_is_due
from handover.labelstudio.protocol import TaskIn
from handover.serving import register, update_config, wanted
from handover.store.models import EvaluationRow
from handover.store.projects import get_project
from handover.store.students import fits, subject_of
from handover.store.tasks import count_by_split
from tests.component.gold_world import World, always
from tests.projects import CHOICE_CONFIG


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.runtime.close()


def hand_over(world: World) -> int:
    """Gold on which the teacher is always wrong, a student that is always right, and the handover; how much gold."""
    world.annotate(world.rows()[:24], "Offer")
    student = world.student("good", always("Offer"))
    assert world.look(student)["outcome"] == "promote"
    assert (world.aspect.server, world.aspect.champion_id) == ("student", student.id)
    return 24


def test_settle_hands_over_to_a_student_that_wins_and_asks_for_a_refresh(world: World) -> None:
    hand_over(world)
    (decision,) = world.decisions()
    assert (decision.actor, decision.applied, decision.n, decision.author) == ("gate", True, 24, "")
    assert decision.teacher_id == world.aspect.teacher_id != ""
    assert decision.mark == 24
    assert world.queue.jobs == [("refresh", world.project.id)]


def test_settle_leaves_nothing_of_a_handover_when_the_config_shows_another_field(world: World) -> None:
    hand_over(world)
    register(world.runtime, 7, CHOICE_CONFIG.replace("$text", "$body"))
    row, decision = world.aspect, world.decisions()[-1]
    assert (row.server, row.champion_id, row.trained_revision) == ("teacher", None, 0)
    assert (decision.actor, decision.outcome, "another field" in decision.reason) == ("config", "rollback", True)


def test_settle_stores_the_scores_and_where_the_answers_differ_without_text(world: World) -> None:
    gold = world.rows()[:14]
    world.annotate(gold[:12], "Bid")
    world.annotate(gold[12:], "Offer")
    world.look(world.student("trade", lambda text: "Offer" if text == gold[12].data["text"] else "Bid"))
    with world.runtime.database.read() as session:
        evaluation = session.query(EvaluationRow).one()
    assert (evaluation.n, evaluation.teacher_score, evaluation.student_score) == (14, 12 / 14, 13 / 14)
    assert evaluation.details["student"]["confusions"] == [["Offer", "Bid", 1]]
    (row,) = evaluation.details["disagreements"]
    assert (row["task_id"], row["better"], row["reference"]["cats"]) == (gold[12].ls_id, "student", ["Offer"])
    assert gold[12].data["text"] not in str(evaluation.details)


def test_settle_looks_once_at_the_same_student_teacher_and_gold(world: World) -> None:
    world.annotate(world.rows()[:24], "Bid")
    student = world.student("bad", always("Offer"))
    assert world.look(student)["outcome"] == "keep"
    assert world.look(student)["outcome"] == "no new gold"
    assert len(world.decisions()) == 1


def test_settle_spends_the_error_budget_over_the_looks(world: World) -> None:
    gold = world.rows()
    alphas = []
    for number in range(12, 30, 3):
        world.annotate(gold[:number], "Trade")
        world.look(world.student(f"s{number}", always("Trade" if number == 60 else "Offer")))
    for decision in world.decisions():
        spent = [spending.Look(n=d.n, planned=d.planned, alpha=d.alpha) for d in alphas]
        with world.runtime.database.read() as session:
            planned = count_by_split(session, world.project.id)["gold"]
        assert decision.planned == planned
        assert decision.alpha == pytest.approx(spending.next_alpha(0.05, n=decision.n, planned=planned, spent=spent))
        alphas.append(decision)
    assert sum(d.alpha for d in alphas) < 0.05


def test_settle_rolls_back_a_student_that_falls_behind_on_new_gold(world: World) -> None:
    before = hand_over(world)
    world.annotate(world.rows()[before : before + 5], "Bid")
    report = world.look()
    assert report["outcome"] == "need_more"
    assert "5 of at least 12 gold tasks since the handover" in str(report["reason"])
    assert world.aspect.server == "student"
    world.annotate(world.rows()[before + 5 : before + 30], "Bid")
    report = world.look()
    assert report["outcome"] == "rollback"
    assert "fell behind" in str(report["reason"])
    assert (world.aspect.server, world.aspect.champion_id) == ("teacher", None)
    last = world.decisions()[-1]
    assert (last.actor, last.applied, last.n) == (Actor.WATCH.value, True, 30)
    assert world.queue.jobs[-1] == ("refresh", world.project.id)


def test_settle_after_a_rollback_wants_a_win_on_gold_since_the_handover(world: World) -> None:
    before = hand_over(world)
    world.annotate(world.rows()[before : before + 30], "Bid")
    world.look()
    again = world.student("again", always("Offer"))
    assert world.look(again)["outcome"] == "keep", "on all gold it would be ahead, or at least not behind for sure"
    assert world.decisions()[-1].n == 30
    better = world.student("better", lambda text: "Bid" if text in later else "Offer")
    later = {row.data["text"] for row in world.rows()[before:]}
    world.annotate(world.rows()[before + 30 : before + 50], "Trade")
    assert world.look(better)["outcome"] == "keep"
    assert world.aspect.server == "teacher"


def test_settle_leaves_a_student_alone_that_is_as_good_as_the_teacher(world: World) -> None:
    before = hand_over(world)
    world.annotate(world.rows()[before : before + 20], "Trade")
    assert world.look()["outcome"] == "keep"
    assert world.aspect.server == "student"


@pytest.mark.parametrize(
    ("label", "outcome", "server"),
    [("Trade", "promote", "student"), ("Offer", "rollback", "teacher")],
)
def test_settle_takes_a_void_decision_again_when_the_teacher_changed(
    world: World, label: str, outcome: str, server: str
) -> None:
    """The changed teacher is wrong everywhere, or right everywhere: as good as the student, which is not ahead."""
    hand_over(world)
    first = world.aspect.teacher_id
    world.say(label)
    world.restart()
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        (served,) = wanted(session, world.runtime, project)
    assert served.student == "good", "the student goes on until the look"
    assert world.aspect.teacher_id not in ("", first)
    with world.runtime.database.read() as session:
        assert look_is_due(session, world.aspect, world.settings)
    report = world.look()
    assert report["outcome"] == outcome
    assert "The decision was void (teacher changed) and is taken again: " in str(report["reason"])
    assert world.aspect.server == server
    with world.runtime.database.read() as session:
        assert not look_is_due(session, world.aspect, world.settings)


def test_settle_lets_a_decision_hold_again_when_the_teacher_returns(world: World) -> None:
    hand_over(world)
    world.say("Trade")
    world.restart()
    world.say("Bid")
    world.restart()
    assert world.look()["outcome"] == "no new gold"
    assert world.aspect.server == "student"


def test_settle_keeps_the_student_when_the_new_teacher_cannot_be_decided_yet(world: World) -> None:
    hand_over(world)
    right = {row.data["text"] for row in world.rows()[:22]}
    world.say("Offer")
    lines = world.recorded.read_text().split("\n")
    world.recorded.write_text("\n".join(x if any(t in x for t in right) else x.replace("Offer", "Bid") for x in lines))
    world.restart()
    assert world.look()["outcome"] == "need_more"
    assert world.aspect.server == "student"


def test_settle_keeps_a_student_that_is_ahead_of_the_new_teacher_by_too_little_to_show(world: World) -> None:
    gold = [row.data["text"] for row in world.rows()]
    world.annotate(world.rows(), "Offer")
    odd, even = set(gold[1::2]), gold[::2]
    world.look(world.student("half", lambda text: "Offer" if text in odd else "Bid"))
    assert world.aspect.server == "student"
    right = set(even[: len(odd) - 1])  # the new teacher is right elsewhere, on one task less
    world.record(lambda text: json.dumps({"label": "Offer" if text in right else "Bid"}))
    world.restart()
    report = world.look()
    assert (report["outcome"], world.aspect.server) == ("keep", "student")
    assert "gold tasks to show it. The student goes on." in str(report["reason"])


def test_settle_takes_a_decision_again_whose_gold_is_gone(world: World) -> None:
    hand_over(world)
    options = options_for(world.project, world.settings)
    edited = [
        TaskIn(id=row.ls_id, data={"text": f"{row.data['text']} edited {row.ls_id}"}) for row in world.rows()[:14]
    ]
    with world.runtime.database.write() as session:
        apply_tasks(session, get_project(session, world.project.id), edited, options)
    report = world.look()
    assert report["outcome"] == "need_more"
    assert "The decision was void (gold changed) and is taken again: 10 of at least 12" in str(report["reason"])
    assert world.aspect.server == "student"


def test_settle_goes_on_without_a_teacher_that_can_be_built(world: World) -> None:
    before = hand_over(world)
    world.restart(teacher_recorded=world.folder / "gone.jsonl")
    world.annotate(world.rows()[before : before + 20], "Bid")
    assert world.look()["outcome"] == "no new gold", "new gold has no answer of the teacher"
    with world.runtime.database.write() as session:
        (served,) = wanted(session, world.runtime, get_project(session, world.project.id))
    assert served.student == "good"
    assert world.aspect.teacher_id == world.decisions()[0].teacher_id


@pytest.mark.parametrize(("shadow", "expected"), [(1.0, 40), (0.0, 0)])
def test_settle_asks_the_teacher_about_the_shadow_share_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, shadow: float, expected: int
) -> None:
    before = hand_over(world)
    world.restart(shadow=shadow)
    asked: list[int] = []
    from handover.jobs import compare

    real = compare.ask
    monkeypatch.setattr(compare, "ask", lambda *a, **k: asked.extend(row.ls_id for row in a[3]) or real(*a, **k))
    world.annotate(world.rows()[before : before + 40], "Offer")
    world.look()
    assert len(asked) == expected
    assert world.aspect.server == "student"


def test_settle_takes_a_fixed_part_of_the_gold_for_the_shadow_share(world: World) -> None:
    from handover.jobs.compare import is_shadowed

    world.annotate(world.rows(), "Offer")
    gold = world.examples().gold
    half = [task.ls_task_id for task in gold if is_shadowed(task, 0.5)]
    more = [task.ls_task_id for task in gold if is_shadowed(task, 0.7)]
    assert 0.3 < len(half) / len(gold) < 0.7
    assert set(half) < set(more)


def test_settle_replaces_a_champion_by_a_better_candidate_on_dev(world: World) -> None:
    hand_over(world)
    dev = world.rows("dev")[:8]
    world.annotate(dev, "Trade")
    texts = {row.data["text"] for row in dev}
    candidate = world.student("better", lambda text: "Trade" if text in texts else "Offer")
    report = world.look(candidate)
    assert report["outcome"] == "promote"
    assert "Candidate better replaces champion good: 1.000 against 0.000 on 8 dev tasks" in str(report["reason"])
    assert world.aspect.champion_id == candidate.id
    last = world.decisions()[-1]
    assert (last.actor, last.alpha, last.n) == ("dev", 0.0, 24)
    worse = world.student("worse", always("Bid"))
    assert world.look(worse)["outcome"] == "keep"
    assert world.aspect.champion_id == candidate.id


def test_settle_does_not_move_a_pinned_aspect_and_does_so_afterwards(world: World) -> None:
    world.annotate(world.rows()[:24], "Offer")
    world.change(pinned=True)
    student = world.student("good", always("Offer"))
    report = world.look(student)
    assert (report["outcome"], world.aspect.server) == ("promote", "teacher")
    assert str(report["reason"]).endswith("Not done: the aspect is pinned.")
    assert world.queue.jobs == []
    assert world.look()["outcome"] == "no new gold"
    world.change(pinned=False)
    assert world.look()["outcome"] == "promote"
    assert (world.aspect.server, world.aspect.champion_id) == ("student", student.id)
    first, second = world.decisions()
    assert (first.applied, second.applied, second.alpha) == (False, True, 0.0)
    assert second.reason.startswith("Done now that the aspect is not pinned any more: Student cats_acc 1.000 beats")
    assert "pinned." not in second.reason.removeprefix("Done now that the aspect is not pinned")


def test_settle_discards_a_look_during_which_the_server_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.annotate(world.rows()[:24], "Offer")
    other = world.student("other", always("Trade"))
    from handover.jobs import settle

    real = settle.take_look

    def slow(*arguments):
        look = real(*arguments)
        world.change(server="student", champion_id=other.id)
        return look

    monkeypatch.setattr(settle, "take_look", slow)
    assert world.look(world.student("good", always("Offer")))["outcome"] == "no new gold"
    assert world.aspect.champion_id == other.id


def test_settle_leaves_gold_out_that_the_prompt_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gold = world.rows()[:24]
    world.annotate(gold, "Offer")
    from handover.teacher.teacher import Teacher

    shown = (gold[0].data["text"].upper(), "a text of no task")
    monkeypatch.setattr(Teacher, "example_texts", property(lambda _self: shown))
    world.look(world.student("good", always("Offer")))
    assert world.decisions()[0].n == 23
    with world.runtime.database.read() as session:
        assert session.query(EvaluationRow).one().details["left_out"]["in the prompt"] == 1


def test_config_with_other_labels_is_a_rollback_in_the_log_and_hints_are_not(world: World) -> None:
    hand_over(world)
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        hinted = CHOICE_CONFIG.replace('<Choice value="Bid"/>', '<Choice value="Bid" hint="wants to buy"/>')
        assert update_config(session, world.runtime, project, hinted)
    assert world.aspect.server == "student"
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        update_config(session, world.runtime, project, CHOICE_CONFIG.replace('<Choice value="Trade"/>', ""))
    assert (world.aspect.server, world.aspect.champion_id) == ("teacher", None)
    last = world.decisions()[-1]
    assert (last.actor, last.outcome, last.applied) == ("config", "rollback", True)
    assert world.look()["outcome"] == "no student yet", "the old one does not know the new labels"


MORE_LABELS = CHOICE_CONFIG.replace('<Choice value="Bid"/>', '<Choice value="Spam"/><Choice value="Bid"/>')


def set_labels(world: World, config: str) -> None:
    with world.runtime.database.write() as session:
        update_config(session, world.runtime, get_project(session, world.project.id), config)


def test_settle_discards_a_look_during_which_the_labels_changed(world: World) -> None:
    world.annotate(world.rows()[:24], "Offer")
    changes = iter([MORE_LABELS])

    def slow(_text: str) -> str:
        for config in changes:
            set_labels(world, config)
        return "Offer"

    assert world.look(world.student("old", slow))["outcome"] == "no new gold"
    row = world.aspect
    assert (row.server, row.champion_id, row.looked_revision, world.decisions()) == ("teacher", None, 0, [])


def test_settle_does_not_look_at_a_student_of_other_labels(world: World) -> None:
    world.annotate(world.rows()[:24], "Offer")
    student = world.student("old", always("Offer"))
    set_labels(world, MORE_LABELS)
    world.change(trained_revision=1)
    assert world.look(student)["outcome"] == "the labels changed since it was trained"
    assert world.look()["outcome"] == "no student yet", "nor without being told to"
    assert (world.aspect.server, world.decisions()) == ("teacher", [])
    set_labels(world, CHOICE_CONFIG)
    world.student("new", always("Bid"))
    set_labels(world, MORE_LABELS.replace('value="Spam"', 'value="Other"'))
    known = world.student("known", always("Offer"))
    world.change(champion_id=None)
    with world.runtime.database.read() as session:
        assert subject_of(session, world.aspect).id == known.id


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, True),
        ({"labels": ["Trade", "Offer", "Bid"], "kind": "choice", "text_field": "text", "span_labels": []}, True),
        ({"labels": ["Bid", "Offer"]}, False),
        ({"kind": "choices"}, False),
        ({"text_field": "title"}, False),
        ({"span_labels": ["PRICE"]}, False),
    ],
)
def test_student_fits_the_kind_the_field_and_the_labels_it_was_trained_for(
    world: World, told: dict[str, object], expected: bool
) -> None:
    student = world.student("s", always("Offer"))
    student.report = told
    assert fits(student, world.aspect) is expected
