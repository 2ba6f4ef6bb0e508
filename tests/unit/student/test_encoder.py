"""The encoder in numpy, on random weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from handover.errors import ConfigError
from handover.student import encoder as encoders
from handover.student import sentence_head
from handover.student.encoder import encoder_id, find_encoder, load_encoder
from handover.student.sentence_head import Encoder
from handover.student.word_vectors import WIDTH, distilled_vectors, principal_components, whole_words
from tests.tiny_encoder import WORDS, write_encoder

for _library in ("tokenizers", "safetensors"):  # the extra `encoder`
    pytest.importorskip(_library)

TEXTS = ["Bid", "seeks cargo, pays", "", "oslo " * 100, "Offer sells cargos 😀"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return load_encoder(folder)


def test_encode_gives_a_vector_of_length_1_per_text(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 16)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert len({tuple(row) for row in vectors.round(4).tolist()}) == len(TEXTS)
    assert encoder.encode([]).shape == (0, 16)


def test_encode_does_not_depend_on_the_other_texts(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    together = encoder.encode(TEXTS)
    monkeypatch.setattr(sentence_head, "BATCH_TOKENS", 1)
    assert encoder.encode(TEXTS) == pytest.approx(together, abs=1e-5)


def test_encode_says_what_transformers_says(folder: Path, encoder: Encoder) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = encoder.tokenizer.encode(TEXTS[1]).ids
    with torch.inference_mode():
        mean = model(torch.tensor([ids])).last_hidden_state.mean(dim=1)[0].numpy()
    assert encoder.encode(TEXTS[1:2])[0] == pytest.approx(
        mean / np.linalg.norm(mean), abs=2e-3
    )  # ours are rounded to 16 bits


def test_encode_takes_the_first_token_where_the_encoder_says_so(tmp_path: Path, encoder: Encoder) -> None:
    first = load_encoder(write_encoder(tmp_path / "first", first_token=True))
    assert first.encode(TEXTS[1:2]) != pytest.approx(encoder.encode(TEXTS[1:2]), abs=1e-2)


def test_find_encoder_by_folder_and_by_package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "an_encoder"
    write_encoder(package / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_encoder(str(folder)) == folder
    assert find_encoder("an-encoder") == package / "model"
    assert encoder_id(folder) == encoder_id(package / "model")
    monkeypatch.setattr(encoders, "PACKAGE", "an_encoder")
    assert find_encoder("") == package / "model"


def test_find_encoder_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "PACKAGE", "nobody_has_this")
    assert find_encoder("") is None
    (tmp_path / "half").mkdir()
    for name in (str(tmp_path / "half"), "nobody-has-this", "../x"):
        with pytest.raises(ConfigError, match=r"There is no encoder .*Check HANDOVER_ENCODER"):
            find_encoder(name)


def test_find_encoder_without_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    assert find_encoder("") is None
    with pytest.raises(ConfigError, match=r"needs tokenizers and safetensors. Install .*\[encoder\]"):
        find_encoder(str(folder))


def test_load_encoder_of_another_family(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "gpt")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "gpt2"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="is of type 'gpt2'; only 'bert'"):
        load_encoder(folder)


def test_whole_words_are_no_pieces_and_nothing_special(encoder: Encoder) -> None:
    assert whole_words(encoder) == sorted(word for word in WORDS if not word.startswith("##"))


def test_distilled_vectors_do_not_depend_on_case(folder: Path, tmp_path: Path) -> None:
    import spacy

    path = distilled_vectors(folder, language="en", cache_dir=tmp_path)
    doc = spacy.load(path)("Oslo oslo OSLO Bergen")
    assert doc[0].vector.tolist() == doc[1].vector.tolist()
    assert np.abs(doc[2].vector - doc[1].vector).sum() == 0
    assert np.abs(doc[0].vector).sum() > 0
    assert [token.has_vector for token in doc] == [True, True, True, False]


def test_distilled_vectors_are_made_once(folder: Path, tmp_path: Path) -> None:
    first = distilled_vectors(folder, language="en", cache_dir=tmp_path)
    os.utime(first / "meta.json", (1, 1))
    assert distilled_vectors(folder, language="en", cache_dir=tmp_path) == first
    assert (first / "meta.json").stat().st_mtime == 1
    assert distilled_vectors(folder, language="de", cache_dir=tmp_path) != first


def test_principal_components_keep_the_main_direction() -> None:
    line = np.outer(np.arange(10), [1.0, 2.0, 0.0]).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.01, line.shape).astype(np.float32)
    reduced = principal_components(line + noise, 1)
    assert reduced.shape == (10, 1)
    assert reduced.std() == pytest.approx(1.0)
    assert abs(np.corrcoef(reduced[:, 0], np.arange(10))[0, 1]) > 0.999
    assert WIDTH == 128
