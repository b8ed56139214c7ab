"""Prices of calls: the maintained list of the package genai-prices, or the user's own figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from w4s_gym.executors.config import OPENAI_URL, EndpointConfig

PriceOf = Callable[[int, int, int], float | None]
"""(prompt tokens, completion tokens, prompt tokens read from the provider's cache) -> US dollars, None if unknown."""

_MILLION = 1_000_000


def price_of(model: str, config: EndpointConfig) -> PriceOf:
    """Return the function that prices calls to `model`; it returns None when nobody knows the price."""
    if config.price is not None:
        return _own_price(config.price)
    return _listed_price(model, config)


def _own_price(price: Mapping[str, float]) -> PriceOf:
    cached_rate = price.get("cached_input", price["input"])

    def cost(prompt: int, completion: int, cached: int) -> float:
        fresh = prompt - cached
        return (fresh * price["input"] + cached * cached_rate + completion * price["output"]) / _MILLION

    return cost


def _listed_price(model: str, config: EndpointConfig) -> PriceOf:
    from genai_prices import Usage, calc_price

    provider = "azure" if config.azure_endpoint else "openai" if config.endpoint == OPENAI_URL else None
    url = None if provider else config.endpoint

    def cost(prompt: int, completion: int, cached: int) -> float | None:
        usage = Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion)
        try:
            if provider:
                return float(calc_price(usage, model_ref=model, provider_id=provider).total_price)
            return float(calc_price(usage, model_ref=model, provider_api_url=url).total_price)
        except LookupError:  # the list has no such provider or model
            return None

    return cost
