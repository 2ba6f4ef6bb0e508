"""One run of a pipeline over a file. Its state is a folder beside the output: `run.json` says what is to be done,
and a file a shard holds the answers. A shard is done when its file is there, so any process may do any shard, twice
if need be, and a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from handover.bulk.fields import ERROR, columns_of
from handover.bulk.parquet import read_parquet
from handover.bulk.pipelines import aspects_of, find_pipeline, has_catalog, pipeline_hash, read_meta
from handover.bulk.predictor import Predictor
from handover.bulk.sinks import SINKS, encode
from handover.bulk.tables import Plan, Shard, format_of, plan, read
from handover.errors import ConfigError

STATE = "run.json"
PARTS = ".parts"


@dataclass(frozen=True)
class PredictRequest:
    """What to run over what. `text_field` empty: the field of the labeling config. `prefix` comes before the names
    of the new fields."""

    pipeline: str
    input: str
    output: str
    text_field: str = ""
    prefix: str = "predicted_"
    shard_rows: int = 1000
    force: bool = False
    restart: bool = False


@dataclass(frozen=True)
class Run:
    """A planned run: everything that a process needs to do a shard of it."""

    pipeline: str
    pipeline_hash: str
    input: str
    input_digest: str
    output: str
    text_field: str
    prefix: str
    columns: Mapping[str, list[str]]
    answers: Mapping[str, str]
    shards: tuple[Shard, ...]

    @property
    def folder(self) -> str:
        """Folder or URL of the run's state."""
        return self.output + PARTS

    @property
    def rows(self) -> int:
        """The number of records."""
        return sum(shard.rows for shard in self.shards)

    @property
    def identity(self) -> list[str]:
        """What two runs have in common that give the same answers."""
        return [self.pipeline_hash, self.input_digest, self.output, self.text_field, self.prefix]

    def to_json(self) -> bytes:
        """The run as JSON; `parse_run` reads it back."""
        return json.dumps(asdict(self), indent=1).encode()


@dataclass(frozen=True)
class Summary:
    """A finished run: its records, and those of them without a usable text."""

    output: str
    rows: int
    errors: int


def start_run(request: PredictRequest) -> Run:
    """Plan a run, or find the one that was stopped.

    Raises ConfigError when the input cannot be read or does not fit, when the output is there already, or when
    what was left there belongs to another run.
    """
    _check_output(request)
    folder = find_pipeline(request.pipeline)
    planned = plan(request.input, shard_rows=request.shard_rows)
    run = _plan_run(request, folder, planned)
    known = load_run(run.folder)
    if known is not None and not request.restart:
        if known.identity != run.identity:
            raise ConfigError(
                f"{run.folder} is left from another run: pipeline, input, --text-field or --prefix were others. Finish "
                "that one with what it was started with, or throw it away with --restart."
            )
        return known
    _remove(run.folder)
    _write(f"{run.folder}/{STATE}", run.to_json())
    return run


def load_run(folder: str) -> Run | None:
    """The run whose state is in this folder, None when there is none."""
    fs, path = _at(f"{folder}/{STATE}")
    return parse_run(fs.cat_file(path)) if fs.exists(path) else None


def parse_run(content: bytes) -> Run:
    """Read what `Run.to_json` wrote."""
    value = json.loads(content)
    return Run(**{**value, "shards": tuple(Shard(**shard) for shard in value["shards"])})


def open_predictor(run: Run) -> Predictor:
    """The run's pipeline. Raises ConfigError when this machine has another one under its name."""
    folder = find_pipeline(run.pipeline)
    if pipeline_hash(folder) != run.pipeline_hash:
        raise ConfigError(f"The pipeline {run.pipeline!r} is not the one that the run was started with.")
    return Predictor(folder, prefix=run.prefix)


def done_shards(run: Run) -> set[int]:
    """The numbers of the shards whose answers are there."""
    fs, path = _at(run.folder)
    return {int(name[:-6]) for name in (p.rsplit("/", 1)[-1] for p in fs.ls(path, detail=False)) if _is_part(name)}


def predict_shard(run: Run, number: int, predictor: Predictor) -> int:
    """Answer the records of a shard and keep the answers; returns how many records."""
    shard = run.shards[number]
    rows = read(run.input, shard, run.columns)
    answers = predictor.answer(rows, run.text_field)
    if len(answers) != shard.rows:
        raise ConfigError(f"{run.input} has changed since the run was started. Start over with --restart.")
    _write(f"{run.folder}/{number:08d}.jsonl", b"".join(encode(answer) + b"\n" for answer in answers))
    return len(answers)


