"""Metrics of K models equal scikit-learn's metrics of each model.

To add a metric, add its scikit-learn counterpart to `REFERENCES`.
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

from autotrain.metrics import METRICS, metric_named
from autotrain.network.metric_formulas import METRIC_FUNCTIONS, metric_function
from autotrain.training.fleet import validation_scores
from autotrain.training.rows import Problem, Rows
from tests.training.problems import fold_of

Reference = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


def _roc_auc(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    if p.shape[1] == 2:
        return sklearn.metrics.roc_auc_score(y, p[:, 1], sample_weight=w)
    return float(np.mean([_area(y, p, c, w) for c in range(p.shape[1])]))


def _area(y: np.ndarray, p: np.ndarray, c: int, w: np.ndarray | None = None) -> float:
    return float(sklearn.metrics.roc_auc_score(y == c, _odds(p, c), sample_weight=w))


def _odds(p: np.ndarray, c: int) -> np.ndarray:
    """Return log(p / (1 − p)) of one class, which has the order of p.

    It is rounded, because scikit-learn finds a tie only if two numbers are exactly equal.
    """
    rounded: np.ndarray = np.log(p[:, c] / np.delete(p, c, axis=1).sum(1)).round(10)
    return rounded


def _average_precision(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    if p.shape[1] == 2:
        return sklearn.metrics.average_precision_score(y, p[:, 1], sample_weight=w)
    each = [
        sklearn.metrics.average_precision_score(y == c, _odds(p, c), sample_weight=w)
        for c in range(p.shape[1])
    ]
    return float(np.mean(each))


def _f1(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    average = "binary" if p.shape[1] == 2 else "macro"
    return sklearn.metrics.f1_score(
        y, p.argmax(1), average=average, zero_division=0, sample_weight=w
    )


def _brier(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    own = p[:, 1] if p.shape[1] == 2 else p
    return sklearn.metrics.brier_score_loss(y, own, sample_weight=w, labels=range(p.shape[1]))


def _with_weights(function: Callable[..., float], **options: float) -> Reference:
    return lambda y, p, w: function(y, p, sample_weight=w, **options)


def _of_labels(function: Callable[..., float]) -> Reference:
    return lambda y, p, w: function(y, p.argmax(1), sample_weight=w)


# (true labels, probabilities [N, C], weights) or (targets, predictions, weights) → value
REFERENCES: dict[str, Reference] = {
    "log_loss": lambda y, p, w: sklearn.metrics.log_loss(
        y, p, labels=range(p.shape[1]), sample_weight=w
    ),
    "accuracy": _of_labels(sklearn.metrics.accuracy_score),
    "balanced_accuracy": _of_labels(sklearn.metrics.balanced_accuracy_score),
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "f1": _f1,
    "brier": _brier,
    "rmse": _with_weights(sklearn.metrics.root_mean_squared_error),
    "mae": _with_weights(sklearn.metrics.mean_absolute_error),
    "r2": _with_weights(sklearn.metrics.r2_score),
    "pinball": _with_weights(sklearn.metrics.mean_pinball_loss),
    "pinball:0.9": _with_weights(sklearn.metrics.mean_pinball_loss, alpha=0.9),
}
REGRESSION = ["rmse", "mae", "r2", "pinball", "pinball:0.9"]
CLASSIFICATION = [name for name in REFERENCES if name not in REGRESSION]
# Kinds of sample weights: none, real numbers, numbers of repetitions.
WEIGHTS = ["none", "real", "whole"]


def score(name: str, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    return metric_function(metric_named(name))(outputs, targets, weights)


def test_every_metric_has_a_function_and_a_reference() -> None:
    assert set(METRICS) == set(METRIC_FUNCTIONS) == set(REFERENCES) - {"pinball:0.9"}


def draw_weights(kind: str, shape: tuple[int, ...], seed: int = 0) -> Tensor | None:
    generator = np.random.default_rng(seed)
    if kind == "none":
        return None
    if kind == "whole":
        # The first rows contain every class; without weight, a class would be absent.
        drawn = generator.integers(0, 4, size=shape).astype(np.float64)
        drawn[:, :8] = 1
        return torch.from_numpy(drawn)
    return torch.from_numpy(generator.exponential(size=shape))


def logits_and_labels(
    k: int, n: int, c: int, seed: int, *, ties: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw logits `[K, N, C]` that are correlated with the labels `[K, N]` of all classes."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(c, size=(k, n))
    labels[:, :c] = np.arange(c)
    logits = generator.normal(size=(k, n, c)) * np.linspace(0.3, 3, k)[:, None, None]
    logits += 0.8 * np.eye(c)[labels]
    if ties:
        # Few values, symmetric around 0, give many equal scores and rows.
        logits = np.round(logits)
    return torch.from_numpy(logits), torch.from_numpy(labels)


def assert_equals_sklearn(
    name: str, outputs: Tensor, targets: Tensor, weights: Tensor | None = None
) -> None:
    actual = score(name, outputs, targets, weights)
    assert actual.shape == (outputs.shape[0],)
    if outputs.ndim == 3:
        outputs = torch.softmax(outputs, -1)
    for k, (own, y) in enumerate(zip(outputs.numpy(), targets.numpy(), strict=True)):
        expected = REFERENCES[name](y, own, None if weights is None else weights[k].numpy())
        assert float(actual[k]) == pytest.approx(expected, rel=1e-10, abs=1e-13), (name, k)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("c", [2, 3, 7])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_equals_sklearn(name: str, c: int, ties: bool, weights: str) -> None:
    outputs, labels = logits_and_labels(5, 200, c, seed=c, ties=ties)
    assert_equals_sklearn(name, outputs, labels, draw_weights(weights, (5, 200)))


@given(
    name=st.sampled_from(CLASSIFICATION),
    k=st.integers(1, 4),
    n=st.integers(8, 30),
    c=st.integers(2, 5),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    weights=st.sampled_from(WEIGHTS),
)
def test_any_number_of_classes_equals_sklearn(
    name: str, k: int, n: int, c: int, seed: int, ties: bool, weights: str
) -> None:
    outputs, labels = logits_and_labels(k, n, c, seed, ties=ties)
    assert_equals_sklearn(name, outputs, labels, draw_weights(weights, (k, n), seed))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_equals_sklearn(name: str, weights: str) -> None:
    generator = np.random.default_rng(0)
    targets = torch.from_numpy(generator.normal(50, 10, size=(4, 100)))
    noise = torch.from_numpy(generator.normal(size=(4, 100)))
    predictions = targets + noise * torch.tensor([[0.1], [1], [30], [0]])
    assert_equals_sklearn(name, predictions, targets, draw_weights(weights, (4, 100)))


@pytest.mark.parametrize("name", [*CLASSIFICATION, *REGRESSION])
def test_integer_weight_equals_repeated_rows(name: str) -> None:
    """This includes weight 0: a class that has no other rows is absent."""
    generator = np.random.default_rng(4)
    if name in CLASSIFICATION:
        outputs, targets = logits_and_labels(1, 40, 4, seed=4, ties=True)
        weights = generator.integers(1, 4, size=40)
        weights[(targets[0] == 3).numpy() | (outputs[0].argmax(-1) == 3).numpy()] = 0
    else:
        outputs, targets = (torch.from_numpy(generator.normal(size=(1, 40))) for _ in range(2))
        weights = generator.integers(0, 4, size=40)
    often = torch.from_numpy(np.repeat(np.arange(40), weights))
    expected = score(name, outputs[:, often], targets[:, often]).item()
    by_weight = score(name, outputs, targets, torch.from_numpy(weights).double().unsqueeze(0))
    assert by_weight.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", [*CLASSIFICATION, *REGRESSION])
def test_single_precision_equals_double(name: str, weights: str) -> None:
    """The models are confident, so that many p are 1 in single precision."""
    w = draw_weights(weights, (3, 500))
    if name in CLASSIFICATION:
        outputs, targets = logits_and_labels(3, 500, 4, seed=3)
        outputs = (8 * outputs).float()
        single = score(name, outputs, targets, None if w is None else w.float())
    else:
        generator = np.random.default_rng(3)
        outputs = torch.from_numpy(generator.normal(size=(3, 500))).float()
        targets = torch.from_numpy(generator.normal(size=(3, 500))).float()
        single = score(name, outputs, targets, None if w is None else w.float())
        targets = targets.double()
    assert single.dtype == torch.float32
    double = score(name, outputs.double(), targets, w)
    assert single.tolist() == pytest.approx(double.tolist(), rel=2e-6)


def test_equal_scores_have_area_one_half() -> None:
    for c in (2, 3):
        logits, labels = logits_and_labels(2, 30, c, seed=1)
        area = score("roc_auc", torch.zeros_like(logits), labels)
        assert area.tolist() == pytest.approx([0.5, 0.5])


def test_perfect_and_reversed_ranking() -> None:
    labels = torch.tensor([[0, 0, 1, 1]])
    scores = torch.tensor([[-2.0, -1.0, 1.0, 2.0]], dtype=torch.float64)
    for sign, area in ((1, 1.0), (-1, 0.0)):
        logits = torch.stack([-sign * scores, sign * scores], dim=-1)
        assert score("roc_auc", logits, labels).tolist() == [area]


def test_absent_class_is_left_out() -> None:
    """It occurs neither in labels nor in predictions; scikit-learn's F₁ leaves it out, too."""
    logits, labels = logits_and_labels(2, 60, 4, seed=5)
    labels = labels.clamp(max=2)
    logits[..., 3] = -50.0
    assert_equals_sklearn("f1", logits, labels)
    p = torch.softmax(logits, -1).numpy()
    for k, area in enumerate(score("roc_auc", logits, labels).tolist()):
        y = labels[k].numpy()
        areas = [_area(y, p[k], c) for c in range(3)]
        assert area == pytest.approx(np.mean(areas), rel=1e-12)


