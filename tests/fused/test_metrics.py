"""Metrics of K models at once against scikit-learn, one model at a time.

A new metric: name its scikit-learn counterpart in `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autotrain.fused.fleet import judge
from autotrain.fused.metrics import FUNCTIONS
from autotrain.fused.rows import FoldArrays, Problem, Rows
from autotrain.tasks import METRICS

Arrays = Callable[[np.ndarray, np.ndarray], float]


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    if p.shape[1] == 2:
        return sklearn.metrics.roc_auc_score(y, p[:, 1])
    return float(np.mean([_area(y, p, c) for c in range(p.shape[1])]))


def _area(y: np.ndarray, p: np.ndarray, c: int) -> float:
    """Score one class against the rest, by p / (1 − p), whose order is that of p.

    Rounded: scikit-learn sees a tie only where two numbers are equal to the last digit.
    """
    odds = p[:, c] / np.delete(p, c, axis=1).sum(1)
    return float(sklearn.metrics.roc_auc_score(y == c, np.log(odds).round(10)))


def _f1(y: np.ndarray, p: np.ndarray) -> float:
    average = "binary" if p.shape[1] == 2 else "macro"
    return sklearn.metrics.f1_score(y, p.argmax(1), average=average, zero_division=0)


# (true labels, probabilities [N, C]) or (targets, predictions) → value
REFERENCES: dict[str, Arrays] = {
    "log_loss": lambda y, p: sklearn.metrics.log_loss(y, p, labels=range(p.shape[1])),
    "accuracy": lambda y, p: sklearn.metrics.accuracy_score(y, p.argmax(1)),
    "roc_auc": _roc_auc,
    "f1": _f1,
    "rmse": sklearn.metrics.root_mean_squared_error,
    "mae": sklearn.metrics.mean_absolute_error,
    "r2": sklearn.metrics.r2_score,
}
CLASSIFICATION = ["log_loss", "accuracy", "roc_auc", "f1"]
REGRESSION = ["rmse", "mae", "r2"]


def test_every_metric_has_a_function_and_a_reference() -> None:
    assert set(METRICS) == set(FUNCTIONS) == set(REFERENCES) == {*CLASSIFICATION, *REGRESSION}


def logits_and_labels(
    k: int, n: int, c: int, seed: int, *, ties: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw logits `[K, N, C]` that say something about the labels `[K, N]`; every class occurs."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(c, size=(k, n))
    labels[:, :c] = np.arange(c)
    logits = generator.normal(size=(k, n, c)) * np.linspace(0.3, 3, k)[:, None, None]
    logits += 0.8 * np.eye(c)[labels]
    if ties:
        # Few values, symmetric around 0: many equal scores, many equal rows.
        logits = np.round(logits)
    return torch.from_numpy(logits), torch.from_numpy(labels)


def assert_equals_sklearn(name: str, outputs: Tensor, targets: Tensor) -> None:
    actual = FUNCTIONS[name](outputs, targets)
    assert actual.shape == (outputs.shape[0],)
    if outputs.ndim == 3:
        outputs = torch.softmax(outputs, -1)
    for k, (own, y) in enumerate(zip(outputs.numpy(), targets.numpy(), strict=True)):
        expected = REFERENCES[name](y, own)
        assert float(actual[k]) == pytest.approx(expected, rel=1e-10, abs=1e-13), (name, k)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("c", [2, 3, 7])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_equals_sklearn(name: str, c: int, ties: bool) -> None:
    assert_equals_sklearn(name, *logits_and_labels(5, 200, c, seed=c, ties=ties))


@given(
    name=st.sampled_from(CLASSIFICATION),
    k=st.integers(1, 4),
    n=st.integers(8, 30),
    c=st.integers(2, 5),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
)
def test_any_size_equals_sklearn(name: str, k: int, n: int, c: int, seed: int, ties: bool) -> None:
    assert_equals_sklearn(name, *logits_and_labels(k, n, c, seed, ties=ties))


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_equals_sklearn(name: str) -> None:
    generator = np.random.default_rng(0)
    targets = torch.from_numpy(generator.normal(50, 10, size=(4, 100)))
    noise = torch.from_numpy(generator.normal(size=(4, 100)))
    assert_equals_sklearn(name, targets + noise * torch.tensor([[0.1], [1], [30], [0]]), targets)


def test_all_scores_equal_is_half_an_area() -> None:
    for c in (2, 3):
        logits, labels = logits_and_labels(2, 30, c, seed=1)
        area = FUNCTIONS["roc_auc"](torch.zeros_like(logits), labels)
        assert area.tolist() == pytest.approx([0.5, 0.5])


def test_a_perfect_and_a_reversed_ranking() -> None:
    labels = torch.tensor([[0, 0, 1, 1]])
    scores = torch.tensor([[-2.0, -1.0, 1.0, 2.0]], dtype=torch.float64)
    for sign, area in ((1, 1.0), (-1, 0.0)):
        logits = torch.stack([-sign * scores, sign * scores], dim=-1)
        assert FUNCTIONS["roc_auc"](logits, labels).tolist() == [area]


def test_a_class_that_does_not_occur() -> None:
    """Neither among labels nor predictions: left out of both means, as scikit-learn's F₁ does."""
    logits, labels = logits_and_labels(2, 60, 4, seed=5)
    labels = labels.clamp(max=2)
    logits[..., 3] = -50.0
    assert_equals_sklearn("f1", logits, labels)
    p = torch.softmax(logits, -1).numpy()
    for k, area in enumerate(FUNCTIONS["roc_auc"](logits, labels).tolist()):
        y = labels[k].numpy()
        areas = [_area(y, p[k], c) for c in range(3)]
        assert area == pytest.approx(np.mean(areas), rel=1e-12)


