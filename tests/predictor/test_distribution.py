"""Monte-Carlo dropout equals a plain loop over masks, and arguments are checked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special, stats

from autotrain.errors import AutotrainError, BundleError
from autotrain.predictor import ClassificationDistribution, Predictor, RegressionDistribution, load
from autotrain.predictor.block_sizes import BlockSizes
from autotrain.predictor.masks import MaskBank
from autotrain.predictor.mixture import Noise
from tests.winners import plain_network, random_bundle, save, train

ROOT = Path(__file__).resolve().parents[2]
KINDS: dict[str, Mapping[str, Any]] = {
    "dropout": {},
    "on the inputs too": {"dropout.input_rate": 0.3},
    "on the inputs alone": {"dropout.rate": 0.0, "dropout.input_rate": 0.3},
    "alpha dropout": {"dropout": "alpha_dropout", "activation": "selu"},
    "alpha dropout on inputs": {"dropout": "alpha_dropout", "dropout.input_rate": 0.2},
    "batch norm before": {"batch_norm": "before_activation"},
    "batch norm after": {"batch_norm": "after_activation", "batch_norm.input": True},
    "linear": {"network.hidden_layers": 0, "dropout.input_rate": 0.3},
    "three widths": {"network.hidden_units": "9-30-5"},
}


def table(n: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 5))


def classify(predictor: Predictor, X: Any, *args: Any, **kw: Any) -> ClassificationDistribution:
    result = predictor.predict_distribution(X, *args, **kw)
    assert isinstance(result, ClassificationDistribution)
    return result


def regress(predictor: Predictor, X: Any, *args: Any, **kw: Any) -> RegressionDistribution:
    result = predictor.predict_distribution(X, *args, **kw)
    assert isinstance(result, RegressionDistribution)
    return result


def samples_by_hand(folder: Path, n_samples: int, seed: int) -> np.ndarray:
    """Loop over masks through torch's own layers: outputs `[S, N, C]`."""
    network, places = plain_network(folder)
    bundle = load(folder).bundle
    member = bundle.members[0]
    x = torch.from_numpy(member.preprocessor.encode(table())).double()
    bank = MaskBank(member.config, member.n_inputs, range(n_samples), seed)
    outputs = []
    for s in range(n_samples):
        for layer, mask in bank.masks(s, s + 1).items():
            places[layer].keep = mask[0].bool()
        with torch.no_grad():
            outputs.append(network(x))
    return torch.stack(outputs).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_classification_equals_a_loop_over_masks(kind: str, tmp_path: Path) -> None:
    folder = save(random_bundle(KINDS[kind]), tmp_path / "best")
    p = special.softmax(samples_by_hand(folder, 17, seed=3), axis=2)
    result = classify(load(folder), table(), 17, seed=3, samples=True)
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-5)
    close(result.samples, p)
    close(result.mean, p.mean(0))
    close(result.std, p.std(0))
    close(result.mc_error, p.std(0) / np.sqrt(17))
    close(result.entropy, stats.entropy(p.mean(0), axis=1))
    expected = stats.entropy(p, axis=2).mean(0)
    close(result.expected_entropy, expected)
    close(result.mutual_information, stats.entropy(p.mean(0), axis=1) - expected)
    votes = np.apply_along_axis(np.bincount, 0, p.argmax(2), minlength=3)
    np.testing.assert_allclose(result.variation_ratio, 1 - votes.max(0) / 17)
    np.testing.assert_array_equal(result.label, load(folder).predict(table()))
    np.testing.assert_array_equal(result.proba, load(folder).predict_proba(table()))
    assert result.std.max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_regression_equals_a_loop_over_masks(kind: str, tmp_path: Path) -> None:
    folder = save(random_bundle(KINDS[kind], task="regression"), tmp_path / "best")
    y = samples_by_hand(folder, 17, seed=3)[:, :, 0] * 3 + 40
    result = regress(load(folder), table(), 17, seed=3)
    assert result.samples is not None
    np.testing.assert_allclose(result.samples, y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result.mean, y.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result.std, y.std(0), rtol=1e-3)
    np.testing.assert_allclose(result.mc_error, y.std(0) / np.sqrt(17), rtol=1e-3)
    assert result.noise == Noise.normal(0.7)
    assert result.typical_error == pytest.approx(0.7**-0.5)
    np.testing.assert_allclose(result.total_error, np.sqrt(y.var(0) + 1 / 0.7), rtol=1e-3)


