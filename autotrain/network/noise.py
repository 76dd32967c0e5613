"""The random numbers of each slot: initial weights, order of rows, dropout masks.

Every stream is seeded by (trial seed, fold, repeat, purpose), so the numbers of a slot depend
neither on other slots nor on when it was admitted. Dropout masks compare 16-bit random integers
with a threshold: SFC64 draws one in 0.5 ns, `bernoulli_` takes 10 ns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from autotrain.network.config import dropout_rates, kernel_scales
from autotrain.network.grouping import Backend
from autotrain.network.kernels import CompiledKernels
from autotrain.network.layout import INPUT, Layout, Shape
from autotrain.space.config import TrialConfig
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.initializers import INITIALIZERS

INITIAL_WEIGHTS, ROW_ORDER, DROPOUT = range(3)
_NEVER, _ALWAYS = np.iinfo(np.int16).max, np.iinfo(np.int16).min
"""Bits that are below no threshold (for padded units) and below every threshold (for slots without
dropout)."""


def stream(seed: int, fold: int, repeat: int, purpose: int) -> np.random.SFC64:
    """Return the bit generator of one slot for one purpose.

    Args:
        seed: seed of the trial.
        fold, repeat: numbers of the fold and of the repeat, from 0.
        purpose: `INITIAL_WEIGHTS`, `ROW_ORDER` or `DROPOUT`.
    """
    return np.random.SFC64(np.random.SeedSequence([seed, fold, repeat, purpose]))


def initial_parameters(
    config: TrialConfig, shape: Shape, layout: Layout, bits: np.random.BitGenerator
) -> np.ndarray:
    """Draw the initial parameters of a network, a flat row `[P]`, float64.

    Kernels are drawn by the configuration's initializer, layer by layer, then the embeddings.
    Biases and β are 0; γ, scale and mix are 1; PReLU's slope is its `init`. The last vector of each
    column of codes, for levels that do not occur in the training rows, is 0.

    Args:
        config: the configuration.
        shape: sizes of its network.
        layout: positions of its tensors.
        bits: random bits, see `stream`.
    """
    generator = np.random.Generator(bits)
    draw = INITIALIZERS[config.initializer.name].draw
    scales = iter(kernel_scales(config, shape))
    row = np.zeros(layout.n_parameters)
    embedded = _embedding_draws(config, shape, generator)
    for (kind, _), (start, rows, columns) in layout.parameters.items():
        span = slice(start, start + rows * columns)
        if kind.endswith("kernel"):
            drawn = draw(generator, rows, columns, config.initializer.parameters)
            row[span] = drawn.ravel() / next(scales)
        elif kind == "level_vectors":
            row[span] = generator.normal(size=(rows, columns)).ravel()
            row[start + (rows - 1) * columns : start + rows * columns] = 0.0
        elif kind.startswith("embedding_"):
            row[span] = embedded(kind.removeprefix("embedding_"), rows * columns)
        elif kind in ("gamma", "scale", "mix"):
            row[span] = 1.0
        elif kind == "slope":
            row[span] = config.activation.parameters.get("init", 0.0)
    return row


def _embedding_draws(
    config: TrialConfig, shape: Shape, generator: np.random.Generator
) -> Callable[[str, int], np.ndarray]:
    """Return a function that gives an embedding's initial values, which the first call draws."""
    draw = EMBEDDINGS[config.embedding.name].draw
    drawn: dict[str, np.ndarray] = {}

    def values(name: str, size: int) -> np.ndarray:
        assert draw is not None
        assert shape.input_layer is not None
        if not drawn:
            tensors = draw(
                generator, shape.input_layer.columns.n_numeric, config.embedding.parameters
            )
            drawn.update({"weight" if key == "kernel" else key: v for key, v in tensors.items()})
        return drawn[name].ravel() if name in drawn else np.zeros(size)

    return values


def keep_threshold(rate: float) -> int:
    """Return the int16 threshold below which a unit is kept: P(kept) = 1 − rate, up to 2⁻¹⁶."""
    return min(round((1 - rate) * 65536), 65535) - 32768


