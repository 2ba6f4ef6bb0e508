"""Which texts are gold in all but their split: learning from them would be learning from what the gate reads.

A task keeps its split, whatever becomes of its text. So a train task can be edited into a text that is gold, a config
can move to another field that gold and train have in common, and a text can be near one that is gold without being
near the first of its group. Gold stays gold; train, dev and silver leave such texts out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.orm import Session

from handover.evaluation.split import NEAR_DUPLICATE, bands_of, fingerprints, key_of, similarity
from handover.store.models import AspectRow
from handover.store.projects import aspect_of
from handover.store.tasks import gold_data, signatures_by_key
from handover.task_texts import problem_of, text_of


def texts_like_gold(session: Session, row: AspectRow, texts: Sequence[str], *, max_text_chars: int) -> Collection[str]:
    """Those of these texts that a gold task of the aspect's project has, annotated or not, or a near-identical one."""
    found = _signatures(session, texts)
    if not found:
        return frozenset()
    buckets = defaultdict(set)
    for signature in _gold_signatures(session, row, max_text_chars=max_text_chars):
        for band in bands_of(signature):
            buckets[band].add(signature)
    return {text for text, signature in found.items() if _is_near(signature, buckets)}


def _gold_signatures(session: Session, row: AspectRow, *, max_text_chars: int) -> Collection[bytes]:
    aspect = aspect_of(row)
    usable = (
        data
        for data in gold_data(session, row.project_id)
        if not problem_of(data, aspect, max_text_chars=max_text_chars)
    )
    return _signatures(session, [text_of(data, aspect) for data in usable]).values()


def _is_near(signature: bytes, buckets: Mapping[str, Collection[bytes]]) -> bool:
    candidates = {other for band in bands_of(signature) for other in buckets.get(band, ())}
    return any(similarity(signature, other) >= NEAR_DUPLICATE for other in candidates)


def _signatures(session: Session, texts: Sequence[str]) -> dict[str, bytes]:
    """The signature of each text: most are stored, as the first of their group."""
    keys = {text: key_of(text) for text in texts}
    known = signatures_by_key(session, list(set(keys.values())))
    missing = [text for text, key in keys.items() if key not in known]
    made = {text: found.signature for text, found in zip(missing, fingerprints(missing), strict=True)}
    return {text: made[text] if text in made else known[key] for text, key in keys.items()}
