"""What counts as an update of the weights."""

import pytest

from w4s_gym.study.training import updates


@pytest.mark.parametrize(
    ("points", "count"),
    [
        ([{"accuracy": 0.5}], None),
        ([{"loss": 0.0, "steps": 0.0}, {"loss": 0.4, "steps": 3.0}], 1),
        ([{"loss": 0.4, "steps": 3.0, "groups_with_spread": 0.0}], 1),
        ([{"loss": 0.0, "groups_with_spread": 0.0}, {"loss": 0.1, "groups_with_spread": 0.2}], 1),
        ([{"loss": 0.0, "flat_groups": 1.0}, {"loss": 0.1, "flat_groups": 0.5}], 1),
    ],
)
def test_iterations_that_changed_the_weights_are_counted(points, count):
    assert updates(points) == count