class DropoutBits:
    """The dropout masks of a fleet, drawn several steps ahead.

    In each step, a slot's stream gives 16 bits for each unit that can be dropped: inputs first,
    then layer by layer, real units only. The masks therefore depend neither on padding nor on the
    number of steps that are drawn at once.

    Args:
        configs, shapes: configurations and sizes of the slots, in fleet order.
        layout: padded layout of the fleet.
        reach: number of slots that reach each hidden layer.
        streams: bit generators of the slots; every draw advances them.
        batch_size: number of rows of a batch.
        backend: device, dtype and compiled kernels.
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        shapes: Sequence[Shape],
        layout: Layout,
        reach: Sequence[int],
        streams: Sequence[np.random.SFC64],
        batch_size: int,
        backend: Backend,
    ) -> None:
        self.streams = streams
        self.batch_size = batch_size
        self.backend = backend
        self.layers: dict[int, tuple[int, int]] = {}
        input_rates, rates = map(list, zip(*map(dropout_rates, configs), strict=True))
        if any(input_rates):
            self.layers[INPUT] = (len(configs), layout.shape.n_inputs)
        for layer, width in enumerate(layout.shape.hidden):
            if any(rates[: reach[layer]]):
                self.layers[layer] = (reach[layer], width)
        self.sites = [
            [
                (layer, shape.n_inputs if layer == INPUT else shape.hidden[layer])
                for layer, (n_slots, _) in self.layers.items()
                if k < n_slots and (input_rates[k] if layer == INPUT else rates[k])
            ]
            for k, shape in enumerate(shapes)
        ]
        self.widths = {
            layer: [
                shape.n_inputs if layer == INPUT else shape.hidden[layer]
                for shape in shapes[:n_slots]
            ]
            for layer, (n_slots, _) in self.layers.items()
        }
        self.buffers: dict[int, np.ndarray] = {}
        self.is_padded = {
            layer: min(widths) < self.layers[layer][1] for layer, widths in self.widths.items()
        }
        compiled = backend.compiled
        self.states = [] if compiled is None else [compiled.state_of(bits) for bits in streams]
        self.words = [
            np.empty(-(-sum(width for _, width in sites) * batch_size // 4), dtype=np.uint64)
            for sites in self.sites
        ]
        self.rates = {INPUT: input_rates} | {layer: rates for layer in self.layers if layer >= 0}
        self.drop_by(None)

    def drop_by(self, factors: Sequence[float] | None) -> None:
        """Set the rates to those of the configurations, times factors.

        Args:
            factors: one per slot, `[K]`; None for 1.
        """
        self.thresholds = {
            layer: torch.tensor(
                [
                    keep_threshold(rate * (1.0 if factors is None else factors[k]))
                    for k, rate in enumerate(self.rates[layer][:n_slots])
                ],
                dtype=torch.int16,
                device=self.backend.device,
            ).view(-1, 1, 1)
            for layer, (n_slots, _) in self.layers.items()
        }
        self.numpy_thresholds = {
            layer: thresholds.flatten().cpu().numpy()
            for layer, thresholds in self.thresholds.items()
        }

    @property
    def bytes_per_step(self) -> int:
        """Memory of the bits of one step."""
        return sum(2 * n * width * self.batch_size for n, width in self.layers.values())

    def draw(self, n_steps: int) -> dict[int, Tensor]:
        """Return the next bits by layer, `[n_steps, K_l, B, H_l]` int16.

        The next call overwrites them. With compiled kernels the result is empty, because `masks`
        then draws the bits of each step itself.
        """
        if self.backend.compiled is not None:
            return {}
        drawn = {layer: self._buffer(layer, n_steps) for layer in self.layers}
        for k, (bits, sites) in enumerate(zip(self.streams, self.sites, strict=True)):
            if not sites:
                continue
            per_step = sum(width for _, width in sites) * self.batch_size
            words = -(-per_step // 4)
            raw = np.asarray(bits.random_raw(n_steps * words)).view(np.int16)
            raw = raw.reshape(n_steps, words * 4)
            start = 0
            for layer, width in sites:
                stop = start + self.batch_size * width
                units = raw[:, start:stop].reshape(n_steps, self.batch_size, width)
                drawn[layer][:, k, :, :width] = units
                start = stop
        return {
            layer: torch.from_numpy(array).to(self.backend.device) for layer, array in drawn.items()
        }

    def _buffer(self, layer: int, n_steps: int) -> np.ndarray:
        """Return memory `[n_steps, K_l, B, H_l]` for bits, filled in where none are drawn."""
        buffer = self.buffers.get(layer)
        if buffer is None or len(buffer) < n_steps:
            n_slots, full = self.layers[layer]
            buffer = np.full((n_steps, n_slots, self.batch_size, full), _NEVER, dtype=np.int16)
            for k, width in enumerate(self.widths[layer]):
                buffer[:, k, :, :width] = _ALWAYS
            self.buffers[layer] = buffer
        return buffer[:n_steps]

    def masks(self, drawn: Mapping[int, Tensor], step: int) -> dict[int, Tensor]:
        """Return the keep-masks of one step by layer, `[K_l, B, H_l]` of 0.0 and 1.0.

        Args:
            drawn: result of `draw`.
            step: number of the step in `drawn`.
        """
        if self.backend.compiled is not None:
            return self._next_masks(self.backend.compiled)
        keep = {}
        for layer, bits in drawn.items():
            # Writing the comparison into floats took a seventh of the time of a conversion.
            out = torch.empty(bits.shape[1:], dtype=self.backend.dtype, device=self.backend.device)
            keep[layer] = torch.lt(bits[step], self.thresholds[layer], out=out)
        return keep

    def _next_masks(self, compiled: CompiledKernels) -> dict[int, Tensor]:
        """Draw the keep-masks `[K, B, H]` of the next step; they equal those from `draw`."""
        keep = {}
        for layer, (n_slots, width) in self.layers.items():
            make = torch.zeros if self.is_padded[layer] else torch.empty
            keep[layer] = make(n_slots, self.batch_size, width)
        arrays = {layer: mask.numpy() for layer, mask in keep.items()}
        for k, (state, sites) in enumerate(zip(self.states, self.sites, strict=True)):
            words = self.words[k]
            if sites:
                compiled.draw_words(state, words)
            units, start = words.view(np.int16), 0
            drops = dict(sites)
            for layer, array in arrays.items():
                if k >= len(array):
                    continue
                if layer not in drops:
                    array[k, :, : self.widths[layer][k]] = 1.0
                    continue
                stop = start + self.batch_size * drops[layer]
                threshold = self.numpy_thresholds[layer][k]
                compiled.keep_below(units[start:stop], threshold, array[k, :, : drops[layer]])
                start = stop
        return keep
