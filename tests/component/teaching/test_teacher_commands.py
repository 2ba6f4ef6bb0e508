"""`handover teacher check | compare | use` with a scripted model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from handover.annotation_intake import delete_annotations
from handover.commands.guidelines import Guidelines, read_guidelines, split_guidelines
from handover.commands.teacher_check import check
from handover.commands.teacher_compare import compare
from handover.commands.teacher_use import UseRequest, use
from handover.domain import AnswerStatus
from handover.errors import ConfigError, HandoverError, NotFoundError, TeacherError
from handover.fewshot import renew
from handover.intake import apply_tasks
from handover.jobs.queue import JobKind
from handover.prices import Price
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.models import AnnotationRow, AspectRow, ProjectRow, TaskRow, TeacherAnswerRow, TeacherCallRow
from handover.store.teacher_examples import stored_examples
from handover.teacher.completion import Completion
from tests.component.teaching.conftest import LEARNER, OPTIONS, Learner, right
from tests.projects import tasks

REFUSED = Completion("", status=AnswerStatus.REFUSED, problem="No.")


@pytest.fixture
def settings(learner: Learner) -> Settings:
    return Settings(language="xx")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(database, project: ProjectRow) -> Iterator[None]:
    """Twenty tasks more, which nobody has annotated."""
    with database.write() as session:
        apply_tasks(session, session.get_one(ProjectRow, project.id), tasks(20, start=500), OPTIONS)


class Jobs:
    """Stands in for the queue."""

    def __init__(self) -> None:
        self.enqueued: list[tuple[JobKind, int]] = []

    def enqueue(self, kind: JobKind, subject_id: int) -> str:
        self.enqueued.append((kind, subject_id))
        return "job"


@pytest.fixture
def jobs(runtime: Runtime) -> Jobs:
    runtime.__dict__["queue"] = Jobs()
    return runtime.__dict__["queue"]


def test_check_asks_about_open_train_tasks_and_shows_everything(runtime, learner, opened, database, said) -> None:
    check(runtime, ls_project_id=7, aspect="", number=3, texts=(), say=said.append)
    output = "\n".join(said)
    with database.read() as session:
        asked = [
            session.scalars(select(TaskRow).where(TaskRow.data["text"].as_string() == p.text)).one()
            for p in learner.prompts
        ]
        assert session.scalar(select(func.count(TeacherAnswerRow.key))) == 3
        assert {call.purpose for call in session.scalars(select(TeacherCallRow))} == {"check"}
    assert {task.split for task in asked} == {"train"}
    assert [task.ls_id >= 500 for task in asked] == [True] * 3
    assert output.count("You label texts.") == 1
    assert output.count('answer      {"label": "Bid"}') == 3
    assert output.count("understood  Bid") == 3
    assert len(re.findall(r"tokens      \d+ in, 8 out$", output, re.MULTILINE)) == 3
    assert len(re.findall(r"latency     \d+ ms$", output, re.MULTILINE)) == 3
    assert "3 ok." in output
    assert "handover teacher compare -p 7 -a stage" in output
    check(runtime, ls_project_id=7, aspect="", number=3, texts=(), say=said.append)
    assert len(learner.prompts) == 3, "known answers are not paid for again"
    assert "\n".join(said).count("8 out; from the cache, it cost nothing now") == 3


def test_check_asks_about_a_text_of_ones_own(runtime, learner, rows, said) -> None:
    check(runtime, ls_project_id=7, aspect="stage", number=5, texts=("we buy",), say=said.append)
    assert [prompt.text for prompt in learner.prompts] == ["we buy"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            Completion("no idea"),
            ["understood  nothing (unparsed)", "problem     The answer cannot be read", "could not be read"],
        ),
        (
            Completion("", status=AnswerStatus.REFUSED, problem="No."),
            ["nothing (refused)", "(empty)", "the model refused"],
        ),
        ("plain", ["tokens      unknown in, unknown out"]),
    ],
)
def test_check_says_what_is_wrong_and_what_to_do(runtime, learner, rows, said, monkeypatch, answer, says) -> None:
    monkeypatch.setattr(learner, "_ask", lambda _prompt: answer)
    check(runtime, ls_project_id=7, aspect="", number=5, texts=("we buy", "we sell"), say=said.append)
    assert [part for part in says if part not in "\n".join(said)] == []


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"texts": ()}, NotFoundError, "Project 7 has no open train task for aspect 'stage'. Try a text"),
        ({"aspect": "stag"}, NotFoundError, "no aspect 'stag'"),
        ({"texts": (" ",)}, TeacherError, "The teacher gave no answer: empty text"),
    ],
)
def test_check_errors_are_a_sentence(runtime, rows, more, error, message, said) -> None:
    given = {"ls_project_id": 7, "aspect": "", "number": 5, "texts": ("x",), "say": said.append, **more}
    with pytest.raises(error, match=message):
        check(runtime, **given)


def test_check_stops_after_the_first_question_that_fails(runtime, learner, rows, said, monkeypatch) -> None:
    def fail(_prompt: str) -> str:
        learner.prompts.append(_prompt)
        raise ConnectionError("no route to host")

    monkeypatch.setattr(learner, "_ask", fail)
    with pytest.raises(TeacherError, match="gave no answer: ConnectionError: no route to host"):
        check(runtime, ls_project_id=7, aspect="", number=5, texts=("one", "two"), say=said.append)
    assert len(learner.prompts) == 1


def run(runtime: Runtime, said: list[str], **more):
    given = {"numbers": (0, 4), "limit": 100, "confirm": lambda _question: True, **more}
    return compare(runtime, ls_project_id=7, aspect="", say=said.append, **given)


def set_guidelines(database) -> None:
    with database.write() as session:
        session.get_one(ProjectRow, 1).guidelines = "House rules."


def test_compare_scores_all_ways_on_the_same_dev_tasks(runtime, learner, database, rows, said) -> None:
    set_guidelines(database)
    prices = {"test.Learner.v1": Price(input=3.0, output=15.0)}
    runtime.settings = runtime.settings.model_copy(update={"teacher_prices": prices})
    results = run(runtime, said)
    dev = {row.data["text"] for row in rows.values() if row.split == "dev"}
    assert {prompt.text for prompt in learner.prompts} == dev
    share = sum(right(text) == "Bid" for text in dev) / len(dev)
    found = {result.variant.name: result for result in results}
    assert {name: round(result.score, 6) for name, result in found.items()} == {
        "no examples, with guidelines": round(share, 6),
        "no examples, no guidelines": round(share, 6),
        "4 examples, with guidelines": 1.0,
        "4 examples, no guidelines": 1.0,
    }
    assert {result.n for result in results} == {len(dev)}
    best = found["4 examples, no guidelines"]
    assert best.input_tokens is not None
    assert best.cost_per_1000 == pytest.approx((best.input_tokens * 3 + 8 * 15) / 1000)
    output = "\n".join(said)
    assert f"4 ways to ask about {len(dev)} dev tasks. That makes {4 * len(dev)} calls; 0 answers are known" in output
    assert f"* no examples, with guidelines  {len(dev)}" in re.sub(" {3,}", "  ", output)
    assert "Best: 4 examples, no guidelines" in output
    assert "Adopt it: handover teacher use -p 7 -a stage --examples 4 --without-guidelines" in output
    assert "may be chance" not in output


def test_compare_a_second_time_costs_nothing_and_asks_nobody(runtime, learner, rows, said) -> None:
    first = run(runtime, said)
    number = len(learner.prompts)
    again = run(runtime, said, confirm=lambda _question: pytest.fail("there is nothing to confirm"))
    assert len(learner.prompts) == number
    assert [(r.teacher_id, r.score) for r in again] == [(r.teacher_id, r.score) for r in first]
    assert "no price" in "\n".join(said)


def test_compare_makes_no_call_when_declined(runtime, learner, rows, said) -> None:
    questions: list[str] = []
    assert run(runtime, said, confirm=lambda question: bool(questions.append(question))) == []
    assert learner.prompts == []
    assert re.fullmatch(r"Make \d+ calls now\?", questions[0])
    assert said[-1] == "Nothing was asked."


def test_compare_leaves_out_dev_tasks_that_are_like_an_example(runtime, database, aspect, rows, said) -> None:
    (before,) = {result.n for result in run(runtime, said)}
    renew(database, runtime.settings.model_copy(update={"teacher_examples": 4}), aspect.id)
    twin = next(row for row in rows.values() if row.split == "dev")
    with database.write() as session:
        example = session.get_one(TaskRow, stored_examples(session, aspect.id)[0].task_id)
        session.execute(update(TaskRow).where(TaskRow.id == twin.id).values(group_key=example.group_key))
    (after,) = {result.n for result in run(runtime, said)}
    assert after == before - 1


def test_compare_tells_when_dev_was_annotated_with_suggestions(runtime, database, rows, said) -> None:
    run(runtime, said)
    assert "suggestion in sight" not in "\n".join(said)
    dev = [row.id for row in rows.values() if row.split == "dev"]
    with database.write() as session:
        seen = update(AnnotationRow).where(AnnotationRow.task_id.in_(dev[:5]))
        session.execute(seen.values(ls_parent_prediction_id=5, parent_has_content=True))
    run(runtime, said)
    assert f"5 of the {len(dev)} dev tasks were annotated with a suggestion in sight" in "\n".join(said)


def test_compare_leaves_failed_questions_out_of_all_scores(runtime, learner, rows, said, monkeypatch) -> None:
    ask, dev = learner._ask, [row for row in rows.values() if row.split == "dev"]

    def flaky(prompt):
        if prompt.system.count("Example:") and prompt.text == dev[0].data["text"]:
            raise TimeoutError
        return ask(prompt)

    monkeypatch.setattr(learner, "_ask", flaky)
    assert [(r.n, r.failed) for r in run(runtime, said)] == [(len(dev) - 1, 0), (len(dev) - 1, 1)]


def test_compare_shows_a_way_that_cannot_be_asked_at_all(runtime, learner, rows, said, monkeypatch) -> None:
    ask = learner._ask

    def too_long(prompt):
        if prompt.system.count("Example:"):
            raise ValueError("context length exceeded")
        return ask(prompt)

    monkeypatch.setattr(learner, "_ask", too_long)
    results = run(runtime, said)
    assert [r.n > 0 for r in results] == [True, False]
    assert "Nothing is better than how the teacher is asked now" in said[-1]


def test_compare_needs_dev_and_a_teacher(runtime, database, project, rows, said) -> None:
    none = Runtime(Settings(teacher="none"))
    with pytest.raises(ConfigError, match="there is no teacher to compare"):
        run(none, said)
    none.close()
    with database.write() as session:
        dev = [row.ls_id for row in rows.values() if row.split == "dev"]
        delete_annotations(session, project, dev[9:])
    with pytest.raises(ConfigError, match="'stage' has 9 finished dev tasks; a comparison needs at least 10"):
        run(runtime, said)


def test_use_adopts_what_compare_measured(runtime, learner, database, project, aspect, rows, jobs, said) -> None:
    results = run(runtime, said)
    best = next(result for result in results if result.variant.examples == 4)
    number = len(learner.prompts)
    use(runtime, UseRequest(project=7, aspect="stage", examples=4), say=said.append)
    with database.read() as session:
        row = session.get_one(AspectRow, aspect.id)
        assert row.teacher_examples == 4
        teacher = runtime.teacher_for(session.get_one(ProjectRow, project.id), row)
    assert teacher is not None
    assert teacher.id == best.teacher_id
    assert len(learner.prompts) == number, "nothing is asked by the change itself"
    assert jobs.enqueued == [(JobKind.REFRESH, project.id)]
    output = "\n".join(said)
    assert re.search(r"stage: teacher test\S+ -> test\S+; 4 of 4 examples from \d+ finished train tasks", output)
    assert re.search(r"the prompt has [\d,]+ characters \(\+\d+\)", output)
    assert "are asked again by the new teacher" in output


def test_use_for_the_whole_project_overrules_what_an_aspect_had(runtime, database, aspect, rows, jobs, said) -> None:
    use(runtime, UseRequest(project=7, aspect="stage", examples=4), say=said.append)
    use(runtime, UseRequest(project=7, examples=2), say=said.append)
    with database.read() as session:
        assert session.get_one(AspectRow, aspect.id).teacher_examples is None
        assert session.get_one(ProjectRow, 1).options == {"teacher_examples": 2}
        assert len(stored_examples(session, aspect.id)) == 2


def test_use_guidelines_keeps_the_examples(runtime, database, aspect, rows, jobs, said, tmp_path: Path) -> None:
    use(runtime, UseRequest(project=7, examples=4), say=said.append)
    with database.read() as session:
        before = [row.task_id for row in stored_examples(session, aspect.id)]
    path = tmp_path / "rules.md"
    path.write_text("Stage rules.")
    use(runtime, UseRequest(project=7, aspect="stage", guidelines=path), say=said.append)
    with database.read() as session:
        row, project = session.get_one(AspectRow, aspect.id), session.get_one(ProjectRow, 1)
        assert [e.task_id for e in stored_examples(session, aspect.id)] == before
    assert (row.guidelines, project.guidelines) == ("Stage rules.", "")
    assert "Stage rules." in runtime.teacher_for(project, row).prompt("x").system
    use(runtime, UseRequest(project=7, with_guidelines=False), say=said.append)
    with database.read() as session:
        row = session.get_one(AspectRow, aspect.id)
    assert "Stage rules." not in runtime.teacher_for(project, row).prompt("x").system


def test_use_config_is_kept_as_text_and_can_be_taken_back(runtime, database, rows, jobs, said, tmp_path: Path) -> None:
    path = tmp_path / "own.cfg"
    path.write_text(LEARNER + "# mine\n")
    use(runtime, UseRequest(project=7, config=path), say=said.append)
    with database.read() as session:
        assert session.get_one(ProjectRow, 1).options == {"teacher_config": path.read_text()}
    use(runtime, UseRequest(project=7, without_config=True), say=said.append)
    with database.read() as session:
        assert session.get_one(ProjectRow, 1).options == {}


def test_use_that_changes_nothing_asks_nothing_again(runtime, rows, jobs, said) -> None:
    use(runtime, UseRequest(project=7, examples=0), say=said.append)
    assert jobs.enqueued == []
    assert said[-1] == "The teacher stays the same; nothing is asked again."


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (UseRequest(project=7), "Nothing to change"),
        (UseRequest(project=8, examples=1), "Project 8 is not connected"),
        (UseRequest(project=7, aspect="x", examples=1), "no aspect 'x'"),
        (UseRequest(project=7, config=Path("secret.cfg")), "looks like a secret"),
        (UseRequest(project=7, config=Path("secret.cfg"), without_config=True), "exclude each other"),
        (UseRequest(project=7, config=Path("unknown.cfg")), "no model 'x.y'"),
    ],
)
def test_use_changes_nothing_when_it_cannot(runtime, database, rows, jobs, said, request_, says) -> None:
    Path("secret.cfg").write_text(LEARNER + 'api_key = "abcdefgh"\n')
    Path("unknown.cfg").write_text(LEARNER.replace("test.Learner.v1", "x.y"))
    with pytest.raises(HandoverError, match=says):
        use(runtime, request_, say=said.append)
    with database.read() as session:
        assert session.get_one(ProjectRow, 1).options == {}
    assert jobs.enqueued == []


def test_guidelines_on_the_command_line_are_the_projects_or_an_aspects(tmp_path: Path) -> None:
    for name in ("all.md", "stage.md", "a=b.md"):
        (tmp_path / name).write_text(f"Rules of {name}.")
    shared, own = split_guidelines([str(tmp_path / "a=b.md"), f"stage={tmp_path / 'stage.md'}"])
    assert read_guidelines(shared, own, ["stage", "terms"]) == Guidelines(
        "Rules of a=b.md.", {"stage": "Rules of stage.md."}
    )
    assert read_guidelines(shared, own, ["stage"]).together == "Rules of a=b.md.\n\nRules of stage.md."
    with pytest.raises(ConfigError, match=r"no aspect 'stage' .* \(has: terms\)"):
        read_guidelines(shared, own, ["terms"])


@pytest.mark.parametrize(
    ("values", "says"),
    [(["none.md"], "no file 'none.md'"), (["a=none.md"], "no file 'none.md'"), (["x", "x"], "were given before")],
)
def test_guidelines_that_cannot_be_read_are_named(values: list[str], says: str) -> None:
    Path("x").write_text("x")
    with pytest.raises(ConfigError, match=says):
        split_guidelines(values)


def test_connect_keeps_guidelines_config_and_number_of_examples(runtime, database, project, rows, tmp_path) -> None:
    from handover.commands.connect import ConnectRequest, _register, _teacher_config
    from handover.labelstudio.client import ProjectInfo

    (tmp_path / "own.cfg").write_text(LEARNER)
    info = ProjectInfo(id=7, title="Market", label_config=project.label_config, model_version="", sampling="")
    request = ConnectRequest(project=7, teacher_config=tmp_path / "own.cfg", teacher_examples=3)
    guidelines = Guidelines("House rules.", {"stage": "Stage rules."})
    _register(runtime, info, request, guidelines, _teacher_config(request))
    _register(runtime, info, ConnectRequest(project=7), Guidelines(), "")
    with database.read() as session:
        kept, (row,) = session.get_one(ProjectRow, 1), session.scalars(select(AspectRow)).all()
    assert kept.options == {"teacher_config": LEARNER, "teacher_examples": 3}
    assert (kept.guidelines, row.guidelines) == ("House rules.", "Stage rules.")
    assert "House rules.\n\nStage rules." in runtime.teacher_for(kept, row).prompt("x").system
    (tmp_path / "own.cfg").write_text(LEARNER + 'token = "abc"\n')
    with pytest.raises(ConfigError, match="looks like a secret"):
        _teacher_config(request)
