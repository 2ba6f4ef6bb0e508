"""The whole loop on this machine, with the sample data.

Starts Label Studio, an embedded Redis, the backend and one worker; creates a user and the sample projects;
pre-annotates. Then people annotate in the browser - or, with --simulate, a script does, and reports.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from scripts.passes import PASSES, SAMPLES, Pass
from scripts.report import show_report
from scripts.simulate import Annotator, Tally, annotate
from scripts.stack import EMAIL, PASSWORD, ROOT, Backend, LabelStudio, StackError, stopping

DATA = ROOT / "demo-data"
COMMAND = Path(sys.executable).with_name("handover")
MUST_HAND_OVER = "stage"


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = (options.data_dir or DATA / ("simulation" if options.simulate else "interactive")).resolve()
    if options.fresh or options.simulate:
        shutil.rmtree(folder, ignore_errors=True)
    passes = [p for p in PASSES if not options.only or p.name in options.only]
    try:
        return _run(folder, passes, options)
    except KeyboardInterrupt:
        say("\nStopped.")
        return 0 if not options.simulate else 130
    except StackError as error:
        say(f"\n{error}")
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="let a script annotate, report, and stop")
    parser.add_argument("--only", nargs="+", choices=[p.name for p in PASSES], help="only these passes")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier demo did")
    parser.add_argument("--data-dir", type=Path, help="where to keep everything (default: demo-data/)")
    parser.add_argument("--json", type=Path, help="with --simulate: write the report as JSON too")
    return parser.parse_args(arguments)


def _run(folder: Path, passes: Sequence[Pass], options: argparse.Namespace) -> int:
    started = time.monotonic()
    say("Starting Label Studio (the first time takes about a minute) ...")
    label_studio = LabelStudio(folder / "label-studio", port=8080)
    backend = Backend(folder, label_studio.url, port=9090, **_teacher_settings())
    with stopping(label_studio, backend):
        label_studio.start()
        say("Starting the backend and a worker ...")
        backend.start()
        backend.write_settings()
        token = label_studio.token()
        projects = {p.name: _connect(backend, label_studio, token, p) for p in passes}
        _show_urls(label_studio, projects, passes)
        if not options.simulate:
            return _wait(label_studio, backend)
        code = _simulate(folder, label_studio, backend, token, projects, passes, options.json)
        say(f"\nThe simulation took {(time.monotonic() - started) / 60:.1f} minutes.")
        return code


def _teacher_settings() -> dict[str, str]:
    """Claude where there is a key, else the recorded answers of a Claude model."""
    key = os.environ.get("ANTHROPIC_API_KEY", "")
    if key:
        say("ANTHROPIC_API_KEY is set: Claude is the teacher.")
        return {"teacher": "claude"}
    say("ANTHROPIC_API_KEY is not set: the teacher answers from recorded answers of a Claude model.")
    return {"teacher": "recorded", "teacher_recorded": str(SAMPLES), "prefetch": "2000"}


def _connect(backend: Backend, label_studio: LabelStudio, token: str, p: Pass) -> int:
    known = _find_project(label_studio, token, p.title)
    arguments = ["connect", "--token-stdin", "--guidelines", str(p.guidelines)]
    if known is None:
        arguments += ["--config", str(p.config), "--data", str(p.data), "--title", p.title]
    else:
        arguments += ["--project", str(known)]
    if p.gold_share is not None:
        arguments += ["--gold-share", str(p.gold_share)]
    done = backend.run(*arguments, stdin=token + "\n")
    if done.returncode != 0:
        raise StackError(f"`handover connect` failed for {p.title}:\n{done.stdout}{done.stderr}")
    project = _find_project(label_studio, token, p.title)
    if project is None:
        raise StackError(f"Label Studio does not list the project {p.title!r}:\n{done.stdout}")
    say(f"Connected “{p.title}”.")
    return project


def _find_project(label_studio: LabelStudio, token: str, title: str) -> int | None:
    access = httpx.post(f"{label_studio.url}/api/token/refresh", json={"refresh": token}).json()["access"]
    headers = {"Authorization": f"Bearer {access}"}
    answer = httpx.get(f"{label_studio.url}/api/projects/", params={"page_size": 100}, headers=headers, timeout=60)
    answer.raise_for_status()
    return next((int(p["id"]) for p in answer.json()["results"] if p["title"] == title), None)


def _show_urls(label_studio: LabelStudio, projects: dict[str, int], passes: Sequence[Pass]) -> None:
    say(f"\nLabel Studio: {label_studio.url}   login: {EMAIL} / {PASSWORD}")
    for p in passes:
        say(f"  {p.title:18} {label_studio.url}/projects/{projects[p.name]}/data?labeling=1")


def _wait(label_studio: LabelStudio, backend: Backend) -> int:
    say(f"Backend: {backend.url}   Logs: {backend.folder}")
    say(f"Commands, in another shell: cd {backend.folder} && {COMMAND} status")
    say("Annotate in the browser. After some dozens of tasks a student is trained; Ctrl-C stops everything.")
    shown = ""
    while True:
        label_studio.server.check()
        backend.check()
        now = _summary(_status(backend))
        if now != shown:
            say(now)
            shown = now
        time.sleep(5)


def _summary(status: dict[str, Any]) -> str:
    lines = []
    for project in status["projects"]:
        if project["finished"]:
            lines.append(
                f"  {project['title']}: {project['finished']} done, Label Studio shows {project['live_version']}"
            )
            lines += [f"    {aspect['reason']}" for aspect in project["aspects"]]
    return "\n".join(lines)


def _status(backend: Backend) -> dict[str, Any]:
    done = backend.run("status", "--json")
    if done.returncode != 0:
        raise StackError(f"`handover status` failed:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout))


def _simulate(
    folder: Path,
    label_studio: LabelStudio,
    backend: Backend,
    token: str,
    projects: dict[str, int],
    passes: Sequence[Pass],
    json_path: Path | None,
) -> int:
    annotator = Annotator(label_studio.url, token)
    tallies = {p.name: _simulate_pass(annotator, backend, projects[p.name], p) for p in passes}
    _settle(backend)
    annotator.close()
    exported = {p.name: _export(backend, projects[p.name], p, folder) for p in passes}
    rows = show_report(say, _status(backend), label_studio.url, token, projects, passes, tallies, exported)
    if json_path is not None:
        json_path.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    if not any(p.name == MUST_HAND_OVER for p in passes):
        return 0
    stage = next(row for row in rows if row["aspect"] == MUST_HAND_OVER)
    if stage["served_by"] == "student" and stage["open_tasks_with_student_predictions"]:
        return 0
    say(f"\nThe pass {MUST_HAND_OVER!r} was not handed over: {stage['reason']}")
    return 1


def _simulate_pass(annotator: Annotator, backend: Backend, project: int, p: Pass) -> Tally:
    say(f"\n{p.title}: annotating {p.simulated} tasks ...")

    def on_task(tally: Tally) -> None:
        if tally.done % 50 == 0:
            backend.check()
            say(f"  {tally.done} done, {tally.blind} of them blind; predictions seen: {dict(tally.versions)}")

    return annotate(annotator, project, p.name, p.gold(), limit=p.simulated, on_task=on_task)


def _settle(backend: Backend, *, timeout: float = 420.0) -> None:
    """Ask for a last training of every pass and wait until only hints are left in the queue: no report needs them."""
    say("\nWaiting for the last trainings ...")
    for project in _status(backend)["projects"]:
        backend.run("retrain", "--project", str(project["ls_id"]))
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        backend.check()
        active = {job["kind"] for job in _status(backend)["jobs"] if job["status"] in ("queued", "started")}
        if active <= {"hints"}:
            return
        time.sleep(2)
    say("The queue did not become empty in time; the report shows what is there.")


def _export(backend: Backend, project: int, p: Pass, folder: Path) -> str:
    target = folder / "exported" / p.name
    done = backend.run("export", "--project", str(project), "--aspect", p.name, "-o", str(target))
    return str(target) if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
