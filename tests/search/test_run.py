"""What a run without a model says: advice that fits the cause."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from autotrain.errors import NoTrialSucceededError
from autotrain.metrics import METRICS
from autotrain.search.attributes import Cause
from autotrain.search.run import check_complete, check_success


def failed(cause: str) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"cause": cause})


@pytest.mark.parametrize(
    ("cause", "word"),
    [
        ("worker_died", "fewer workers"),
        ("diverged", "learning rate"),
        ("out_of_memory", "smaller networks"),
        ("error", "--trial N"),
        ("time", "longer timeout"),
        ("something new", "longer timeout"),
    ],
)
def test_advice_depends_on_the_cause(cause: str, word: str) -> None:
    with pytest.raises(NoTrialSucceededError, match=word) as raised:
        check_success("s", [failed(cause)] * 2, METRICS["log_loss"])
    assert ("learning rate" in str(raised.value)) == (cause == "diverged")
    with pytest.raises(NoTrialSucceededError, match=word):
        check_complete(failed(cause))


def test_advice_lists_the_most_common_cause_first() -> None:
    trials = [failed("diverged"), failed("worker_died"), failed("worker_died")]
    with pytest.raises(NoTrialSucceededError) as raised:
        check_success("s", trials, METRICS["log_loss"])
    text = str(raised.value)
    assert 0 < text.index(Cause.WORKER_DIED.advice) < text.index(Cause.DIVERGED.advice)