def test_class_that_is_never_predicted_correctly() -> None:
    logits, labels = logits_and_labels(2, 60, 3, seed=6)
    labels = labels.clamp(max=1)
    assert_equals_sklearn("f1", logits, labels)
    binary = torch.tensor([[[1.0, 0.0]] * 5], dtype=torch.float64)
    assert_equals_sklearn("f1", binary, torch.tensor([[0, 1, 0, 1, 1]]))


@pytest.mark.parametrize("weighted", [False, True])
def test_area_of_a_single_class_is_nan(weighted: bool) -> None:
    logits, labels = logits_and_labels(1, 10, 2, seed=7)
    weights = torch.rand(1, 10, dtype=torch.float64) if weighted else None
    assert score("roc_auc", logits, torch.ones_like(labels), weights).isnan().all()
    assert score("average_precision", logits, torch.zeros_like(labels), weights).isnan().all()


@pytest.mark.parametrize("name", ["balanced_accuracy", "average_precision"])
def test_class_without_rows_is_left_out_of_the_mean(name: str) -> None:
    logits, labels = logits_and_labels(2, 60, 4, seed=5)
    labels = labels.clamp(max=2)
    p = torch.softmax(logits, -1).numpy()
    for k, value in enumerate(score(name, logits, labels).tolist()):
        y, own = labels[k].numpy(), p[k]
        if name == "balanced_accuracy":
            each = [(own.argmax(1)[y == c] == c).mean() for c in range(3)]
        else:
            each = [sklearn.metrics.average_precision_score(y == c, own[:, c]) for c in range(3)]
        assert value == pytest.approx(np.mean(each), rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_roc_auc_of_confident_model_does_not_depend_on_precision(n_classes: int) -> None:
    """p is 1 in single precision, which training uses; bundles are scored in double precision."""
    logits, labels = logits_and_labels(2, 400, n_classes, seed=3)
    single = score("roc_auc", (40 * logits).float(), labels)
    log_p = torch.log_softmax((40 * logits).double(), dim=-1)
    assert (log_p.exp() == 1).any()
    assert single.tolist() == pytest.approx(score("roc_auc", log_p, labels).tolist(), abs=1e-6)


def test_large_logits_give_finite_loss() -> None:
    logits = torch.tensor([[[1e4, -1e4], [-800.0, 800.0]]], dtype=torch.float64)
    labels = torch.tensor([[1, 1]])
    assert score("log_loss", logits, labels).tolist() == [1e4]


@pytest.mark.parametrize("name", [*CLASSIFICATION, *REGRESSION])
def test_models_are_scored_independently(name: str) -> None:
    """Each has the score that it has alone, even if another model has NaN outputs."""
    if name in CLASSIFICATION:
        outputs, targets = logits_and_labels(4, 50, 3, seed=8)
    else:
        outputs = torch.randn(4, 50, dtype=torch.float64)
        targets = torch.randn(4, 50, dtype=torch.float64)
    together = score(name, outputs, targets)
    broken = outputs.clone()
    broken[1] = torch.nan
    beside = score(name, broken, targets)
    for k in (0, 2, 3):
        alone = score(name, outputs[k : k + 1], targets[k : k + 1])[0]
        assert together[k].item() == pytest.approx(alone.item(), rel=1e-14)
        assert beside[k] == together[k]


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_labels_can_be_expanded_over_models(name: str) -> None:
    """The trainer passes labels with stride 0."""
    outputs, targets = logits_and_labels(3, 50, 3, seed=9)
    expanded = score(name, outputs, targets[0].expand(3, -1))
    assert torch.equal(expanded, score(name, outputs, targets[:1].repeat(3, 1)))


@pytest.mark.parametrize("name", REGRESSION)
def test_target_far_from_zero_loses_no_digits(name: str) -> None:
    """In single precision 1e9 + 1 is 1e9, so metrics are computed without the mean."""
    generator = np.random.default_rng(0)
    y = generator.normal(size=200).astype(np.float32)
    outputs = (y + 0.1 * generator.normal(size=200)).astype(np.float32)
    x = np.zeros((200, 1), dtype=np.float32)
    fold = fold_of(x, y, x, y, target_mean=1e9, target_std=3.0)
    rows = Rows(
        Problem("regression", 1, metric_named(name)), [fold], torch.device("cpu"), torch.float32
    )
    _, value = validation_scores(rows, 0, torch.from_numpy(outputs).view(1, 200, 1))
    expected = REFERENCES[name](y.astype(float) * 3 + 1e9, outputs.astype(float) * 3 + 1e9, None)
    assert value[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if "multiclass" in m.tasks])
def test_class_weights_change_labels_but_not_probabilities(name: str) -> None:
    logits, labels = logits_and_labels(1, 40, 3, seed=0)
    class_weights = [0.5, 1.0, 7.0]
    found = metric_function(METRICS[name], class_weights)(logits, labels)
    divided = logits - torch.tensor(class_weights, dtype=logits.dtype).log()
    of_labels = name in ("accuracy", "balanced_accuracy", "f1")
    expected = metric_function(METRICS[name])(logits if of_labels else divided, labels)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(
        metric_function(METRICS[name])(divided, labels), score(name, logits, labels)
    )
