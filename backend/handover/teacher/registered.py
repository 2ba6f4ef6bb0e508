"""Our functions in spacy-llm's registries.

An installed Handover is found through its entry points as well; this makes the names known to a source tree
that is only on the path, and doing it twice changes nothing.
"""

from __future__ import annotations

from spacy_llm.registry import registry

from handover.teacher.claude import make_claude
from handover.teacher.foreign import make_foreign
from handover.teacher.given import make_given_task
from handover.teacher.guarded import make_guarded
from handover.teacher.nocache import make_no_cache
from handover.teacher.openai_chat import make_openai
from handover.teacher.recorded import make_recorded
from handover.teacher.tasks import (
    make_choice_task,
    make_choices_task,
    make_entities_task,
    make_relations_task,
    make_spans_task,
)


def register() -> None:
    """Make `handover.*` known to spacy-llm."""
    registry.llm_models("handover.Claude.v1", func=make_claude)
    registry.llm_models("handover.Foreign.v1", func=make_foreign)
    registry.llm_models("handover.Guarded.v1", func=make_guarded)
    registry.llm_models("handover.OpenAI.v1", func=make_openai)
    registry.llm_models("handover.Recorded.v1", func=make_recorded)
    registry.llm_tasks("handover.Choice.v1", func=make_choice_task)
    registry.llm_tasks("handover.Choices.v1", func=make_choices_task)
    registry.llm_tasks("handover.Entities.v1", func=make_entities_task)
    registry.llm_tasks("handover.Spans.v1", func=make_spans_task)
    registry.llm_tasks("handover.Relations.v1", func=make_relations_task)
    registry.llm_tasks("handover.Given.v1", func=make_given_task)
    registry.llm_misc("handover.NoCache.v1", func=make_no_cache)