def test_a_class_predicted_but_never_right() -> None:
    logits, labels = logits_and_labels(2, 60, 3, seed=6)
    labels = labels.clamp(max=1)
    assert_equals_sklearn("f1", logits, labels)
    binary = torch.tensor([[[1.0, 0.0]] * 5], dtype=torch.float64)
    assert_equals_sklearn("f1", binary, torch.tensor([[0, 1, 0, 1, 1]]))


def test_one_class_only_has_no_area() -> None:
    logits, labels = logits_and_labels(1, 10, 2, seed=7)
    assert FUNCTIONS["roc_auc"](logits, torch.ones_like(labels)).isnan().all()


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_roc_auc_of_a_very_sure_model_does_not_depend_on_precision(n_classes: int) -> None:
    """Where p is 1 in single precision; a bundle is scored in double, training in single."""
    logits, labels = logits_and_labels(2, 400, n_classes, seed=3)
    single = FUNCTIONS["roc_auc"]((40 * logits).float(), labels)
    log_p = torch.log_softmax((40 * logits).double(), dim=-1)
    assert (log_p.exp() == 1).any()
    assert single.tolist() == pytest.approx(FUNCTIONS["roc_auc"](log_p, labels).tolist(), abs=1e-6)


def test_logits_of_any_size_give_a_finite_loss() -> None:
    logits = torch.tensor([[[1e4, -1e4], [-800.0, 800.0]]], dtype=torch.float64)
    labels = torch.tensor([[1, 1]])
    assert FUNCTIONS["log_loss"](logits, labels).tolist() == [1e4]


@pytest.mark.parametrize("name", [*CLASSIFICATION, *REGRESSION])
def test_models_are_judged_apart(name: str) -> None:
    """Each alone as among others, one of which is not a number."""
    if name in CLASSIFICATION:
        outputs, targets = logits_and_labels(4, 50, 3, seed=8)
    else:
        outputs = torch.randn(4, 50, dtype=torch.float64)
        targets = torch.randn(4, 50, dtype=torch.float64)
    together = FUNCTIONS[name](outputs, targets)
    broken = outputs.clone()
    broken[1] = torch.nan
    beside = FUNCTIONS[name](broken, targets)
    for k in (0, 2, 3):
        alone = FUNCTIONS[name](outputs[k : k + 1], targets[k : k + 1])[0]
        assert together[k].item() == pytest.approx(alone.item(), rel=1e-14)
        assert beside[k] == together[k]


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_one_set_of_labels_expanded_over_the_models(name: str) -> None:
    """As the trainer calls it: labels of stride 0."""
    outputs, targets = logits_and_labels(3, 50, 3, seed=9)
    expanded = FUNCTIONS[name](outputs, targets[0].expand(3, -1))
    assert torch.equal(expanded, FUNCTIONS[name](outputs, targets[:1].repeat(3, 1)))


@pytest.mark.parametrize(
    "name", [name for name, row in METRICS.items() if "regression" in row.tasks]
)
def test_a_target_far_from_zero_loses_no_digits(name: str) -> None:
    """In single precision 1e9 + 1 is 1e9; the metric is taken before the mean is added."""
    generator = np.random.default_rng(0)
    y = generator.normal(size=200).astype(np.float32)
    outputs = (y + 0.1 * generator.normal(size=200)).astype(np.float32)
    x = np.zeros((200, 1), dtype=np.float32)
    fold = FoldArrays(x, y, x, y, target_mean=1e9, target_std=3.0)
    rows = Rows(Problem("regression", 1, METRICS[name]), [fold], torch.device("cpu"), torch.float32)
    _, value = judge(rows, 0, torch.from_numpy(outputs).view(1, 200, 1))
    expected = REFERENCES[name](y.astype(float) * 3 + 1e9, outputs.astype(float) * 3 + 1e9)
    assert value[0] == pytest.approx(expected, rel=1e-5)
