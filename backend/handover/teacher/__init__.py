"""The teacher: an LLM behind spacy-llm that answers one aspect's question about texts."""

from handover.teacher.build import TeacherSpec, build_teacher, spec_from_settings
from handover.teacher.cache import AnswerCache, CachedAnswer, MemoryCache
from handover.teacher.teacher import Teacher, TeacherAnswer

__all__ = [
    "AnswerCache",
    "CachedAnswer",
    "MemoryCache",
    "Teacher",
    "TeacherAnswer",
    "TeacherSpec",
    "build_teacher",
    "spec_from_settings",
]
