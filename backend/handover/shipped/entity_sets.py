"""Several entity recognizers in one pipeline, without one seeing the entities of another.

This file goes with pipelines that Handover exported, so it imports nothing but spaCy.
"""

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import filter_spans


class SetAside:
    """Move `doc.ents` to `doc.spans[key]`: a recognizer that finds entities takes them for given."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, doc: Doc) -> Doc:
        doc.spans[self.key] = list(doc.ents)
        doc.set_ents([], default="missing")
        return doc


class CombineEntities:
    """Fill `doc.ents`, which cannot overlap, from the span groups `keys`.

    Of spans that overlap the longest stays; of equally long ones the first in the text; of equal ones that of
    the first key. The span groups keep everything.
    """

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def __call__(self, doc: Doc) -> Doc:
        doc.set_ents(filter_spans([span for key in self.keys for span in doc.spans.get(key, ())]))
        return doc


def make_set_aside(nlp: Language, name: str, key: str) -> SetAside:
    """The factory of `SetAside`."""
    return SetAside(key)


def make_combine_entities(nlp: Language, name: str, keys: list[str]) -> CombineEntities:
    """The factory of `CombineEntities`."""
    return CombineEntities(keys)


# Another pipeline in the same process, or Handover itself, may bring the same factory; spaCy refuses a second one.
if not Language.has_factory("handover_set_aside_v1"):
    Language.factory("handover_set_aside_v1", func=make_set_aside, assigns=["doc.spans"])
if not Language.has_factory("handover_combine_entities_v1"):
    Language.factory("handover_combine_entities_v1", func=make_combine_entities, assigns=["doc.ents"])