def test_intervals_are_quantiles_of_the_mixture() -> None:
    result = regress(Predictor(random_bundle(task="regression")), table(), 30, alpha=0.2)
    assert result.samples is not None
    for side, level in enumerate((0.1, 0.9)):
        below = stats.norm.cdf(result.interval[:, side], result.samples, 0.7**-0.5).mean(0)
        np.testing.assert_allclose(below, level, rtol=1e-9)
    np.testing.assert_allclose(result.quantiles([0.1, 0.9]), result.interval, rtol=1e-9)
    np.testing.assert_allclose(result.quantiles(0.1), result.interval[:, 0], rtol=1e-9)


def test_log_likelihood_equals_that_of_the_mixture() -> None:
    result = regress(Predictor(random_bundle(task="regression")), table(), 30)
    y = result.mean + np.linspace(-5, 5, 12)
    assert result.samples is not None
    expected = np.log(stats.norm.pdf(y, result.samples, 0.7**-0.5).mean(0))
    np.testing.assert_allclose(result.log_likelihood(y), expected, rtol=1e-9)
    np.testing.assert_allclose(result.log_likelihood(pd.Series(y)), expected, rtol=1e-9)
    with pytest.raises(AutotrainError, match=r"one number for each of the 12 rows"):
        result.log_likelihood(y[:5])


@pytest.mark.parametrize("q", [0, 1, [0.5, 1.2], [[0.5]], float("nan"), [], "a", "0.5", True])
def test_levels_of_quantiles_are_checked(q: Any) -> None:
    result = regress(Predictor(random_bundle(task="regression")), table(), 3)
    with pytest.raises(AutotrainError, match="q must be levels greater than 0 and less than 1"):
        result.quantiles(q)


def test_point_is_the_prediction_with_dropout_off() -> None:
    predictor = Predictor(random_bundle())
    result = classify(predictor, table(), 5)
    np.testing.assert_allclose(result.point, predictor.predict_proba(table()), rtol=1e-6)
    regression = Predictor(random_bundle(task="regression"))
    point = regress(regression, table(), 5).point
    np.testing.assert_allclose(point, regression.predict(table()), rtol=1e-6)


def test_first_samples_do_not_depend_on_their_number() -> None:
    for bundle in (random_bundle(), random_bundle(n_members=3), random_bundle(task="regression")):
        predictor = Predictor(bundle)
        few = predictor.predict_distribution(table(), 7).samples
        many = predictor.predict_distribution(table(), 60).samples
        assert few is not None
        assert many is not None
        np.testing.assert_allclose(few, many[:7], rtol=1e-4, atol=1e-7)


