"""The last step: five students in one wheel, in an environment that has never heard of Handover."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import spacy

from handover.domain import Annotation, Prediction, Span
from handover.errors import ArtifactError
from handover.intake import adopt_project, apply_config
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.models import StudentRow
from handover.store.projects import aspect_of, aspects_of
from handover.student.export import export_students
from handover.student.merge import Part
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from handover.student.wheel import build_wheel
from scripts.passes import PASSES, SAMPLES, Pass
from scripts.stack import ROOT, clean_env, handover

ASPECTS = ("battery", "camera", "screen", "price", "terms")
OPTIONS = TrainOptions(max_steps=60, recipes=("choice-bow",))
TRAINED = 120
"""Texts each student learns from; the test predicts others."""

LOAD = """
import json, sys, spacy
nlp = spacy.load("en_phone_reviews")
answers = []
for doc in nlp.pipe(json.load(sys.stdin)):
    ents = [[e.start_char, e.end_char, e.label_] for e in doc.ents]
    answers.append({"cats": doc.cats, "ents": ents, "catalog": doc._.catalog})
try:
    import handover
except ImportError:
    json.dump({"answers": answers, "pipes": nlp.pipe_names, "spacy": spacy.__version__}, sys.stdout)
"""


@dataclass(frozen=True)
class Trained:
    """An installation with a champion for each aspect, and what its server says about texts."""

    settings: Settings
    texts: list[str]
    learned: list[str]
    predictions: dict[str, list[Prediction]]


def examples(chosen: Pass) -> list[LabelledText]:
    def annotation(gold: Any) -> Annotation:
        if isinstance(gold, str):
            return Annotation(cats=(gold,))
        return Annotation(spans=tuple(Span(**span) for span in gold))

    return [LabelledText(text, annotation(gold)) for text, gold in chosen.gold().items()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Small students for the four passes over the reviews and for the terms of the market messages."""
    folder = tmp_path_factory.mktemp("trained")
    settings = Settings(data_dir=folder / "data")
    runtime = Runtime(settings).open(needs_redis=False)
    passes = {one.name: one for one in PASSES}
    texts = [e.text for name in ("battery", "terms") for e in examples(passes[name])[-40:]]
    learned, predictions = [], {}
    for number, name in enumerate(ASPECTS, start=1):
        data = examples(passes[name])
        with runtime.database.write() as session:
            project = adopt_project(session, number, title=passes[name].title, sampling="Sequential sampling")
            apply_config(session, project, passes[name].config.read_text(encoding="utf-8"), max_text_chars=50_000)
            row = aspects_of(session, project.id)[0]
            aspect = aspect_of(row)
            options = OPTIONS if name != "terms" else TrainOptions(max_steps=60)
            part = TrainingSet(train=tuple(data[:TRAINED]), dev=tuple(data[TRAINED : TRAINED + 30]))
            made = train_student(aspect, part, options=options, workdir=folder / name)
            version = f"{number:012x}"
            uri = runtime.artifacts.save(made.path, version, {})
            numbers = {"n_train": len(part.train), "n_dev": len(part.dev), "n_silver": 0, "used_silver": False}
            student = StudentRow(
                aspect_id=row.id,
                version=version,
                recipe=made.recipe,
                uri=uri,
                dev_score=made.dev_score,
                report=made.report,
                seconds=1.0,
                **numbers,
            )
            session.add(student)
            session.flush()
            row.champion_id = student.id
        learned += [e.text for e in data[: TRAINED + 30]]
        predictions[name] = runtime.students.predict(version, texts, aspect)
    yield Trained(settings, texts, learned, predictions)
    runtime.close()


