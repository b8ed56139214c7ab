import copy
import pickle

import gymnasium as gym
import pytest

from w4s_gym.action import parse_action
from w4s_gym.spaces import UnicodeText


def test_contains_any_text_up_to_its_length():
    space = UnicodeText(max_length=5)
    assert 'é√\n"' in space
    assert "" in space
    assert "123456" not in space
    assert 5 not in space


def test_samples_are_seeded_valid_actions():
    space, same = UnicodeText(seed=3), UnicodeText(seed=3)
    texts = [space.sample() for _ in range(20)]
    assert texts == [same.sample() for _ in range(20)]
    assert len(set(texts)) > 3
    assert all(parse_action(t).workflow for t in texts)


def test_copies_are_equal():
    space = UnicodeText(10)
    assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == space
    assert space != UnicodeText(11)


def test_shared_memory_is_refused_by_name():
    with pytest.raises(gym.error.CustomSpaceError, match="shared_memory=False"):
        gym.vector.utils.create_shared_memory(UnicodeText(), n=2)
