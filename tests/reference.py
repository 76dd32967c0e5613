"""One trial in plain PyTorch: the computation of one slot of a fleet, in its simplest form.

It is an `nn.Sequential` of torch's layers with autograd, `torch.optim` and one loop over epochs and
batches, without slot axis, padding or handwritten gradients. `autotrain/training` must have the
same results, so this is also the best place to read what the trainer computes. From the package it
uses only the random numbers of the slot: initial weights, order of rows, dropout bits.

To add a technique, add an entry to the table of its kind below.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import autotrain.techniques.embeddings as choices
from autotrain.data.codes import Columns
from autotrain.network import noise
from autotrain.space.config import TrialConfig
from autotrain.techniques.initializers import INITIALIZERS

Parameters = Mapping[str, Any]
Key = tuple[str, int]
INPUT = -1
DOUBLE = torch.float64

ACTIVATIONS: dict[str, Callable[[Parameters], nn.Module]] = {
    "sigmoid": lambda p: nn.Sigmoid(),
    "tanh": lambda p: nn.Tanh(),
    "relu": lambda p: nn.ReLU(),
    "softplus": lambda p: nn.Softplus(),
    "leaky_relu": lambda p: nn.LeakyReLU(p["negative_slope"]),
    "prelu": lambda p: nn.PReLU(init=p["init"], dtype=DOUBLE),
    "elu": lambda p: nn.ELU(p["alpha"]),
    "selu": lambda p: nn.SELU(),
    "gelu": lambda p: nn.GELU(),
    "silu": lambda p: nn.SiLU(),
    "mish": lambda p: nn.Mish(),
}

# Modules between the product of a layer and the next layer, in order.
BATCH_NORMS = {
    "off": ("activation", "dropout"),
    "before_activation": ("batch_norm", "activation", "dropout"),
    "after_activation": ("activation", "batch_norm", "dropout"),
}


def inverted_dropout(h: Tensor, keep: Tensor, rate: float) -> Tensor:
    """Return h with dropped units set to 0 and the others scaled by 1/(1 − p)."""
    return h * keep / (1 - rate)


def alpha_dropout(h: Tensor, keep: Tensor, rate: float) -> Tensor:
    """Return h with dropped units set to α′, mean 0 and variance 1 (Klambauer et al. 2017)."""
    alpha_prime = -1.0507009873554805 * 1.6732632423543772
    q = 1 - rate
    a = 1 / math.sqrt(q + alpha_prime**2 * q * rate)
    b = -a * rate * alpha_prime
    return a * torch.where(keep, h, alpha_prime) + b


DROPOUTS: dict[str, Callable[[Tensor, Tensor, float], Tensor] | None] = {
    "none": None,
    "dropout": inverted_dropout,
    "alpha_dropout": alpha_dropout,
}


def clip_each_norm(weights: list[nn.Parameter], threshold: float) -> None:
    """Scale the gradient of each tensor separately to a norm of at most the threshold."""
    for weight in weights:
        clip_grad_norm_(weight, threshold)


CLIPPINGS: dict[str, Callable[[list[nn.Parameter], float], object] | None] = {
    "none": None,
    "value": clip_grad_value_,
    "norm": clip_each_norm,
    "global_norm": clip_grad_norm_,
}


def _adam(p: Parameters) -> dict[str, Any]:
    return {"betas": (p["beta_1"], p["beta_2"]), "eps": p["epsilon"]}


OPTIMIZERS: dict[str, Callable[[Any, Parameters], torch.optim.Optimizer]] = {
    "sgd": lambda w, p: torch.optim.SGD(w),
    "momentum": lambda w, p: torch.optim.SGD(w, momentum=p["momentum"]),
    "nesterov": lambda w, p: torch.optim.SGD(w, momentum=p["momentum"], nesterov=True),
    "adagrad": lambda w, p: torch.optim.Adagrad(w, eps=p["epsilon"]),
    "rmsprop": lambda w, p: torch.optim.RMSprop(w, alpha=p["rho"], eps=p["epsilon"]),
    "adam": lambda w, p: torch.optim.Adam(w, **_adam(p)),
    "adamax": lambda w, p: torch.optim.Adamax(w, **_adam(p)),
    "nadam": lambda w, p: torch.optim.NAdam(w, **_adam(p)),
    "adamw": lambda w, p: torch.optim.AdamW(w, weight_decay=p["weight_decay"], **_adam(p)),
}


def one_cycle(t: int, steps_per_epoch: int, total: int, p: Parameters) -> float:
    """Return a factor that rises from 1/10 to 1, falls back as fast, then falls to 1/1000."""
    x, up = t / total, p["warmup"]
    if x < up:
        return 0.1 + 0.9 * x / up
    if x < 2 * up:
        return 1.0 - 0.9 * (x - up) / up
    return 0.1 + (0.001 - 0.1) * (x - 2 * up) / (1 - 2 * up)


def one_cycle_momentum(t: int, total: int, highest: float, p: Parameters) -> float:
    """Return the momentum: `highest` at both ends, 0.1 less at the peak, at least 0."""
    x, up = t / total, p["warmup"]
    return highest - min(0.1, highest) * max(0.0, 1 - abs(x - up) / up)


def cosine(t: int, steps_per_epoch: int, total: int, p: Parameters) -> float:
    """Return a factor that rises during the warm-up, then falls as half a cosine."""
    x, warmup = t / total, p["warmup"]
    if x < warmup:
        return min((t + 1) / max(warmup * total, 1), 1.0)
    return 0.5 * (1 + math.cos(math.pi * (x - warmup) / (1 - warmup)))


def piecewise(t: int, steps_per_epoch: int, total: int, p: Parameters) -> float:
    """Return the factor of the interval of the epoch t / steps_per_epoch."""
    return p["factors"][sum(t / steps_per_epoch >= end for end in p["boundaries"])]


def restarts(t: int, steps_per_epoch: int, total: int, p: Parameters) -> float:
    """Return half a cosine per cycle; each cycle is `growth` times as long as the last."""
    length, epoch = p["first"], t / steps_per_epoch
    while epoch >= length:
        epoch, length = epoch - length, length * p["growth"]
    return 0.5 * (1 + math.cos(math.pi * epoch / length))


# Factor of η₀ at step t (from 0), given the number of steps of an epoch and of the training.
SCHEDULES: dict[str, Callable[[int, int, int, Parameters], float]] = {
    "constant": lambda t, n, total, p: 1.0,
    "power": lambda t, n, total, p: 1 / (1 + t / p["k"]) ** p["c"],
    "exponential": lambda t, n, total, p: 0.1 ** (t / n / p["s"]),
    "piecewise": piecewise,
    "performance": lambda t, n, total, p: 1.0,  # and ReduceLROnPlateau, see `Reference`
    "one_cycle": one_cycle,
    "cosine": cosine,
    "coslog4": lambda t, n, total, p: (
        0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t / total)))
    ),
    "cosine_restarts": restarts,
}

# Factor of weight decay and dropout, given the fraction of training done.
ANNEALINGS: dict[str, Callable[[float], float]] = {
    "constant": lambda x: 1.0,
    "flat_cos": lambda x: 1.0 if x < 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * x - 1))),
}

PARAMETRIZATIONS: dict[str, Callable[[int], float]] = {
    "standard": lambda fan_in: 1.0,
    "ntk": lambda fan_in: fan_in**-0.5,
}


def max_norm(weight: Tensor, p: Parameters, scale: float) -> None:
    """Scale each unit's incoming weights, `scale` times a row of `weight`, to norm ≤ r."""
    norms = (scale * weight).norm(dim=1, keepdim=True)
    weight.mul_((p["max_value"] / norms).clamp(max=1.0))