@pytest.fixture(scope="module")
def wheel(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `handover export --wheel` makes of them."""
    dist = tmp_path_factory.mktemp("dist")
    logic = SAMPLES / "reviews" / "catalog" / "business_logic.cfg"
    command = handover("export", "--all", "--name", "phone_reviews", "--business-logic", str(logic), "--wheel")
    env = clean_env(HANDOVER_DATA_DIR=str(trained.settings.data_dir))
    done = subprocess.run([*command, "-o", str(dist)], capture_output=True, text=True, env=env, cwd=dist, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = dist.glob("*.whl")
    assert "nlp = spacy.load('en_phone_reviews')" in done.stdout
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel and what it depends on, in the versions that were trained with."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    tool = ROOT / ".venv-tools" / "bin" / "uv"
    uv = str(tool) if tool.exists() else shutil.which("uv")
    python = str(folder / "bin" / "python")
    if uv:
        steps = [[uv, "venv", "--quiet", "--python", sys.executable, str(folder)]]
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        steps = [[sys.executable, "-m", "venv", str(folder)]]
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for step in [*steps, [*install, "-c", str(ROOT / "requirements" / "handover.lock"), str(wheel)]]:
        done = subprocess.run(step, capture_output=True, text=True, env=clean_env(), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return Path(python)


def test_wheel_predicts_what_the_server_predicts_without_handover(
    trained: Trained, environment: Path, tmp_path: Path
) -> None:
    run = subprocess.run(
        [environment, "-c", LOAD],
        input=json.dumps(trained.texts),
        capture_output=True,
        text=True,
        env=clean_env(),
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["spacy"] == spacy.__version__
    assert said["pipes"] == [*ASPECTS, "business_logic"]
    differ = 0
    for i, answer in enumerate(said["answers"]):
        for name in ASPECTS[:-1]:
            prediction = trained.predictions[name][i]
            cats = {key.removeprefix(f"{name}/"): v for key, v in answer["cats"].items() if key.startswith(f"{name}/")}
            assert len(cats) == 5
            assert max(cats, key=cats.__getitem__) == prediction.annotation.cats[0]
        expected = [[s.start, s.end, f"terms/{s.label}"] for s in trained.predictions["terms"][i].annotation.spans]
        assert answer["ents"] == expected
        differ += bool(expected)
    assert differ > 10, "something was found"
    assert len({p.annotation for name in ASPECTS[:-1] for p in trained.predictions[name]}) > 1
    names = {found["reference"] for answer in said["answers"] for found in answer["catalog"] if "reference" in found}
    assert names


def test_wheel_holds_no_word_of_the_texts_that_were_learned(trained: Trained, wheel: Path, tmp_path: Path) -> None:
    untaught = spacy.blank("en")
    for factory in ("textcat", "ner"):
        pipe: Any = untaught.add_pipe(factory)
        for label in ("YES", "NO"):
            pipe.add_label(label)
    untaught.initialize()
    untaught.to_disk(tmp_path / "untaught")
    own = b" ".join(path.read_bytes().lower() for path in (tmp_path / "untaught").rglob("*") if path.is_file())
    words = {word for text in trained.learned for word in re.findall(r"[a-z]{5,}", text.lower())}
    labels = {"positive", "negative", "mixed", "neutral", "mentioned", *(name for name in ASPECTS)}
    labels |= {"commodity", "price", "basis", "volume", "location", "period", "participant"}
    secret = {word for word in words - labels if word.encode() not in own}
    assert len(secret) > 500
    runs = {run for text in trained.learned for run in re.findall(r"(?=\b(\w+ \w+ \w+ \w+)\b)", text.lower())}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            prose = ".dist-info/" in name or name.endswith(
                (".py", ".md", "METADATA", "config.cfg", "meta.json", "catalog.json")
            )
            text = content.lower().decode("utf-8", "replace")
            assert not {run for run in runs if run in text}, name
            if not prose:
                assert not {word for word in re.findall(r"[a-z]{5,}", text) if word in secret}, name


def test_wheel_comes_with_a_model_card(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/README.md"))
        card = archive.read(name).decode()
    assert "| Aspect | battery | camera | screen | price | terms |" in card
    assert "| Train texts (annotated by people) | 120 | 120 | 120 | 120 | 120 |" in card
    assert "The last component looks names up in a catalogue of 13 rows" in card


def test_wheel_that_does_not_load_without_handover_is_not_handed_out(trained: Trained, tmp_path: Path) -> None:
    student = trained.settings.data_dir / "students" / f"{1:012x}"
    folder = export_students([Part(student, {"aspect": "battery"})], tmp_path / "out")
    weights = folder / "textcat" / "model"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ArtifactError, match="The wheel cannot be loaded without Handover"):
        build_wheel(folder, tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
    weights.write_bytes(whole)
    path = build_wheel(folder, tmp_path / "dist")
    path.write_bytes(b"old")
    assert zipfile.is_zipfile(build_wheel(folder, tmp_path / "dist", force=True))
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [path.name]
