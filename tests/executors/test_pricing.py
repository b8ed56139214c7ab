from __future__ import annotations

import pytest

from w4s_gym.executors.config import EndpointConfig
from w4s_gym.executors.pricing import price_of


def test_ones_own_price_wins():
    config = EndpointConfig(price={"input": 2.0, "output": 8.0, "cached_input": 0.5})
    assert price_of("gpt-4o-mini", config)(1000, 100, 400) == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 8) / 1e6)
    without = EndpointConfig(price={"input": 2.0, "output": 8.0})
    assert price_of("m", without)(1000, 100, 400) == pytest.approx((1000 * 2 + 100 * 8) / 1e6)


def test_the_list_knows_openai_and_azure():
    # OpenAI's prices of 2024-07-18: $0.15 and $0.60 per million tokens, cached input at half.
    assert price_of("gpt-4o-mini", EndpointConfig())(1_000_000, 0, 0) == pytest.approx(0.15)
    assert price_of("gpt-4o-mini", EndpointConfig())(0, 1_000_000, 0) == pytest.approx(0.60)
    assert price_of("gpt-4o-mini", EndpointConfig())(1_000_000, 0, 1_000_000) == pytest.approx(0.075)
    azure = EndpointConfig(azure_endpoint="https://x.openai.azure.com", azure_api_version="2024-10-21")
    assert price_of("gpt-4o-mini", azure)(1_000_000, 0, 0) == pytest.approx(0.15)


def test_what_nobody_knows_is_none():
    assert price_of("no-such-model", EndpointConfig())(1, 1, 0) is None
    assert price_of("gpt-4o-mini", EndpointConfig(base_url="http://localhost:8000/v1"))(1, 1, 0) is None
