"""The version strings that Label Studio shows beside predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from handover.domain import Server

NO_TEACHER = "none"


def teacher_version(aspect_name: str, teacher_id: str) -> str:
    """Version of the teacher's predictions for an aspect."""
    return f"{aspect_name}-teacher-{teacher_id or NO_TEACHER}"


def student_version_name(aspect_name: str, student_version: str) -> str:
    """Version of a student's predictions for an aspect."""
    return f"{aspect_name}-student-{student_version}"


def routed_version_name(aspect_name: str, student_version: str, threshold: float, teacher_id: str) -> str:
    """Version of a student's predictions where it is sure enough, and of the teacher's elsewhere."""
    return f"{student_version_name(aspect_name, student_version)}-from-{threshold:.4f}-else-{teacher_id or NO_TEACHER}"


def merged_version_name(aspect_name: str, student_version: str, labels: str, teacher_id: str) -> str:
    """Version of a student's answers for some labels (a digest of them) and of the teacher's for the others."""
    return f"{student_version_name(aspect_name, student_version)}-for-{labels}-else-{teacher_id or NO_TEACHER}"


def project_version(aspect_versions: Sequence[str]) -> str:
    """What Label Studio shows for a project: the aspect's version, or a digest where it has several aspects."""
    if not aspect_versions:
        return "handover-no-aspect"
    if len(aspect_versions) == 1:
        return aspect_versions[0]
    digest = hashlib.sha256("\n".join(aspect_versions).encode()).hexdigest()[:8]
    students = sum(f"-{Server.STUDENT.value}-" in version for version in aspect_versions)
    return f"{students}-of-{len(aspect_versions)}-students-{digest}"
