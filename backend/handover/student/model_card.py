"""The README of an exported pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ROWS = (
    ("kind", "Kind"),
    ("shown_labels", "Labels"),
    ("metric", "Metric"),
    ("gold_score", "This pipeline on gold"),
    ("teacher_score", "Its teacher on the same gold"),
    ("difference", "Pipeline minus teacher, with its interval"),
    ("gold", "Gold texts (annotated blind, never trained on)"),
    ("dev_score", "This pipeline on dev"),
    ("ece", "Expected calibration error"),
    ("n_train", "Train texts (annotated by people)"),
    ("n_dev", "Dev texts (annotated by people)"),
    ("n_silver", "Silver texts (answered by the teacher)"),
    ("teacher", "Teacher"),
    ("prompt_hash", "Hash of its prompt"),
    ("decision", "Decision of the gate"),
    ("recipe", "Recipe"),
    ("version", "Version (hash of data, recipe and seed)"),
    ("shown_components", "Components"),
)


def model_card(meta: Mapping[str, Any], components: Sequence[str], *, size: int) -> str:
    """The model card in Markdown. `meta` is the pipeline's, with what is known about its aspects under `handover`;
    `size` its files in bytes."""
    known = meta.get("handover", {})
    aspects = [_shown_facts(fact) for fact in known.get("aspects", ())]
    lines = [
        f"# {meta['lang']}_{meta['name']} {meta['version']}",
        "",
        meta["description"],
        "",
        *_how_to_use(meta, aspects, known),
        "",
        "| | |",
        "|---|---|",
        f"| Components | {', '.join(components)} |",
        f"| spaCy | {meta['spacy_version']} |",
        *[f"| Needs | {need} |" for need in meta.get("requirements", ())],
        f"| Size | {size / 1e6:.1f} MB |",
        "",
        *_aspect_table(aspects),
        *_logic(known.get("logic")),
        *_terms(aspects),
    ]
    return "\n".join(lines) + "\n"


def _shown_facts(fact: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict(fact)
    shown["shown_labels"] = ", ".join(f"`{fact.get('prefix', '')}{label}`" for label in fact.get("labels", ()))
    shown["shown_components"] = ", ".join(fact.get("components", ()))
    if "low" in fact:
        difference = fact["gold_score"] - fact["teacher_score"]
        shown["difference"] = f"{difference:+.3f} ({fact['low']:+.3f} to {fact['high']:+.3f})"
    return shown


def _how_to_use(
    meta: Mapping[str, Any], aspects: Sequence[Mapping[str, Any]], known: Mapping[str, Any]
) -> Iterator[str]:
    yield from ("```python", "import spacy", "")
    code = known.get("code") or {}
    if code:
        yield "# The code that comes with the pipeline; the wheel does this by itself."
        yield "import sys"
        yield 'sys.path.insert(0, "path/to/this/folder")'
        yield f"import {', '.join(sorted(code))}"
        yield ""
    yield f'nlp = spacy.load("path/to/this/folder")  # installed as a wheel: "{meta["lang"]}_{meta["name"]}"'
    yield 'doc = nlp("A text.")'
    yield from dict.fromkeys(_usage(fact) for fact in aspects)
    if known.get("logic"):
        yield "print(doc._.catalog)"
    yield "```"


def _usage(fact: Mapping[str, Any]) -> str:
    prefix, spans = fact.get("prefix", ""), fact.get("spans")
    if fact.get("kind") == "relations":
        return (
            f'ends = doc.spans["{spans}"]\n'
            "print([(ends[head].text, label, ends[child].text) for head, child, label in doc._.relations])"
        )
    if spans:
        return f'print([(span.text, span.label_) for span in doc.spans["{spans}"]])'
    if fact.get("kind") == "choice" and prefix:
        return f'print(max((label for label in doc.cats if label.startswith("{prefix}")), key=doc.cats.get))'
    if fact.get("kind") == "choice":
        return "print(max(doc.cats, key=doc.cats.get))"
    if fact.get("kind") == "choices":
        return "print([label for label, score in doc.cats.items() if score >= 0.5])"
    return "print([(ent.text, ent.label_) for ent in doc.ents])"


def _aspect_table(aspects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each fact that any of the aspects has, a column for each aspect."""
    if not aspects:
        return
    yield "| Aspect | " + " | ".join(_shown(fact.get("aspect", "")) for fact in aspects) + " |"
    yield "|---" * (len(aspects) + 1) + "|"
    for key, title in _ROWS:
        if any(fact.get(key) not in (None, "") for fact in aspects):
            yield f"| {title} | " + " | ".join(_shown(fact.get(key)) for fact in aspects) + " |"
    yield ""


def _logic(facts: Mapping[str, Any] | None) -> Iterator[str]:
    if not facts:
        return
    yield "## Business logic"
    yield ""
    yield (
        f"The last component looks names up in a catalogue of {facts['rows']} rows, which is part of this pipeline "
        f"(hash {facts['hash']}), as of {facts['as_of']}. It is a rule: the same text always gives the same answer. A "
        "name that fits several rows is listed as ambiguous, never guessed."
    )
    yield ""


def _terms(aspects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Where it comes from, and its terms"
    yield ""
    yield "Made with [spaCy](https://spacy.io) from people's annotations, many of them corrections of what a language"
    yield "model suggested. No text of the training data is in these files."
    yield ""
    silver = sum(int(fact.get("n_silver") or 0) for fact in aspects)
    if silver:
        yield f"It was trained on {silver} answers of a language model (silver) as well. The terms of that model's"
    else:
        yield "No answer of a language model was trained on as it was (no silver). The terms of the teacher's"
    yield "provider about models that are trained with its output apply; read them before you pass this on."
    yield ""


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
