"""What a process of Handover works with, built once from the settings: store, queue, students, teachers."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property

from handover.answer_cache import StoreCache
from handover.domain import Aspect
from handover.errors import ConfigError
from handover.jobs.queue import JobQueue, connect_redis
from handover.jobs.redis_server import EmbeddedRedis
from handover.labelstudio.client import BasicAuth, LabelStudioClient
from handover.ledger import StoreLedger
from handover.settings import Settings
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import AspectRow, ProjectRow
from handover.store.projects import aspect_of
from handover.store.secrets import SecretBox
from handover.student.artifacts import ArtifactStore
from handover.student.pipeline import StudentCache
from handover.teacher.build import build_teacher, spec_from_settings
from handover.teacher.prompt import Example
from handover.teacher.teacher import Teacher
from handover.teaching import TeacherPlan, config_of, examples_of, examples_wanted, guidelines_of

TOKEN = "label_studio_api_key"  # noqa: S105 - the name under which the token is kept, not the token
MAX_LOADED_STUDENTS = 8
MIGRATION_PATIENCE = 60.0
"""Seconds to wait for another process that migrates the database."""


class Runtime:
    """Parts are made when they are first used. `patience` is how many seconds to wait for Redis or a lock:
    a fraction of a second in the server, None (as long as it takes) in workers."""

    def __init__(self, settings: Settings, *, patience: float | None = None) -> None:
        self.settings = settings
        self._patience = patience
        self._embedded = None if settings.redis_url else EmbeddedRedis(settings.data_dir)
        self._teachers: dict[tuple[int, Aspect, TeacherPlan], Teacher | None] = {}
        self._client: LabelStudioClient | None = None
        self._lock = threading.Lock()

    def open(self, *, needs_redis: bool = True, migrate: bool = True) -> Runtime:
        """Bring the database up to date and start or join the embedded Redis."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if migrate:
            self._migrate()
        if needs_redis and self._embedded is not None:
            self._embedded.open()
        return self

    def ensure_redis(self) -> None:
        """Start the embedded Redis again if it was killed. Raises UnavailableError."""
        if self._embedded is not None:
            self._embedded.ensure_running()

    def close(self) -> None:
        """Leave the embedded Redis and close all connections."""
        if self._client is not None:
            self._client.close()
        if self._embedded is not None:
            self._embedded.close()
        self.database.close()

    def _migrate(self) -> None:
        # Another process may be migrating: that is worth waiting for, whatever the patience otherwise.
        database = Database(self.settings.store_url, patience=MIGRATION_PATIENCE)
        try:
            upgrade(database)
        finally:
            database.close()

    @property
    def redis_url(self) -> str:
        """The URL of the Redis in use."""
        return self._embedded.url if self._embedded is not None else self.settings.redis_url

    @cached_property
    def database(self) -> Database:
        """The store."""
        patience = 20.0 if self._patience is None else self._patience
        return Database(self.settings.store_url, patience=patience)

    @cached_property
    def queue(self) -> JobQueue:
        """The job queue."""
        connection = connect_redis(self.redis_url, patience=self._patience)
        return JobQueue(connection, self.database, train_timeout=self.settings.train_timeout)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The students' files."""
        return ArtifactStore(self.settings.students_url, cache_dir=self.settings.data_dir / "cache")

    @cached_property
    def students(self) -> StudentCache:
        """Loaded students."""
        return StudentCache(self.artifacts, max_loaded=MAX_LOADED_STUDENTS)

    @cached_property
    def answers(self) -> StoreCache:
        """The cache of the teachers' answers."""
        return StoreCache(self.database)

    @cached_property
    def secrets(self) -> SecretBox:
        """Encrypts what is secret in the store."""
        return SecretBox.open(key=self.settings.secret_key.get_secret_value(), data_dir=self.settings.data_dir)

    def ledger_for(self, aspect_row: AspectRow) -> StoreLedger:
        """The books of an aspect's teacher."""
        return StoreLedger(self.database, self.settings, project_id=aspect_row.project_id, aspect_id=aspect_row.id)

    def teacher_for(self, project: ProjectRow, aspect_row: AspectRow) -> Teacher | None:
        """The teacher of an aspect, None with HANDOVER_TEACHER=none. Raises TeacherError."""
        return self.teacher_from(aspect_row, self.teacher_plan(project, aspect_row))

    def teacher_plan(self, project: ProjectRow, aspect_row: AspectRow) -> TeacherPlan:
        """What the teacher of an aspect is built with now. Raises TeacherError."""
        examples: tuple[Example, ...] = ()
        if examples_wanted(self.settings, project, aspect_row):
            with self.database.read() as session:
                examples = examples_of(session, aspect_row)
        return TeacherPlan(guidelines_of(project, aspect_row), examples, config_of(self.settings, project))

    def teacher_from(self, aspect_row: AspectRow, plan: TeacherPlan) -> Teacher | None:
        """The teacher of an aspect that a plan describes, built once. Raises TeacherError."""
        aspect, language = aspect_of(aspect_row), self.settings.language
        key = aspect_row.id, aspect, plan
        with self._lock:
            if key not in self._teachers:
                spec = spec_from_settings(self.settings, guidelines=plan.guidelines)
                spec = replace(spec, examples=plan.examples, config_text=plan.config)
                ledger = self.ledger_for(aspect_row)
                self._teachers[key] = build_teacher(aspect, spec, language=language, ledger=ledger)
            return self._teachers[key]

    def api_key(self) -> str:
        """The token for Label Studio: the setting, else the stored one; empty when there is none."""
        given = self.settings.label_studio_api_key.get_secret_value()
        if given:
            return given
        with self.database.read() as session:
            return self.secrets.get(session, TOKEN)

    @property
    def basic_auth(self) -> BasicAuth | None:
        """What Label Studio has to send to the ML backend, None when nothing is checked."""
        settings = self.settings
        if not settings.basic_auth_user:
            return None
        return BasicAuth(settings.basic_auth_user, settings.basic_auth_password.get_secret_value())

    def label_studio(self) -> LabelStudioClient:
        """A client for Label Studio. Raises ConfigError when there is no token."""
        token = self.api_key()
        if not token:
            raise ConfigError(
                "There is no token for Label Studio. Run `handover connect`, or set HANDOVER_LABEL_STUDIO_API_KEY "
                "to a token from Account & Settings in Label Studio."
            )
        if self._client is None:
            settings = self.settings
            self._client = LabelStudioClient(settings.label_studio_url, token, timeout=settings.label_studio_timeout)
        return self._client