CONSTRAINTS: dict[str, Callable[[Tensor, Parameters, float], None] | None] = {
    "none": None,
    "max_norm": max_norm,
}

REGULARIZERS: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda w: w.abs().sum(),
    "l2": lambda w: (w * w).sum(),
}


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Make float64 the default, which torch's NAdam uses for its product of momenta."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(DOUBLE)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class ScaledLinear(nn.Linear):
    """h (s V)ᵀ + b; an `nn.Linear` for s = 1."""

    def __init__(self, n_in: int, n_out: int, scale: float, *, bias: bool = True) -> None:
        super().__init__(n_in, n_out, bias=bias, dtype=DOUBLE)
        self.scale = scale

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.linear(h, self.scale * self.weight, self.bias)


class Mixed(nn.Module):
    """z + a (f(z) − z), a learned for each unit."""

    def __init__(self, f: nn.Module, width: int) -> None:
        super().__init__()
        self.f, self.mix = f, nn.Parameter(torch.ones(width, dtype=DOUBLE))

    def forward(self, z: Tensor) -> Tensor:
        mixed: Tensor = z + self.mix * (self.f(z) - z)
        return mixed


class Piecewise(nn.Module):
    """Σ_t V_t φ_t(x) + x v + b, column by column, with φ defined by cases."""

    def __init__(self, x: Tensor, n_bins: int, width: int) -> None:
        super().__init__()
        n_columns = x.shape[1]
        ranks = torch.linspace(0, 1, n_bins + 1, dtype=DOUBLE)
        self.edges = [torch.quantile(x[:, d], ranks).unique() for d in range(n_columns)]
        self.weight = nn.Parameter(torch.zeros(n_columns, n_bins, width, dtype=DOUBLE))
        self.bias = nn.Parameter(torch.zeros(n_columns, width, dtype=DOUBLE))
        self.slope = nn.Parameter(torch.zeros(n_columns, width, dtype=DOUBLE))

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for d, edges in enumerate(self.edges):
            total = self.bias[d] + x[:, d : d + 1] * self.slope[d]
            n = len(edges) - 1
            for t in range(n):
                share = (x[:, d : d + 1] - edges[t]) / (edges[t + 1] - edges[t])
                share = share if t == 0 else share.clamp(min=0)
                share = share if t == n - 1 else share.clamp(max=1)
                total = total + share * self.weight[d, t]
            out.append(total)
        return torch.cat(out, 1)