def test_rows_do_not_influence_each_other() -> None:
    predictor, rows = Predictor(random_bundle({"batch_norm": "before_activation"})), table(3000)
    everything = classify(predictor, rows, 20)
    backwards = classify(predictor, rows[::-1], 20)
    np.testing.assert_allclose(backwards.mean[::-1], everything.mean, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(backwards.std[::-1], everything.std, rtol=1e-3, atol=1e-7)
    few = classify(predictor, rows[:9], 20)
    np.testing.assert_allclose(few.mean, everything.mean[:9], rtol=1e-4, atol=1e-7)


def test_seed_decides_the_samples() -> None:
    predictor = Predictor(random_bundle())
    one = classify(predictor, table(), 20, seed=5)
    np.testing.assert_array_equal(classify(predictor, table(), 20, seed=5).mean, one.mean)
    assert np.abs(classify(predictor, table(), 20, seed=6).mean - one.mean).max() > 1e-3


def test_blocks_of_rows_and_samples_change_nothing() -> None:
    sizes = BlockSizes(encoded=1100, samples=9000, layer=3000, rows=70)
    for bundle in (random_bundle(n_members=2), random_bundle(task="regression")):
        whole = Predictor(bundle).predict_distribution(table(300), 40)
        cut = Predictor(bundle, sizes).predict_distribution(table(300), 40)
        for name, column in whole.to_dict().items():
            if column.dtype.kind == "f":
                np.testing.assert_allclose(
                    cut.to_dict()[name], column, rtol=1e-3, atol=1e-4, err_msg=name
                )


def test_samples_are_drawn_from_members_in_turn() -> None:
    bundle = random_bundle(n_members=3)
    together = classify(Predictor(bundle), table(), 10).samples
    assert together is not None
    alone = classify(Predictor(replace(bundle, members=bundle.members[1:2])), table(), 10).samples
    assert alone is not None
    # Sample 4 belongs to member 1 and uses mask 4 of the bank.
    np.testing.assert_allclose(together[4], alone[4], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_mutual_information_is_between_0_and_the_entropy(kind: str) -> None:
    result = classify(Predictor(random_bundle(KINDS[kind])), table(200), 50)
    assert (result.mutual_information >= 0).all()
    assert (result.mutual_information <= result.entropy).all()
    assert (result.entropy <= np.log(3) + 1e-12).all()
    assert ((result.variation_ratio >= 0) & (result.variation_ratio < 1)).all()
    np.testing.assert_allclose(result.mean.sum(1), 1, rtol=1e-12)


def test_one_sample_has_no_spread() -> None:
    result = classify(Predictor(random_bundle()), table(), 1)
    assert (result.std == 0).all()
    assert (result.variation_ratio == 0).all()
    np.testing.assert_allclose(result.mutual_information, 0, atol=1e-12)
    regression = regress(Predictor(random_bundle(task="regression")), table(), 1)
    assert (regression.std == 0).all()
    half = regression.interval[:, 1] - regression.mean
    np.testing.assert_allclose(half, stats.norm.ppf(0.95) * 0.7**-0.5, rtol=1e-9)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_no_rows_and_one_row(task: str) -> None:
    predictor = Predictor(random_bundle(task=task))
    for n in (0, 1):
        result = predictor.predict_distribution(table(n), 5)
        assert {len(column) for column in result.to_dict().values()} == {n}
        assert result.to_frame().shape[0] == n


@pytest.mark.parametrize(
    "params",
    [{"dropout.rate": 0.0}, {"network.hidden_layers": 0}],
    ids=["rate 0", "no layer to drop from"],
)
def test_model_without_dropout_raises(params: Mapping[str, Any]) -> None:
    predictor = Predictor(random_bundle(params))
    assert not predictor.has_dropout
    with pytest.raises(BundleError, match=r"this one has none.*\[dropout\] rate"):
        predictor.predict_distribution(table())
    assert Predictor(random_bundle()).has_dropout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples must be an integer from 1 to 100,000, got 0"),
        ({"n_samples": 2.5}, "n_samples"),
        ({"n_samples": True}, "n_samples"),
        ({"n_samples": 10**9}, "n_samples"),
        ({"alpha": 0}, "alpha must be between 0 and 1, .* got 0"),
        ({"alpha": 1e-300}, "alpha"),
        ({"alpha": np.complex128(0.1)}, "alpha"),
        ({"tolerance": True}, "tolerance must be a finite number greater than 0, got True"),
        ({"samples": "yes"}, "samples must be True, False or None, got 'yes'"),
        ({"seed": 2**64 + 1}, r"seed must be .* to 2\*\*64, got"),
        ({"alpha": 90}, "alpha"),
        ({"alpha": "a"}, "alpha"),
        ({"seed": -1}, "seed must be an integer from 0 .* got -1"),
        ({"seed": None}, "seed"),
    ],
)
def test_arguments_are_checked(arguments: Mapping[str, Any], message: str) -> None:
    with pytest.raises(AutotrainError, match=message) as caught:
        Predictor(random_bundle()).predict_distribution(table(), **arguments)
    assert [caught.value.parameter] == list(arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    predictor = Predictor(random_bundle(task="regression"))
    expected = regress(predictor, table(), 25, alpha=0.25, seed=3)
    n, alpha, seed = np.int64(25), np.float32(0.25), np.uint8(3)
    for tolerance in (None, 1e-9):
        found = regress(predictor, table(), n, alpha=alpha, seed=seed, tolerance=tolerance)
        np.testing.assert_array_equal(found.mean, expected.mean)
    count: Any = n
    evaluation = predictor.evaluate(table(), np.zeros(len(table())), n_samples=count)
    assert evaluation["n_samples"] == 25


def test_log_likelihood_needs_numbers() -> None:
    result = regress(Predictor(random_bundle(task="regression")), table(2), 5)
    with pytest.raises(AutotrainError, match="y must be numbers, got 'a' in row 2"):
        result.log_likelihood([1.0, "a"])


def test_samples_are_kept_when_small_or_requested() -> None:
    bundle = random_bundle(task="regression")
    predictor = Predictor(bundle)
    assert regress(predictor, table(), 5).samples is not None
    assert regress(predictor, table(), 5, samples=False).samples is None
    predictor = Predictor(bundle, BlockSizes(kept=30))
    large = regress(predictor, table(), 5)
    assert large.samples is None
    with pytest.raises(AutotrainError, match=r"Call predict_distribution\(…, samples=True\)"):
        large.quantiles(0.5)
    kept = regress(predictor, table(), 5, samples=True).samples
    assert kept is not None
    assert kept.shape == (5, 12)


def test_frame_has_named_columns() -> None:
    frame = classify(Predictor(random_bundle()), table(), 5).to_frame()
    assert list(frame.columns) == [
        *("prediction", "proba_a", "proba_b", "proba_c"),
        *("mc_proba_a", "mc_proba_b", "mc_proba_c", "std_a", "std_b", "std_c"),
        *("entropy", "expected_entropy", "mutual_information", "variation_ratio"),
    ]
    frame = regress(Predictor(random_bundle(task="regression")), table(), 5).to_frame()
    assert list(frame.columns) == [
        *("prediction", "mean", "std", "mc_error", "typical_error", "total_error", "lower", "upper")
    ]
    assert ((frame["lower"] < frame["mean"]) & (frame["mean"] < frame["upper"])).all()


def test_calibrated_probabilities_are_a_power_of_the_mean() -> None:
    bundle = replace(random_bundle(), calibration={"temperature": 0.5, "temperature_point": 2.0})
    predictor = Predictor(bundle)
    result = classify(predictor, table(), 7)
    squared = result.mean**2
    expected = squared / squared.sum(1, keepdims=True)
    np.testing.assert_allclose(result.calibrated_mean, expected, rtol=1e-12)
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["mc_proba_b"], result.calibrated_mean[:, 1])
    root = np.sqrt(predictor.predict_proba(table(), calibrated=False))
    found = predictor.predict_proba(table())
    np.testing.assert_allclose(found, root / root.sum(1, keepdims=True), rtol=1e-12)


