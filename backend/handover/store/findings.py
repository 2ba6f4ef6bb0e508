"""Queries about findings: drift, drops, forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from handover.store.models import FindingRow


def findings_of(
    session: Session, aspect_id: int, *, kind: str = "", since: datetime | None = None
) -> Sequence[FindingRow]:
    """The findings about an aspect, oldest first."""
    query = select(FindingRow).where(FindingRow.aspect_id == aspect_id)
    if kind:
        query = query.where(FindingRow.kind == kind)
    if since is not None:
        query = query.where(FindingRow.created_at >= since)
    return session.scalars(query.order_by(FindingRow.id)).all()


def newest_findings(session: Session, aspect_id: int) -> Sequence[FindingRow]:
    """The newest finding of each kind about an aspect."""
    newest = select(func.max(FindingRow.id)).where(FindingRow.aspect_id == aspect_id).group_by(FindingRow.kind)
    return session.scalars(select(FindingRow).where(FindingRow.id.in_(newest)).order_by(FindingRow.kind)).all()
