"""Compiled kernels equal the formulas of `techniques/` in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autotrain.network.layout import INPUT
from autotrain.techniques import normalization
from autotrain.techniques.optimizers import OPTIMIZERS, State
from autotrain.training import compiled
from autotrain.training.slot import Admission
from tests.training.problems import (
    make_config,
    make_fleet,
    make_fold,
    make_problem,
    make_reference,
)

SHAPES = [(1, 1, 1), (1, 2, 5), (3, 40, 33), (2, 7, 128)]


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) * scale


def close(actual: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected.float(), rtol=tolerance, atol=tolerance)


def strided(tensor: Tensor) -> Tensor:
    """Return the same values as a slice of wider rows, like parameters in a flat row."""
    wide = torch.full((*tensor.shape[:-1], tensor.shape[-1] + 3), torch.nan)
    wide[..., 1:-2] = tensor
    return wide[..., 1:-2]


def test_compiled_kernels_exist_for_float32_on_cpu_only() -> None:
    cpu = torch.device("cpu")
    assert compiled.compiled_for(cpu, torch.float32) is compiled.COMPILED
    assert compiled.compiled_for(cpu, torch.float64) is None
    assert compiled.compiled_for(torch.device("cuda"), torch.float32) is None


# ---- batch normalization -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("in_place", [True, False])
def test_normalization_equals_the_formula(shape: tuple[int, int, int], in_place: bool) -> None:
    k, _, h = shape
    x = draw(*shape) * 3 + 50
    gamma, beta = strided(draw(k, 1, h, seed=1)), strided(draw(k, 1, h, seed=2))
    epsilon = torch.linspace(1e-5, 1e-2, k).view(k, 1, 1)
    doubles = (t.double() for t in (x, gamma, beta, epsilon))
    y, cache, mean, variance = normalization.normalize_batch(*doubles)
    given = x.clone()
    found = compiled.normalize_batch(given, gamma, beta, epsilon, given if in_place else None)
    close(found[0], y, 2e-4)
    close(found[1].centered, cache.centered)
    close(found[1].inverse_std, cache.inverse_std, 1e-4 * float(cache.inverse_std.max()))
    close(found[2], mean)
    close(found[3], variance)
    assert torch.equal(given, found[1].centered if in_place else x)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_normalization_equals_the_formula(shape: tuple[int, int, int]) -> None:
    k, _, h = shape
    x, gamma = draw(*shape), strided(draw(k, 1, h, seed=1))
    beta, epsilon = draw(k, 1, h), torch.full((k, 1, 1), 1e-3)
    _, cache, _, _ = normalization.normalize_batch(x, gamma, beta, epsilon)
    dy = draw(*shape, seed=3)
    exact = normalization.BatchNormCache(cache.centered.double(), cache.inverse_std.double())
    expected = normalization.batch_norm_gradient(dy.double(), gamma.double(), exact)
    d_gamma, d_beta = strided(torch.empty(k, 1, h)), strided(torch.empty(k, 1, h))
    compiled.batch_norm_gradient(dy, gamma, cache, dy, d_gamma, d_beta)
    for found, wanted in zip((dy, d_gamma, d_beta), expected, strict=True):
        close(found, wanted, 1e-4)


# ---- activation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "scale"), [(1.0, 1.0), (0.3, 1.0), (1.6732632, 1.0507010)])
@pytest.mark.parametrize("in_place", [True, False])
def test_elu_equals_torch_everywhere(alpha: float, scale: float, in_place: bool) -> None:
    z = torch.cat([torch.linspace(-120, 30, 40_001), torch.tensor([-1e30, -1e-30, 0.0, 1e30])])
    out = z.clone() if in_place else torch.full_like(z, torch.nan)
    given = out if in_place else z
    exact = torch.nn.functional.elu(z.double(), alpha) * scale
    torch.testing.assert_close(
        compiled.elu(given, out, alpha, scale),
        exact.float(),
        rtol=1e-6,
        atol=1.5e-7 * alpha * scale,
    )


def test_elu_keeps_nan() -> None:
    z = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0])
    found = compiled.elu(z.clone(), torch.empty(4), 1.0, 1.0)
    torch.testing.assert_close(found, torch.nn.functional.elu(z), equal_nan=True)


# ---- dropout bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 1001])
def test_draw_words_equals_the_generator(n: int) -> None:
    mine, theirs = np.random.SFC64(5), np.random.SFC64(5)
    words = np.empty(n, dtype=np.uint64)
    for _ in range(3):
        compiled.draw_words(compiled.state_of(mine), words)
        np.testing.assert_array_equal(words, theirs.random_raw(n))
    # The state of the generator itself has advanced.
    assert mine.random_raw() == theirs.random_raw()


def test_compiled_masks_equal_drawn_masks() -> None:
    """Slots have different widths and rates, with and without dropout of inputs and layers."""
    configs: list[dict[str, Any]] = [
        {"dropout": "dropout", "dropout.rate": 0.3, "dropout.input_rate": 0.2},
        {"dropout": "alpha_dropout", "dropout.rate": 0.5, "network.hidden_units": "3-9-2"},
        {"dropout": "none", "network.hidden_units": "11"},
        {"dropout": "dropout", "dropout.rate": 0.0, "dropout.input_rate": 0.7},
        {"dropout": "dropout", "dropout.rate": 0.01},
    ]
    models = [Admission(k, make_config(params), 40 + k) for k, params in enumerate(configs)]
    slow, fast = (make_fleet(models, dtype=dtype) for dtype in (torch.float64, torch.float32))
    assert slow.backend.compiled is None
    assert fast.backend.compiled is not None
    drawn = slow.bits.draw(4)
    for step in range(4):
        expected, found = slow.bits.masks(drawn, step), fast.bits.masks({}, step)
        assert expected.keys() == found.keys() == {INPUT, 0, 1, 2}
        for layer, mask in expected.items():
            assert torch.equal(found[layer].double(), mask), (step, layer)


# ---- optimizers --------------------------------------------------------------------------------


def hyper(k: int, **values: float) -> dict[str, Tensor]:
    """Return values that differ a little between slots."""
    return {
        key: torch.tensor([[v * (1 - 0.05 * s)] for s in range(k)]) for key, v in values.items()
    }


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_updates_equal_the_formula(name: str) -> None:
    row, k, n = OPTIMIZERS[name], 3, 57
    twin = compiled.COMPILED.updates[row.update]
    values = hyper(k, beta_1=0.9, beta_2=0.99, epsilon=1e-6, weight_decay=0.3)
    exact = {key: value.double() for key, value in values.items()}
    p = draw(k, n)
    mine = [p.clone(), torch.zeros(k, n), torch.zeros(k, n)]
    theirs = [p.double(), torch.zeros(k, n).double(), torch.zeros(k, n).double()]
    for step in range(1, 60):
        g, eta = draw(k, n, seed=step, scale=10.0 ** (step % 7 - 4)), torch.full((k, 1), 0.01)
        t, ones = torch.full((k, 1), float(step)), torch.ones(k, 1)
        twin(mine[0], g, State(mine[1], mine[2], t, ones), eta, values)
        state = State(theirs[1], theirs[2], t.double(), ones.double())
        row.update(theirs[0], g.double(), state, eta.double(), exact)
        for found, wanted in zip(mine, theirs, strict=True):
            close(found, wanted, 1e-4)


def test_nan_in_one_slot_does_not_affect_others() -> None:
    values = hyper(2, beta_1=0.9, beta_2=0.99, epsilon=1e-6)
    p, g = draw(2, 40), draw(2, 40, seed=1)
    g[1] = torch.nan
    state = State(torch.zeros(2, 40), torch.zeros(2, 40), torch.ones(2, 1), torch.ones(2, 1))
    compiled.COMPILED.updates[OPTIMIZERS["adam"].update](
        p, g, state, torch.full((2, 1), 0.1), values
    )
    assert torch.isfinite(p[0]).all()
    assert torch.isnan(p[1]).all()


# ---- all together ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"activation": "elu", "batch_norm": "before_activation", "optimizer": "adam"},
        {"activation": "selu", "dropout": "alpha_dropout", "optimizer": "adamw"},
        {"activation": "elu", "batch_norm": "after_activation", "batch_norm.input": True},
        {"activation": "tanh", "dropout": "dropout", "dropout.rate": 0.4, "clipping": "norm"},
    ],
    ids=lambda params: params["activation"] + str(len(params)),
)
def test_slot_in_single_precision_follows_torch(params: dict[str, Any]) -> None:
    config = make_config({"optimizer.learning_rate": 0.01, **params})
    fold, problem = make_fold(), make_problem()
    reference = make_reference(config, problem, fold, seed=3)
    fleet = make_fleet([Admission(0, config, 3)], dtype=torch.float32)
    for _ in range(config.epochs):
        expected, [report] = reference.train_epoch(), fleet.run_epoch()
        assert report.train_loss == pytest.approx(expected.train_loss, rel=2e-4)
        assert report.valid_loss == pytest.approx(expected.valid_loss, rel=2e-4)
    fleet.release()
    views = fleet.slots[0].layout.views(fleet.slots[0].parameters.unsqueeze(0))
    for key, tensor in reference.parameters().items():
        close(views[key][0].reshape(tensor.shape), tensor, 2e-3)


def test_slots_in_single_precision_do_not_depend_on_others() -> None:
    params = {
        "activation": "elu",
        "batch_norm": "before_activation",
        "optimizer": "adam",
        "dropout": "dropout",
        "dropout.rate": 0.3,
    }
    models = [Admission(k, make_config(params), 20 + k) for k in range(3)]
    together = make_fleet(models, dtype=torch.float32)
    together.run_epoch()
    for place, model in enumerate(models):
        alone = make_fleet([model], dtype=torch.float32)
        alone.run_epoch()
        close(together.weights.parameters[place], alone.weights.parameters[0], 1e-5)