class Periodic(nn.Module):
    """PLR: relu(V [cos 2πwx, sin 2πwx] + b); PBLD: [x, V cos(2πwx + c) + b]; column by column."""

    def __init__(self, n_columns: int, n_frequencies: int, width: int, *, is_plr: bool) -> None:
        super().__init__()
        self.is_plr = is_plr
        n_features, n_linear = (2 * n_frequencies, width) if is_plr else (n_frequencies, width - 1)

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape, dtype=DOUBLE))

        self.frequency = zeros(n_columns, n_frequencies)
        self.phase = None if is_plr else zeros(n_columns, n_frequencies)
        self.weight = zeros(n_columns, n_features, n_linear)
        self.bias = zeros(n_columns, n_linear)

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for d in range(x.shape[1]):
            angle = 2 * math.pi * x[:, d : d + 1] * self.frequency[d]
            if self.phase is None:
                features = torch.cat([angle.cos(), angle.sin()], 1)
                out.append(nn.functional.relu(features @ self.weight[d] + self.bias[d]))
            else:
                own = (angle + self.phase[d]).cos() @ self.weight[d] + self.bias[d]
                out += [x[:, d : d + 1], own]
        return torch.cat(out, 1)


EMBEDDINGS: dict[str, Callable[[Tensor, Parameters], nn.Module] | None] = {
    "none": None,
    "piecewise_linear": lambda x, p: Piecewise(x, p["n_bins"], p["width"]),
    "plr": lambda x, p: Periodic(x.shape[1], p["n_frequencies"], p["width"], is_plr=True),
    "pbld": lambda x, p: Periodic(x.shape[1], p["n_frequencies"], p["width"], is_plr=False),
}


