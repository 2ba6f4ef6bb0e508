"""The demo's report: what each pass came to, checked against what Label Studio itself says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from scripts.passes import Pass
from scripts.simulate import Tally


def show_report(
    say: Callable[[str], None],
    status: Mapping[str, Any],
    url: str,
    token: str,
    projects: Mapping[str, int],
    passes: Sequence[Pass],
    tallies: Mapping[str, Tally],
    exported: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Print a paragraph per pass; returns the same as rows."""
    rows = [_row(status, url, token, projects[p.name], p, tallies[p.name], exported[p.name]) for p in passes]
    for row in rows:
        _show(say, row)
    for job in status["jobs"]:
        if job["error"]:
            say(f"\nJob {job['id']} {job['status']}: {job['error']}")
    return rows


def _row(
    status: Mapping[str, Any], url: str, token: str, ls_id: int, p: Pass, tally: Tally, exported: str
) -> dict[str, Any]:
    project = next(entry for entry in status["projects"] if entry["ls_id"] == ls_id)
    aspect = next(entry for entry in project["aspects"] if entry["name"] == p.name)
    shown, with_student = _what_label_studio_shows(url, token, ls_id)
    return {
        "aspect": p.name,
        "title": p.title,
        "tasks": sum(project["tasks"].values()),
        "done": tally.done,
        "blind": tally.blind,
        "untouched": tally.untouched,
        "metric": aspect["metric"],
        "teacher": aspect["teacher_score"],
        "student": aspect["student_score"],
        "gold": aspect["scored_on"],
        "interval": aspect["interval"],
        "decision": aspect["decision"],
        "reason": aspect["reason"],
        "switch_reason": aspect["switch_reason"],
        "served_by": aspect["server"],
        "label_studio_shows": shown,
        "open_tasks_with_student_predictions": with_student,
        "exported": exported,
    }


def _what_label_studio_shows(url: str, token: str, ls_id: int) -> tuple[str, int]:
    """project.model_version, and how many open tasks hold a student's prediction of that version."""
    access = httpx.post(f"{url}/api/token/refresh", json={"refresh": token}).json()["access"]
    headers = {"Authorization": f"Bearer {access}"}
    with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
        shown = str(client.get(f"/api/projects/{ls_id}/").json()["model_version"])
        if "-student-" not in shown:
            return shown, 0
        query = {"project": ls_id, "fields": "all", "page_size": 2000}
        tasks = client.get("/api/tasks/", params=query).json()["tasks"]
    number = sum(
        any(p["model_version"] == shown and p["result"] for p in task["predictions"])
        for task in tasks
        if not task["is_labeled"]
    )
    return shown, number


def _show(say: Callable[[str], None], row: Mapping[str, Any]) -> None:
    say(f"\n{row['title']}")
    how = f"{row['blind']} blind, {row['untouched']} accepted untouched"
    say(f"  tasks done      {row['done']} of {row['tasks']} ({how})")
    if row["teacher"] is not None:
        scores = f"teacher {row['teacher']:.3f}, student {row['student']:.3f} ({row['metric']})"
        say(f"  gold            {row['gold']} tasks: {scores}")
        low, high = row["interval"] or (float("nan"), float("nan"))
        say(f"  difference      between {low:+.3f} and {high:+.3f}")
    say(f"  decision        {row['decision'] or 'none'}: {row['reason']}")
    if row["switch_reason"] not in ("", row["reason"]):
        say(f"  last switch     {row['switch_reason']}")
    number = row["open_tasks_with_student_predictions"]
    say(f"  shown now       {row['label_studio_shows']}" + (f", on {number} open tasks" if number else ""))
    say(f"  pipeline        {row['exported'] or 'no student yet'}")