def assemble(run: Run) -> Summary:
    """Write the output from input and answers, in the input's order, and remove the run's state.

    Raises ConfigError when answers are missing, or the input has changed meanwhile.
    """
    errors = 0
    columns = {name: frozenset(types) for name, types in run.columns.items()}
    with _appearing(run.output) as file:
        sink = SINKS[format_of(run.output)](file, columns, run.answers)
        for number, shard in enumerate(run.shards):
            answers = _answers(run, number)
            errors += sum(bool(answer[run.prefix + ERROR]) for answer in answers)
            if format_of(run.input) == format_of(run.output) == "parquet":
                sink.write_table(read_parquet(run.input, shard.start, shard.stop), answers)
            else:
                sink.write_rows(read(run.input, shard, run.columns), answers)
        sink.close()
    _remove(run.folder)
    return Summary(run.output, run.rows, errors)


def _check_output(request: PredictRequest) -> None:
    format_of(request.output)
    fs, path = _at(request.output)
    if request.output == request.input:
        raise ConfigError("Input and output are the same file. Give the output another name.")
    if fs.exists(path) and not request.force:
        raise ConfigError(f"{request.output} is there already. Choose another name, or overwrite it with --force.")


def _plan_run(request: PredictRequest, folder: Path, planned: Plan) -> Run:
    meta = read_meta(folder)
    aspects = aspects_of(meta, folder)
    answers = columns_of(aspects, prefix=request.prefix, has_catalog=has_catalog(meta))
    taken = sorted(set(answers) & set(planned.columns))
    if taken:
        raise ConfigError(f"The input has a field {taken[0]!r} already. Choose another --prefix for the answers.")
    fields = {str(fact.get("text_field", "text")) for fact in aspects}
    text_field = request.text_field or (fields.pop() if len(fields) == 1 else "text")
    if planned.rows and text_field not in planned.columns and text_field.split(".")[0] not in planned.columns:
        known = ", ".join(planned.columns)
        raise ConfigError(f"The input has no field {text_field!r} (has: {known}). Name it with --text-field.")
    return Run(
        # Workers may run in other folders.
        pipeline=str(folder.resolve()) if Path(request.pipeline).is_dir() else request.pipeline,
        pipeline_hash=pipeline_hash(folder),
        input=_absolute(request.input),
        input_digest=planned.digest,
        output=_absolute(request.output),
        text_field=text_field,
        prefix=request.prefix,
        columns={name: sorted(types) for name, types in planned.columns.items()},
        answers=answers,
        shards=planned.shards,
    )


def _answers(run: Run, number: int) -> list[dict[str, Any]]:
    fs, path = _at(f"{run.folder}/{number:08d}.jsonl")
    if not fs.exists(path):
        raise ConfigError(f"The answers of shard {number} are missing in {run.folder}. Run the same command again.")
    answers = [json.loads(line) for line in fs.cat_file(path).split(b"\n") if line]
    if len(answers) != run.shards[number].rows:
        raise ConfigError(f"Shard {number} in {run.folder} is damaged. Start over with --restart.")
    return answers


def _at(url: str) -> tuple[Any, str]:
    fs, path = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()  # other machines write there too
    return fs, path


def _absolute(url: str) -> str:
    fs, path = _at(url)
    return str(path) if isinstance(fs, LocalFileSystem) else url


def _is_part(name: str) -> bool:
    return name.endswith(".jsonl") and name[:-6].isdigit()


def _write(url: str, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    with _appearing(url) as file:
        file.write(content)


@contextmanager
def _appearing(url: str) -> Iterator[BinaryIO]:
    """A file to write to that takes its place at the end of the block; object stores do that by themselves."""
    fs, path = _at(url)
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    scratch = f"{path}.{uuid.uuid4().hex}.tmp" if isinstance(fs, LocalFileSystem) else path
    try:
        with fs.open(scratch, "wb") as file:
            yield file
        if scratch != path:
            Path(scratch).replace(path)
    finally:
        if scratch != path:
            Path(scratch).unlink(missing_ok=True)


def _remove(folder: str) -> None:
    fs, path = _at(folder)
    if fs.exists(path):
        fs.rm(path, recursive=True)