def test_default_probabilities_and_labels_agree_everywhere(tmp_path: Path) -> None:
    calibration = {
        **{"temperature": 0.5, "temperature_point": 2.0},
        "class_weights": [1.0, 5.0, 0.2],
    }
    predictor = Predictor(replace(random_bundle(), calibration=calibration))
    result = classify(predictor, table(), 5)
    np.testing.assert_array_equal(result.proba, predictor.predict_proba(table()))
    np.testing.assert_array_equal(result.label, predictor.predict(table()))
    places = predictor.predict_proba(table(), calibrated=False).argmax(1)
    np.testing.assert_array_equal(result.label, predictor.classes_[places])
    assert (result.label != predictor.classes_[result.proba.argmax(1)]).any()
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["proba_c"], result.proba[:, 2])
    np.testing.assert_array_equal(frame["prediction"], result.label)
    regression = Predictor(random_bundle(task="regression"))
    numbers = regress(regression, table(), 5).to_frame()
    np.testing.assert_array_equal(numbers["prediction"], regression.predict(table()))


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_least_certain_rows_are_first(task: str) -> None:
    rows = table(30)
    rows[20] = rows[3]  # Equal rows keep their order.
    found = Predictor(random_bundle(task=task)).predict_distribution(rows, 40)
    uncertainty = (
        found.entropy
        if isinstance(found, ClassificationDistribution)
        else found.interval[:, 1] - found.interval[:, 0]
    )
    ranked = sorted(range(30), key=lambda row: (-uncertainty[row], row))
    assert found.least_certain(7).tolist() == ranked[:7]
    assert found.least_certain(99).tolist() == ranked
    for n in (0, -1, 1.5, True, "3"):
        with pytest.raises(AutotrainError, match="n must be a positive integer"):
            found.least_certain(cast(int, n))


def test_results_are_frozen() -> None:
    result = classify(Predictor(random_bundle()), table(), 5)
    with pytest.raises(FrozenInstanceError):
        cast(Any, result).mean = 0


def test_many_samples_approach_the_expectation() -> None:
    # A linear layer after one layer of dropout: the mean over masks is the point prediction.
    bundle = random_bundle({"network.hidden_layers": 1}, task="regression")
    result = regress(Predictor(bundle), table(), 4000)
    error = np.abs(result.mean - result.point) / result.mc_error
    assert error.max() < 5
    assert result.mc_error.min() > 0


def test_trained_regression_covers_its_calibration_rows(tmp_path: Path) -> None:
    winner = train("sklearn:diabetes", {"training.epochs": 20})
    winner.export(tmp_path / "best")
    features, y = winner.dataset.raw_valid()
    result = regress(load(tmp_path / "best"), features, 100, alpha=0.1)
    inside = (result.interval[:, 0] <= y) & (y <= result.interval[:, 1])
    assert 0.8 <= inside.mean() <= 1
    assert 30 < result.typical_error < 80


MEMORY = """
import resource, sys
import numpy as np
import torch
torch.set_num_threads(1)
from autotrain.predictor import load
predictor = load(sys.argv[1])
rows = np.random.default_rng(0).normal(size=(1_000_000, 5))
predictor.predict_distribution(rows[:100], 10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = predictor.predict_distribution(rows, 10)
assert result.mean.shape == (1_000_000, 3)
assert result.samples is None
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    # The result takes 160 MB. All samples at once would take 240 MB, and every step of the
    # computation the same again.
    folder = save(random_bundle({"network.hidden_units": "4"}), tmp_path / "best")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 500
