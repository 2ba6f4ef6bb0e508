"""The README of an exported student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = (
    ("metric", "Metric"),
    ("gold_score", "This pipeline on gold"),
    ("teacher_score", "Its teacher on the same gold"),
    ("gold", "Gold texts (annotated blind, never trained on)"),
    ("dev_score", "This pipeline on dev"),
    ("n_train", "Train texts (annotated by people)"),
    ("n_dev", "Dev texts (annotated by people)"),
    ("n_silver", "Silver texts (answered by the teacher)"),
    ("teacher", "Teacher"),
    ("decision", "Decision of the gate"),
    ("version", "Version (hash of data, recipe and seed)"),
)


def model_card(meta: Mapping[str, Any], components: Sequence[str], facts: Mapping[str, Any], *, size: int) -> str:
    """The model card in Markdown. `meta` is the pipeline's, `facts` what is known about data and scores, `size`
    its files in bytes."""
    labels = ", ".join(f"`{label}`" for label in facts.get("labels", ())) or "see meta.json"
    rows = [f"| {title} | {_shown(facts[key])} |" for key, title in _ROWS if facts.get(key) not in (None, "")]
    return "\n".join(
        [
            f"# {meta['lang']}_{meta['name']} {meta['version']}",
            "",
            meta["description"],
            "",
            "```python",
            "import spacy",
            "",
            'nlp = spacy.load("path/to/this/folder")',
            'doc = nlp("A text.")',
            _USAGE.get(str(facts.get("kind", "")), _ENTITIES),
            "```",
            "",
            "| | |",
            "|---|---|",
            f"| Labels | {labels} |",
            f"| Components | {', '.join(components)} |",
            f"| spaCy | {meta['spacy_version']} |",
            f"| Size | {size / 1e6:.1f} MB |",
            *rows,
            "",
            "Made with [spaCy](https://spacy.io) from people's corrections of a language model's suggestions. No text",
            "of the training data is in this folder. If answers of a language model were trained on (silver), the",
            "terms of its provider apply to the use of this pipeline.",
            "",
        ]
    )


_ENTITIES = "print([(ent.text, ent.label_) for ent in doc.ents])"
_USAGE = {
    "choice": "print(max(doc.cats, key=doc.cats.get))",
    "choices": "print([label for label, score in doc.cats.items() if score >= 0.5])",
    "entities": _ENTITIES,
    "spans": 'print([(span.text, span.label_) for span in doc.spans["sc"]])',
    "relations": (
        'ends = doc.spans["sc"]\n'
        "print([(ends[head].text, label, ends[child].text) for head, child, label in doc._.relations])"
    ),
}


def _shown(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