class InputLayer(nn.Module):
    """Encoded rows → inputs of the first layer: embedded numbers, vectors of codes, scale."""

    def __init__(self, config: TrialConfig, columns: Columns, x: Tensor) -> None:
        super().__init__()
        self.columns = columns
        make = EMBEDDINGS[config.embedding.name] if columns.n_numeric else None
        self.embed = (
            None if make is None else make(x[:, : columns.n_numeric], config.embedding.parameters)
        )
        self.levels = nn.ModuleList(
            nn.Embedding(n, config.encoder["width"], dtype=DOUBLE) for n in columns.levels
        )
        self.scale: nn.Parameter | None = None
        if config.input_scale.name == "diagonal":
            width = self.forward(x[:1]).shape[1]
            self.scale = nn.Parameter(torch.ones(width, dtype=DOUBLE))

    def forward(self, x: Tensor) -> Tensor:
        d, n_codes = self.columns.n_numeric, self.columns.n_codes
        numbers = x[:, :d] if self.embed is None else self.embed(x[:, :d])
        vectors = [look(x[:, d + place].long()) for place, look in enumerate(self.looks())]
        h = torch.cat([numbers, *vectors, x[:, d + n_codes :]], 1)
        return h if self.scale is None else h * self.scale

    def looks(self) -> list[nn.Embedding]:
        """Return one table of vectors per column of codes."""
        return [look for look in self.levels if isinstance(look, nn.Embedding)]

    @torch.no_grad()
    def initialize(self, generator: np.random.Generator, config: TrialConfig) -> None:
        """Use the draws of the slot: vectors of levels (the last one 0), then the embedding."""
        for look in self.looks():
            look.weight.copy_(torch.from_numpy(generator.normal(size=tuple(look.weight.shape))))
            look.weight[-1] = 0.0
        draw = choices.EMBEDDINGS[config.embedding.name].draw
        if self.embed is not None and draw is not None:
            given = draw(generator, self.columns.n_numeric, config.embedding.parameters)
            for name, values in given.items():
                own = self.embed.get_parameter("weight" if name == "kernel" else name)
                own.copy_(torch.from_numpy(values))

    def tensors(self) -> Iterator[tuple[Key, Tensor]]:
        """Yield the weights under the names of `Layout.parameters`."""
        for place, look in enumerate(self.looks()):
            yield ("level_vectors", place), look.weight.detach()
        if self.embed is not None:
            for name, weight in self.embed.named_parameters():
                yield (f"embedding_{name}", INPUT), weight.detach().flatten(1)
        if self.scale is not None:
            yield ("scale", INPUT), self.scale.detach()


class GivenDropout(nn.Module):
    """Dropout with a given mask; the identity in prediction."""

    def __init__(self, kind: str, rate: float, width: int) -> None:
        super().__init__()
        self.kind, self.rate, self.nominal_rate, self.width = kind, rate, rate, width
        self.keep = torch.empty(0)

    def forward(self, h: Tensor) -> Tensor:
        drop = DROPOUTS[self.kind]
        return drop(h, self.keep, self.rate) if self.training and drop is not None else h


@dataclass(frozen=True)
class Epoch:
    """Results of one epoch; `norms` are the gradient norms of the kernels, `[steps, L + 1]`."""

    train_loss: float
    valid_loss: float
    value: float
    learning_rate: float
    norms: np.ndarray


