"""Ask the teacher about a few tasks and show everything that happens on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from shlex import quote
from textwrap import indent

from handover.domain import Annotation, AnswerStatus, Aspect, Split
from handover.errors import ConfigError, NotFoundError, TeacherError
from handover.runtime import Runtime
from handover.store.models import AspectRow, ProjectRow
from handover.store.projects import aspect_of, find_aspect, get_project
from handover.store.tasks import open_tasks
from handover.task_texts import problem_of, text_of
from handover.teacher.calls import Purpose
from handover.teacher.teacher import Teacher, TeacherAnswer

Say = Callable[[str], None]


def check(runtime: Runtime, *, ls_project_id: int, aspect: str, number: int, texts: Sequence[str], say: Say) -> None:
    """Ask about `texts`, or about open train tasks, and say what came of it.

    The answers go to the cache: for these tasks they are not paid for again. Raises TeacherError when the
    teacher cannot be built or the first question fails, NotFoundError without anything to ask about.
    """
    with runtime.database.read() as session:
        row = find_aspect(session, ls_project_id=ls_project_id, name=aspect)
        project = get_project(session, row.project_id)
    teacher = runtime.teacher_for(project, row)
    if teacher is None:
        raise ConfigError("HANDOVER_TEACHER is none: there is no teacher to check. Set it to claude or recorded.")
    subjects = [("Your text", text) for text in texts] or _open_tasks(runtime, project, row, number)
    say(f"Teacher {teacher.id} of aspect {row.name!r} ({aspect_of(row).kind.value}), texts: {len(subjects)}.")
    say(f"\nSystem prompt, the same for every task:\n{_quoted(_system(teacher.prompt(subjects[0][1])))}")
    answers: list[TeacherAnswer] = []
    for title, text in subjects:
        (answer,) = teacher.annotate([text], runtime.answers, purpose=Purpose.CHECK.value)
        if answer.status is AnswerStatus.FAILED and not answers:
            # What fails for the first one (no key, a wrong model, no network) fails for the others too.
            raise TeacherError(f"The teacher gave no answer: {' '.join(answer.problems)}")
        answers.append(answer)
        for line in _report(title, text, teacher, answer):
            say(line)
    say(f"\n{_summary(answers)}\n{_advice(answers, aspect_of(row), ls_project_id)}")


def _open_tasks(runtime: Runtime, project: ProjectRow, row: AspectRow, number: int) -> list[tuple[str, str]]:
    """Train tasks that nobody has finished yet. Never gold: what is held out is asked about by the gate alone."""
    aspect = aspect_of(row)
    with runtime.database.read() as session:
        tasks = open_tasks(session, project.id, splits=(Split.TRAIN,))
    limit = runtime.settings.max_text_chars
    usable = (task for task in tasks if not problem_of(task.data, aspect, max_text_chars=limit))
    found = [(f"Task {task.ls_id}", text_of(task.data, aspect)) for task, _ in zip(usable, range(number), strict=False)]
    if not found:
        raise NotFoundError(
            f"Project {project.ls_id} has no open train task for aspect {row.name!r}. "
            'Try a text of your own: --text "…".'
        )
    return found


def _report(title: str, text: str, teacher: Teacher, answer: TeacherAnswer) -> Iterator[str]:
    prompt = teacher.prompt(text)
    yield f"\n{title}\n{_quoted(str(getattr(prompt, 'user', prompt)))}"
    yield f"  answer      {answer.completion.strip() or '(empty)'}"
    yield f"  understood  {_understood(answer, text)}"
    for problem in answer.problems:
        yield f"  problem     {problem}"
    cached = "; from the cache, it cost nothing now" if answer.from_cache else ""
    yield f"  tokens      {_number(answer.input_tokens)} in, {_number(answer.output_tokens)} out{cached}"
    yield f"  latency     {f'{answer.latency_ms:,.0f} ms' if answer.latency_ms is not None else 'unknown'}"


def _understood(answer: TeacherAnswer, text: str) -> str:
    if answer.annotation is None:
        return f"nothing ({answer.status.value})"
    return _words(answer.annotation, text)


def _words(annotation: Annotation, text: str) -> str:
    parts = list(annotation.cats)
    parts += [f"{span.label} [{span.start}:{span.end}] {text[span.start : span.end]!r}" for span in annotation.spans]
    parts += [f"{edge.label} {edge.head} -> {edge.child}" for edge in annotation.relations]
    return ", ".join(parts) or "nothing to mark"


def _summary(answers: Sequence[TeacherAnswer]) -> str:
    counts = Counter(answer.status.value for answer in answers)
    dropped = sum(bool(answer.problems) for answer in answers if answer.status is AnswerStatus.OK)
    more = f", {dropped} of them with parts left out" if dropped else ""
    return ", ".join(f"{number} {status}" for status, number in counts.items()) + more + "."


def _advice(answers: Sequence[TeacherAnswer], aspect: Aspect, ls_project_id: int) -> str:
    statuses = {answer.status for answer in answers}
    if AnswerStatus.UNPARSED in statuses:
        return (
            "Next: an answer could not be read. Look at it above: a model that answers in prose needs "
            "`structured` outputs or a bigger sibling, one that is cut off more tokens."
        )
    if AnswerStatus.REFUSED in statuses:
        return "Next: the model refused. Say in the guidelines what the texts are and why they are labelled."
    if AnswerStatus.FAILED in statuses:
        return "Next: some requests failed; see the problem above. Run the check again: what was answered is kept."
    return (
        f"Next: if this is what you want, let `handover worker` go on; once dev tasks are annotated, "
        f"`handover teacher compare -p {ls_project_id} -a {quote(aspect.name)}` finds what makes it better."
    )


def _system(prompt: str) -> str:
    return str(getattr(prompt, "system", ""))


def _quoted(text: str) -> str:
    return indent(text, "  | ", predicate=lambda _line: True)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
