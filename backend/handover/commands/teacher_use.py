"""Change how the teacher of a project, or of one of its aspects, is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from handover import fewshot
from handover.commands.files import read_text
from handover.domain import Server
from handover.errors import ConfigError, NotFoundError, TeacherError
from handover.examples import load_examples
from handover.jobs.queue import JobKind
from handover.runtime import Runtime
from handover.store.models import AspectRow, ProjectRow
from handover.store.projects import aspects_of, find_aspect, get_aspect, get_project, project_by_ls_id
from handover.store.tasks import count_open_by_push
from handover.teacher.build import check_config
from handover.teacher.prompt import Example
from handover.teacher.selection import Candidate
from handover.teaching import CONFIG, EXAMPLES, TeacherPlan, config_of, examples_of, examples_wanted, guidelines_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class UseRequest:
    """What to change; None leaves a thing as it is. Without `aspect` it is changed for all of the project."""

    project: int
    aspect: str = ""
    examples: int | None = None
    guidelines: Path | None = None
    with_guidelines: bool | None = None
    config: Path | None = None
    without_config: bool = False


@dataclass(frozen=True)
class _Change:
    """The request with its files read."""

    aspect: str
    examples: int | None
    guidelines: str | None
    with_guidelines: bool | None
    config: str | None

    def apply(self, project: ProjectRow, rows: Sequence[AspectRow]) -> None:
        """Put it into the rows of the project and of the aspects it is about."""
        options = dict(project.options or {})
        if self.config is not None:
            options[CONFIG] = self.config
        if self.examples is not None and not self.aspect:
            options[EXAMPLES] = self.examples
        project.options = {key: value for key, value in options.items() if (key, value) != (CONFIG, "")}
        if self.guidelines is not None and not self.aspect:
            project.guidelines = self.guidelines
        for row in rows:
            self._apply_to(row)

    def _apply_to(self, row: AspectRow) -> None:
        if self.examples is not None:
            row.teacher_examples = self.examples if self.aspect else None
        if self.guidelines is not None and self.aspect:
            row.guidelines = self.guidelines
        if self.with_guidelines is not None:
            row.use_guidelines = self.with_guidelines


@dataclass(frozen=True)
class _Next:
    """An aspect's teacher as it is and as it will be. `chosen` is None where the examples stay as they are."""

    row: AspectRow
    before: str
    after: str
    chosen: tuple[Candidate, ...] | None
    shown: int
    wanted: int
    train: int
    prompt_chars: tuple[int, int]


def use(runtime: Runtime, request: UseRequest, *, say: Say) -> None:
    """Change it, say what that means, and start the switch. Nothing is changed when the new teacher cannot be built.

    Raises ConfigError, NotFoundError and TeacherError.
    """
    change = _read(request)
    project, rows = _rows(runtime, request)
    before = [_present(runtime, project, row) for row in rows]
    change.apply(project, rows)  # these rows belong to no session: a rehearsal
    choose = change.examples is not None
    after = [_next(runtime, project, row, old, choose=choose) for row, old in zip(rows, before, strict=True)]
    with runtime.database.write() as session:
        change.apply(get_project(session, project.id), [get_aspect(session, row.id) for row in rows])
    for one in after:
        if one.chosen is not None:
            step = fewshot.step_of(one.train)
            fewshot.store(runtime.database, one.row, one.chosen, wanted=one.wanted, step=step)
    _tell(runtime, project, after, say)


def _read(request: UseRequest) -> _Change:
    if request.config is not None and request.without_config:
        raise ConfigError("--config and --without-config exclude each other. Give one of them.")
    config = read_text(request.config) if request.config is not None else "" if request.without_config else None
    if config:
        check_config(config, name=str(request.config))
    guidelines = read_text(request.guidelines) if request.guidelines is not None else None
    with_guidelines = request.with_guidelines
    if guidelines is not None and with_guidelines is None:
        with_guidelines = True
    change = _Change(request.aspect, request.examples, guidelines, with_guidelines, config)
    if (change.examples, guidelines, with_guidelines, config) == (None, None, None, None):
        raise ConfigError("Nothing to change: give --examples, --guidelines, --with(out)-guidelines or --config.")
    return change


def _rows(runtime: Runtime, request: UseRequest) -> tuple[ProjectRow, list[AspectRow]]:
    with runtime.database.read() as session:
        if request.aspect:
            row = find_aspect(session, ls_project_id=request.project, name=request.aspect)
            return get_project(session, row.project_id), [row]
        project = project_by_ls_id(session, request.project)
        if project is None:
            raise NotFoundError(f"Project {request.project} is not connected. `handover status` lists the projects.")
        return project, list(aspects_of(session, project.id))


def _present(runtime: Runtime, project: ProjectRow, row: AspectRow) -> tuple[str, int]:
    """Id and length of the prompt of the teacher as it is, nothing of one that cannot be built."""
    try:
        return _id_and_chars(runtime, row, runtime.teacher_plan(project, row))
    except TeacherError:
        return "", 0


def _next(runtime: Runtime, project: ProjectRow, row: AspectRow, present: tuple[str, int], *, choose: bool) -> _Next:
    wanted = examples_wanted(runtime.settings, project, row)
    with runtime.database.read() as session:
        train = len(load_examples(session, row, max_text_chars=runtime.settings.max_text_chars).train)
        chosen = fewshot.choose(session, row, wanted, settings=runtime.settings) if choose and wanted else None
        examples = examples_of(session, row) if wanted else ()
    if chosen is not None:
        examples = tuple(Example(candidate.text, candidate.annotation) for candidate in chosen)
    plan = TeacherPlan(guidelines_of(project, row), examples, config_of(runtime.settings, project))
    after, length = _id_and_chars(runtime, row, plan)
    return _Next(
        row,
        before=present[0],
        after=after,
        chosen=chosen,
        shown=len(examples),
        wanted=wanted,
        train=train,
        prompt_chars=(present[1], length),
    )


def _id_and_chars(runtime: Runtime, row: AspectRow, plan: TeacherPlan) -> tuple[str, int]:
    teacher = runtime.teacher_from(row, plan)
    return (teacher.id, len(teacher.prompt(""))) if teacher is not None else ("", 0)


def _tell(runtime: Runtime, project: ProjectRow, found: Sequence[_Next], say: Say) -> None:
    for one in found:
        say(_sentence(one))
    if all(one.before == one.after for one in found):
        say("The teacher stays the same; nothing is asked again.")
        return
    with runtime.database.read() as session:
        answered, waiting = count_open_by_push(session, project.id, project.live_version)
    runtime.queue.enqueue(JobKind.REFRESH, project.id)
    say(
        f"{answered + waiting} open tasks are asked again by the new teacher, {runtime.settings.prefetch} ahead of the "
        f"annotators (HANDOVER_PREFETCH); {answered} of them have a suggestion of the old one until then."
    )
    if any(one.row.server == Server.STUDENT.value for one in found):
        say("A student serves: its teacher is only asked about gold, at the next look of the gate.")
    say("The gate starts anew with it. A running `handover worker` does the rest; see `handover status`.")


def _sentence(one: _Next) -> str:
    shown = "no examples"
    if one.wanted:
        shown = f"{one.shown} of {one.wanted} examples from {one.train} finished train tasks"
        shown += f", chosen anew at {fewshot.next_step(one.train)}"
    before, after = one.prompt_chars
    change = f"{one.before or 'none'} -> {one.after or 'none'}" if one.before != one.after else f"{one.after or 'none'}"
    return f"{one.row.name}: teacher {change}; {shown}; the prompt has {after:,} characters ({after - before:+,})."
