"""Optuna's own sampler suite, for every sampler that `--sampler` offers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase

from autotrain.search.sampling.allowed import AllowedSampler
from autotrain.search.sampling.samplers import SAMPLERS, make_sampler
from autotrain.space.search_space import SearchSpace


def as_in_a_study(name: str) -> BaseSampler:
    """Return the sampler as a study uses it: it asks the space before it gives an answer."""
    forbid = [{"activation": "relu", "initializer": "lecun_normal"}]
    space = SearchSpace(
        {
            "activation": {"choices": ["relu", "elu"]},
            "initializer": {"choices": ["lecun_normal", "he_normal"]},
            "forbid": forbid,
        }
    )
    return AllowedSampler(make_sampler(name, 5), space.resolve(100, 4, "binary"), 5)


MAKERS: dict[str, Callable[[str], BaseSampler]] = {
    "alone": lambda name: make_sampler(name, 3),
    "in a study": as_in_a_study,
}


@pytest.mark.parametrize("made", MAKERS)
@pytest.mark.parametrize("name", SAMPLERS)
class TestEverySampler(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, name: str, made: str) -> Callable[[], BaseSampler]:
        return lambda: MAKERS[made](name)


# The others draw at random until some trials have ended, or group by group: the suite for samplers
# that draw all parameters at once expects the first trial to be drawn so.
@pytest.mark.parametrize("made", MAKERS)
@pytest.mark.parametrize("name", ["qmc"])
class TestJointSamplers(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, name: str, made: str) -> Callable[[], BaseSampler]:
        return lambda: MAKERS[made](name)
