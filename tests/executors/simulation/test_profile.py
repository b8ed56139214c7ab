"""Profiles: shipped ones load, wrong ones are refused with a clear message."""

from __future__ import annotations

import json

import pytest

from w4s_gym.calibration.recorded import profile_to_dict
from w4s_gym.errors import ConfigError, UnknownExecutor
from w4s_gym.executors import make_executor
from w4s_gym.executors.simulation.profile import PROFILE_FOLDER, Domain, load_profile, profile_from_dict


@pytest.mark.parametrize("name", sorted(p.stem for p in PROFILE_FOLDER.glob("*.json")))
def test_shipped_profiles_load_and_say_where_they_come_from(name):
    profile = load_profile(name)
    assert profile.name == name and profile.provenance
    assert profile.price.completion_per_million > 0 or any("Price: none" in fact for fact in profile.provenance)


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(UnknownExecutor, match=r"gpt-3\.5-turbo, gpt-4o-mini.*got 'gpt-9'"):
        make_executor("sim:gpt-9")


def test_a_profile_of_ones_own(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "seed": "1", "domains": {"number": {"steps": 3.0}}}))
    profile = load_profile(str(path))
    assert profile.domain_of("Anything", "number").steps == 3.0
    with pytest.warns(UserWarning, match="made for number.*HumanEval items"):
        assert profile.domain_of("HumanEval", "code") == Domain()
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"mine\.json"):
        load_profile(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "x", "seed": "1", "speed": 3}, "speed"),
        ({"name": "x"}, "'seed'"),
        ({"name": "x", "seed": "1", "domains": {"number": {"stepps": 1.0}}}, "stepps"),
        ({"name": "x", "seed": "1", "domains": {"number": {"steps": "high"}}}, "'high'"),
        ([], "expected an object"),
    ],
)
def test_wrong_profiles_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        profile_from_dict(data)


def test_domains_inherit_and_survive_writing():
    data = {"name": "x", "seed": "1", "defaults": {"steps": 1.5}, "domains": {"GSM8K": {"code": 2.0}}}
    profile = profile_from_dict(data)
    assert (profile.domains["GSM8K"].steps, profile.domains["GSM8K"].code) == (1.5, 2.0)
    assert profile_from_dict(json.loads(json.dumps(profile_to_dict(profile)))) == profile
