"""Import what takes seconds to import before it is needed.

Label Studio waits three seconds for `/setup`, and workers fork for each job: neither should pay for imports that
the command line avoids by being lazy.
"""

from __future__ import annotations

import importlib

from handover.evaluation.split import fingerprints

HEAVY = (
    "anthropic.resources.messages",
    "handover.jobs.predict",
    "handover.jobs.work",
    "handover.student.spacy_run",
    "handover.teacher.claude",
    "handover.teacher.tasks",
    "label_studio_sdk.label_interface.interface",
    "spacy_llm.util",
)


def preload() -> None:
    """Import everything a server or a worker will need."""
    for name in HEAVY:
        importlib.import_module(name)
    fingerprints(["The first fingerprint imports its library."])
