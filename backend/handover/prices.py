"""What tokens cost. A price that is not known stays unknown: nothing here guesses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

MILLION = 1_000_000
DIGEST = re.compile(r"-[0-9a-f]{6}$")
"""Ends the model ids of configs of one's own; the price goes by the name before it."""


class Price(BaseModel):
    """Prices of a model per million tokens. Without one for reading or writing the API's prompt cache, those
    tokens cost what others do; `batch_discount` is the share that a batch saves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(None, ge=0)
    cache_write: float | None = Field(None, ge=0)
    batch_discount: float = Field(0.0, ge=0, le=1)


@dataclass(frozen=True)
class Tokens:
    """How many tokens were used: `input` counts all of a prompt, `cached` and `cache_write` are parts of it."""

    input: int
    output: int
    cached: int = 0
    cache_write: int = 0


def price_of(prices: Mapping[str, Price], model_id: str) -> Price | None:
    """The price of a model, None when it is not known."""
    return prices.get(model_id) or prices.get(DIGEST.sub("", model_id))


def cost(price: Price, tokens: Tokens, *, is_batch: bool = False) -> float:
    """What tokens cost, in the currency of the price."""
    plain = max(tokens.input - tokens.cached - tokens.cache_write, 0)
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    total = plain * price.input + tokens.cached * read + tokens.cache_write * write + tokens.output * price.output
    return total / MILLION * (1 - price.batch_discount if is_batch else 1)


def most(price: Price, tokens: Tokens, *, is_batch: bool = False) -> float:
    """The most that tokens can cost, whatever the prompt cache does."""
    dearest = max(price.input, price.cache_write or 0.0, price.cache_read or 0.0)
    total = tokens.input * dearest + tokens.output * price.output
    return total / MILLION * (1 - price.batch_discount if is_batch else 1)