class Reference:
    """One model, its optimizer and its rows, in float64.

    Args:
        config: configuration of the model.
        train, valid: inputs `[N, D]` and labels or standardized targets `[N]`.
        n_outputs: number of classes, or 1 for regression.
        metric: (outputs `[N, C]`, targets `[N]`) → metric of an epoch.
        maximize: whether higher metrics are better.
        seed, fold, repeat: seeds of the random streams.
        n_steps: steps per epoch; None for the number of whole batches.
        columns: kinds of the columns; None for plain inputs.
        weights: weights of training and validation rows in the loss, `[N]` each; None for equal
            weights.
        quantile: quantile that a regression learns; None for the mean.
    """

    def __init__(
        self,
        config: TrialConfig,
        train: tuple[Tensor, Tensor],
        valid: tuple[Tensor, Tensor],
        n_outputs: int,
        metric: Callable[[Tensor, Tensor], float],
        *,
        maximize: bool = False,
        seed: int = 0,
        fold: int = 0,
        repeat: int = 0,
        n_steps: int | None = None,
        columns: Columns | None = None,
        weights: tuple[Tensor, Tensor] | None = None,
        quantile: float | None = None,
    ) -> None:
        self.weights_of_rows, self.quantile = weights, quantile
        self.columns = columns or Columns.plain(train[0].shape[1])
        self.config, self.train_rows, self.valid_rows = config, train, valid
        self.metric, self.sign = metric, -1.0 if maximize else 1.0
        self.batch_size = min(config.batch_size, len(train[0]))
        self.n_steps = n_steps or max(len(train[0]) // self.batch_size, 1)
        self.row_order = np.random.Generator(noise.stream(seed, fold, repeat, noise.ROW_ORDER))
        self.dropout_bits = noise.stream(seed, fold, repeat, noise.DROPOUT)

        self.named: dict[Key, nn.Module] = {}
        self.model = self._build(train[0].shape[1], n_outputs)
        self.linears = [m for m in self.model if isinstance(m, ScaledLinear)]
        self._initialize(noise.stream(seed, fold, repeat, noise.INITIAL_WEIGHTS))
        self.weights = list(self.model.parameters())
        groups = [{"params": [w], "factor": factor} for w, factor in self._factors()]
        self.optimizer = OPTIMIZERS[config.optimizer.name](groups, config.optimizer.parameters)
        self.eta = config.optimizer["learning_rate"]
        self._set("lr", self.eta)
        self.plateau_schedule = self._plateau_schedule()
        self.t = 0

    # ---- the network -----------------------------------------------------------------------

    def _build(self, n_inputs: int, n_outputs: int) -> nn.Sequential:
        config, layers = self.config, nn.Sequential()
        scale = PARAMETRIZATIONS[config.parametrization.name]
        self.input_layer = InputLayer(config, self.columns, self.train_rows[0])
        layers.append(self.input_layer)
        n_inputs = self.input_layer(self.train_rows[0][:1]).shape[1]
        norm, dropout = config.batch_norm, config.dropout

        def add(kind: str, layer: int, module: nn.Module) -> None:
            self.named[kind, layer] = module
            layers.append(module)

        def batch_norm(width: int) -> nn.BatchNorm1d:
            # Here momentum is the weight of the past, in torch that of the present.
            return nn.BatchNorm1d(width, norm["epsilon"], 1 - norm["momentum"], dtype=DOUBLE)

        drops_inputs = dropout.name != "none" and dropout["input_rate"] > 0
        if norm["input"]:
            add("batch_norm", INPUT, input_norm := batch_norm(n_inputs))
            if norm.name == "before_activation" and config.hidden_units and not drops_inputs:
                # The next batch norm subtracts this shift, like the bias below.
                input_norm.bias.requires_grad_(False)
        if drops_inputs:
            add("dropout", INPUT, GivenDropout(dropout.name, dropout["input_rate"], n_inputs))
        width = n_inputs
        for layer, units in enumerate(config.hidden_units):
            # Batch norm subtracts a bias that is right before it: it has no effect, its gradient is
            # rounding noise, and optimizers that divide by √v would turn noise into full steps.
            bias = norm.name != "before_activation"
            add("linear", layer, ScaledLinear(width, units, scale(width), bias=bias))
            width = units
            for step in BATCH_NORMS[norm.name]:
                if step == "batch_norm":
                    add(step, layer, batch_norm(units))
                elif step == "activation":
                    f = ACTIVATIONS[config.activation.name](config.activation.parameters)
                    is_mixed = config.activation["parametric"]
                    add(step, layer, Mixed(f, units) if is_mixed else f)
                elif dropout.name != "none" and dropout["rate"]:
                    add(step, layer, GivenDropout(dropout.name, dropout["rate"], units))
        add("output", 0, ScaledLinear(width, n_outputs, scale(width)))
        return layers

    @torch.no_grad()
    def _initialize(self, bits: np.random.BitGenerator) -> None:
        generator, initializer = np.random.Generator(bits), self.config.initializer
        draw, parameters = (
            INITIALIZERS[initializer.name].draw,
            dict[str, Any](initializer.parameters),
        )
        for linear in self.linears:
            kernel = draw(generator, linear.in_features, linear.out_features, parameters)
            linear.weight.copy_(torch.from_numpy(kernel).T / linear.scale)
            if linear.bias is not None:
                linear.bias.zero_()
        self.input_layer.initialize(generator, self.config)
        if self.config.scaler.name == "none" and self.config.batch_norm["input"]:
            self._start_moving_averages()
        if initializer.name == "data_std":
            self._scale_units()

    def _start_moving_averages(self) -> None:
        """Set the moving averages of the input batch norm to those of the training rows."""
        norm, inputs = self.named["batch_norm", INPUT], self.input_layer(self.train_rows[0])
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(inputs.mean(0))
        norm.running_var.copy_(inputs.var(0))

    def _scale_units(self) -> None:
        """Scale weights, layer by layer, so that z of each unit has standard deviation 1."""
        self.model.eval()
        assert len(self.train_rows[0]) <= 1024, "of more a sample is taken"
        for linear in self.linears:
            seen: list[Tensor] = []
            hook = linear.register_forward_hook(lambda m, x, z, to=seen: to.append(z))
            self.model(self.train_rows[0])
            hook.remove()
            linear.weight /= seen[0].std(0, unbiased=False).unsqueeze(1)

    def _factors(self) -> Iterator[tuple[nn.Parameter, float]]:
        """Yield every weight with its factor on the learning rate."""
        config, done = self.config, set()
        for module in self.model.modules():
            for name, weight in module.named_parameters(recurse=False):
                if id(weight) in done:
                    continue
                done.add(id(weight))
                factor = 1.0
                if isinstance(module, ScaledLinear) and name == "bias":
                    factor = config.parametrization["bias_learning_rate"]
                elif isinstance(module, Mixed):
                    factor = config.activation["mix_learning_rate"]
                elif isinstance(module, Piecewise | Periodic):
                    factor = config.embedding["learning_rate"]
                elif isinstance(module, InputLayer):
                    factor = config.input_scale["learning_rate"]
                yield weight, factor

    def parameters(self) -> dict[Key, Tensor]:
        """Return the weights under the names of `Layout.parameters`, kernels as `[I, O]`."""
        return dict(self._parameters())

    def _parameters(self) -> Iterator[tuple[Key, Tensor]]:
        yield from self.input_layer.tensors()
        for (kind, layer), module in self.named.items():
            if isinstance(module, Mixed):
                yield ("mix", layer), module.mix.detach()
            prelu = module.f if isinstance(module, Mixed) else module
            if isinstance(module, nn.Linear):
                prefix = "output_" if kind == "output" else ""
                yield (f"{prefix}kernel", layer), module.weight.detach().T
                if module.bias is not None:
                    yield (f"{prefix}bias", layer), module.bias.detach()
            elif isinstance(module, nn.BatchNorm1d):
                yield ("gamma", layer), module.weight.detach()
                yield ("beta", layer), module.bias.detach()
            elif isinstance(prelu, nn.PReLU):
                yield ("slope", layer), prelu.weight.detach()

    @torch.no_grad()
    def load(self, parameters: Mapping[Key, Tensor], statistics: Mapping[Key, Tensor]) -> None:
        """Copy weights and moving averages from `Layout.views`, without the slot axis."""
        for own, given in ((self.parameters(), parameters), (self.statistics(), statistics)):
            for key, tensor in own.items():
                tensor.copy_(given[key].reshape(tensor.shape))

    def statistics(self) -> dict[Key, Tensor]:
        """Return the moving averages under the names of `Layout.statistics`."""
        found = {}
        for (_, layer), module in self.named.items():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                found["mean", layer] = module.running_mean
                found["variance", layer] = module.running_var
        return found

    # ---- one epoch -------------------------------------------------------------------------

    def train_epoch(self) -> Epoch:
        """Train for one epoch and evaluate."""
        x, y = self.train_rows
        order = self.row_order.permutation(len(x))[: self.n_steps * self.batch_size]
        losses, norms = [], []
        self.model.train()
        self._set_dropout()
        for rows in torch.from_numpy(order).view(self.n_steps, self.batch_size):
            self._set_rates()
            self._draw_masks()
            self.optimizer.zero_grad()
            losses_of_rows = self._losses(
                self.model(x[rows]), y[rows], self.config.loss["label_smoothing"]
            )
            if self.weights_of_rows is not None:
                losses_of_rows = losses_of_rows * self.weights_of_rows[0][rows]
            loss = losses_of_rows.mean()
            kernels = [linear.weight for linear in self.linears]
            of_loss = torch.autograd.grad(loss, kernels, retain_graph=True)
            norms.append([float(gradient.norm()) for gradient in of_loss])
            (loss + self._penalty()).backward()
            self._clip()
            self._decay()
            with double_precision():
                self.optimizer.step()
            self._constrain()
            losses.append(loss.item())
            self.t += 1
        rate = self.eta_now
        valid_loss, value = self.evaluate()
        if self.plateau_schedule is not None:
            self.plateau_schedule.step(valid_loss)
        return Epoch(float(np.mean(losses)), valid_loss, value, rate, np.array(norms))

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Return loss (without smoothing) and metric on the validation rows, without dropout."""
        self.model.eval()
        x, y = self.valid_rows
        outputs = self.model(x)
        if self.config.target.name == "clamped" and outputs.shape[1] == 1:
            known = self.train_rows[1]
            outputs = outputs.clamp(known.min(), known.max())
        losses = self._losses(outputs, y)
        if self.weights_of_rows is None:
            return losses.mean().item(), self.metric(outputs, y)
        loss = (losses * self.weights_of_rows[1]).sum() / self.weights_of_rows[1].sum()
        return loss.item(), self.metric(outputs, y)

    def _losses(self, outputs: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the loss of each row `[N]`."""
        if outputs.shape[1] > 1:
            loss = nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")
            each: Tensor = loss(outputs, y)
        elif self.quantile is None:
            each = (outputs[:, 0] - y) ** 2
        else:
            error = y - outputs[:, 0]
            each = torch.where(error > 0, self.quantile * error, (self.quantile - 1) * error)
        return each

    def _set_dropout(self) -> None:
        dropout = self.config.dropout
        share = self.t / (self.n_steps * self.config.epochs)
        factor = ANNEALINGS[dropout["annealing"]](share)
        floor = dropout["floor"]
        for module in self.model:
            if isinstance(module, GivenDropout):
                module.rate = module.nominal_rate * (floor + (1 - floor) * factor)

    @torch.no_grad()
    def _decay(self) -> None:
        decay = self.config.weight_decay
        if decay.name == "none":
            return
        share = self.t / (self.n_steps * self.config.epochs)
        rate = decay["rate"] * ANNEALINGS[decay["annealing"]](share)
        for linear in self.linears:
            linear.weight *= 1 - self.eta_now * rate

    def _draw_masks(self) -> None:
        """Set the masks of one step: 16 bits per unit, inputs first, then layer by layer."""
        dropouts = [m for m in self.model if isinstance(m, GivenDropout)]
        n_units = sum(dropout.width for dropout in dropouts) * self.batch_size
        if not dropouts:
            return
        words = np.asarray(self.dropout_bits.random_raw(math.ceil(n_units / 4)))
        bits = words.view(np.int16).astype(np.int64) + 2**15
        start = 0
        for dropout in dropouts:
            stop = start + self.batch_size * dropout.width
            own = bits[start:stop].reshape(self.batch_size, dropout.width)
            dropout.keep = torch.from_numpy(own < min(round((1 - dropout.rate) * 2**16), 2**16 - 1))
            start = stop

    def _penalty(self) -> Tensor:
        strengths = self.config.regularizer
        return sum(
            (
                strengths[name] * penalty(linear.weight)
                for name, penalty in REGULARIZERS.items()
                for linear in self.linears
            ),
            start=torch.zeros((), dtype=DOUBLE),
        )

    def _clip(self) -> None:
        clip = CLIPPINGS[self.config.clipping.name]
        if clip is not None:
            clip(self.weights, self.config.clipping["threshold"])

    @torch.no_grad()
    def _constrain(self) -> None:
        constrain = CONSTRAINTS[self.config.constraint.name]
        if constrain is not None:
            for linear in self.linears:
                constrain(linear.weight, self.config.constraint.parameters, linear.scale)

    # ---- rates -----------------------------------------------------------------------------

    def _set_rates(self) -> None:
        schedule = self.config.schedule
        total = self.n_steps * self.config.epochs
        if schedule.name == "performance":
            return
        multiplier = SCHEDULES[schedule.name](self.t, self.n_steps, total, schedule.parameters)
        self._set("lr", self.eta * multiplier)
        if schedule.name == "one_cycle":
            optimizer, p = self.config.optimizer, schedule.parameters
            if "momentum" in optimizer.parameters:
                now = one_cycle_momentum(self.t, total, optimizer["momentum"], p)
                self._set("momentum", now)
            elif "beta_1" in optimizer.parameters:
                now = one_cycle_momentum(self.t, total, optimizer["beta_1"], p)
                self._set("betas", (now, optimizer["beta_2"]))

    def _set(self, key: str, value: Any) -> None:
        for group in self.optimizer.param_groups:
            group[key] = value * group["factor"] if key == "lr" else value

    @property
    def eta_now(self) -> float:
        """Return the learning rate of this step, without factors of parameters."""
        group = self.optimizer.param_groups[0]
        return float(group["lr"]) / float(group["factor"])

    def _plateau_schedule(self) -> torch.optim.lr_scheduler.ReduceLROnPlateau | None:
        if self.config.schedule.name != "performance":
            return None
        p: Parameters = self.config.schedule.parameters
        # torch counts the tolerated epochs, we (like Keras) the epochs after which η drops.
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer,
            factor=p["factor"],
            patience=p["patience"] - 1,
            threshold=p["min_delta"],
            threshold_mode="abs",
            min_lr=[p["min_lr"] * group["factor"] for group in self.optimizer.param_groups],
            eps=0.0,
        )

    # ---- the whole training ----------------------------------------------------------------

    def train(self) -> tuple[list[Epoch], int]:
        """Train to the end; return all epochs and the number of the best one, and keep its weights.

        Training ends after `epochs`. With early stopping, it also ends after `patience` epochs
        without an improvement by more than `min_delta`, unless it waits for the schedule.
        """
        stopping = self.config.early_stopping
        waits = stopping["wait_for_schedule"]
        waits &= self.config.schedule.name in ("one_cycle", "cosine", "coslog4")
        patience = stopping["patience"] if stopping["enabled"] and not waits else math.inf
        epochs: list[Epoch] = []
        best, best_epoch, best_state = math.inf, 0, copy.deepcopy(self.model.state_dict())
        to_beat, waited = math.inf, 0
        while len(epochs) < self.config.epochs and waited < patience:
            epochs.append(self.train_epoch())
            score = self.sign * epochs[-1].value
            if score < best:
                best, best_epoch = score, len(epochs)
                best_state = copy.deepcopy(self.model.state_dict())
            if score < to_beat - stopping["min_delta"]:
                to_beat, waited = score, 0
            else:
                waited += 1
        self.model.load_state_dict(best_state)
        return epochs, best_epoch


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad
