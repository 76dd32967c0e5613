"""Positions of a network's tensors in a flat row, and stacking of the rows of K networks.

All parameters of a network are one flat row, so that an optimizer needs a handful of operations on
`[K, P]` at any depth. The weight matrices ("kernel") come first. K networks of different widths and
depths share one padded layout (`fleet_layout`); padding is 0 and stays 0. `Shape` gives the sizes
of a network, `Layout` the positions of its tensors; `pack` and `unpack` convert between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from autotrain.data.codes import Columns
from autotrain.techniques.embeddings import Sizes

INPUT = -1
Key = tuple[str, int]
PERIODIC = ("frequency", "phase")
BINS = ("edge", "width")


@dataclass(frozen=True)
class InputLayer:
    """Sizes of the input layer of one network; `network/input_layer.py` computes it.

    Args:
        columns: columns of the encoded rows.
        sizes: sizes of the numeric embedding; None without one.
        level_width: length of the vector of a level.
    """

    columns: Columns
    sizes: Sizes | None = None
    level_width: int = 0

    @property
    def n_inputs(self) -> int:
        """Number of inputs: embedded numbers, then vectors of levels, then plain columns."""
        per_number = 1 if self.sizes is None else self.sizes.n_out
        columns = self.columns
        of_codes = columns.n_codes * self.level_width
        return columns.n_numeric * per_number + of_codes + columns.n_plain

    def inputs_of(self, column: int) -> range:
        """Return the indices of the inputs that come from one column of the encoded rows."""
        per_number = 1 if self.sizes is None else self.sizes.n_out
        d, n_codes = self.columns.n_numeric, self.columns.n_codes
        if column < d:
            start, width = column * per_number, per_number
        elif column < d + n_codes:
            start, width = d * per_number + (column - d) * self.level_width, self.level_width
        else:
            start, width = self.n_inputs - self.columns.width + column, 1
        return range(start, start + width)

    @property
    def embeds(self) -> bool:
        """Whether anything is embedded."""
        return bool(self.columns.levels) or (self.sizes is not None and self.columns.n_numeric > 0)

    def entries(self) -> tuple[list[tuple[Key, int, int]], list[tuple[Key, int, int]]]:
        """Return (key, rows, columns) of the learned tensors and of the constants."""
        d = self.columns.n_numeric
        learned: list[tuple[Key, int, int]] = [
            (("level_vectors", column), n_levels, self.level_width)
            for column, n_levels in enumerate(self.columns.levels)
        ]
        if self.sizes is None or not d:
            return learned, []
        n_features, _, n_linear, n_frequencies = self.sizes
        if n_frequencies:
            learned += [((f"embedding_{name}", INPUT), d, n_frequencies) for name in PERIODIC]
        learned.append((("embedding_weight", INPUT), d, n_features * n_linear))
        learned += [((f"embedding_{name}", INPUT), d, n_linear) for name in ("bias", "slope")]
        bins = [] if n_frequencies else [((f"bin_{n}", INPUT), d, n_features) for n in BINS]
        return learned, bins


@dataclass(frozen=True)
class Shape:
    """Sizes of one network.

    Args:
        n_inputs: number of inputs of the first hidden layer (or of the output layer).
        hidden: number of units of each hidden layer.
        n_outputs: number of outputs.
        input_layer: sizes of the input layer; None if nothing is embedded.
    """

    n_inputs: int
    hidden: tuple[int, ...]
    n_outputs: int
    input_layer: InputLayer | None = None

    @classmethod
    def of(cls, input_layer: InputLayer, hidden: tuple[int, ...], n_outputs: int) -> Shape:
        """Return the shape of a network with this input layer."""
        return cls(
            input_layer.n_inputs, hidden, n_outputs, input_layer if input_layer.embeds else None
        )

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.hidden)


class TensorSpan(NamedTuple):
    """The position of one tensor in a flat row: `rows × columns` numbers from `start` on."""

    start: int
    rows: int
    columns: int


class Layout:
    """Positions of all tensors of a network in its two flat rows.

    Keys are (kind, layer), where layer is `INPUT` for the input side, 0 … depth − 1 for hidden
    layers, and 0 for "output_kernel" and "output_bias".

    `parameters` are trained: "kernel" `[I, O]`, "bias", "gamma", "beta" and "mix" (of a parametric
    activation) `[1, O]`, "slope" `[1, 1]`, the inputs' "scale" `[1, I]` and the tensors of
    embeddings (`InputLayer.entries`). `statistics` are the moving "mean" and "variance" of batch
    norm, `[1, O]`, and the bins of a piecewise linear embedding.

    Args:
        shape: sizes of the network; for a fleet the largest of each.
        last: number of inputs of the output layer; None for the width of the last hidden layer.
    """

    def __init__(self, shape: Shape, last: int | None = None) -> None:
        self.shape = shape
        widths = [shape.n_inputs, *shape.hidden]
        self.last = widths[-1] if last is None else last
        kernels = [
            (("kernel", layer), rows, columns)
            for layer, (rows, columns) in enumerate(pairwise(widths))
        ]
        kernels.append((("output_kernel", 0), self.last, shape.n_outputs))
        vectors: list[tuple[Key, int, int]] = [
            ((kind, layer), 1, width)
            for layer, width in enumerate(shape.hidden)
            for kind in ("bias", "gamma", "beta", "mix")
        ]
        vectors += [(("slope", layer), 1, 1) for layer in range(shape.depth)]
        vectors += [((kind, INPUT), 1, shape.n_inputs) for kind in ("gamma", "beta", "scale")]
        vectors.append((("output_bias", 0), 1, shape.n_outputs))
        moving = [
            ((kind, layer), 1, width)
            for layer, width in zip(range(INPUT, shape.depth), widths, strict=True)
            for kind in ("mean", "variance")
        ]
        if shape.input_layer is not None:
            learned, constants = shape.input_layer.entries()
            vectors += learned
            moving += constants
        self.parameters, self.n_parameters = _spans([*kernels, *vectors])
        self.statistics, self.n_statistics = _spans(moving)
        self.n_kernel = sum(rows * columns for _, rows, columns in kernels)

    def views(self, flat: Tensor, *, statistics: bool = False) -> dict[Key, Tensor]:
        """Return every tensor as a view `[K, rows, columns]`.

        Args:
            flat: flat rows, `[K, P]`, or `[K, S]` with `statistics`.
            statistics: whether the rows are statistics, not parameters.
        """
        entries = self.statistics if statistics else self.parameters
        return {
            key: flat[:, start : start + rows * columns].unflatten(1, (rows, columns))
            for key, (start, rows, columns) in entries.items()
        }


def _spans(tensors: Iterable[tuple[Key, int, int]]) -> tuple[dict[Key, TensorSpan], int]:
    entries: dict[Key, TensorSpan] = {}
    start = 0
    for key, rows, columns in tensors:
        entries[key] = TensorSpan(start, rows, columns)
        start += rows * columns
    return entries, start


def fleet_layout(shapes: Sequence[Shape]) -> Layout:
    """Return the smallest layout in which each of `shapes` fits.

    Raises:
        ValueError: if the networks differ in the number of outputs or the kind of input layer, or
            only some of them have hidden layers.
    """
    first = shapes[0]
    if any(shape.n_outputs != first.n_outputs for shape in shapes):
        raise ValueError(f"shapes must have equal numbers of outputs, got {shapes}")
    depth = max(shape.depth for shape in shapes)
    if depth and not all(shape.depth for shape in shapes):
        raise ValueError(f"shapes must all have hidden layers, or none of them, got {shapes}")
    hidden = tuple(
        max(shape.hidden[layer] for shape in shapes if shape.depth > layer)
        for layer in range(depth)
    )
    input_layer = _joint_input_layer(shapes)
    n_inputs = max(shape.n_inputs for shape in shapes)
    last = max(shape.hidden[-1] for shape in shapes) if depth else n_inputs
    return Layout(Shape(n_inputs, hidden, first.n_outputs, input_layer), last)


def _joint_input_layer(shapes: Sequence[Shape]) -> InputLayer | None:
    """Return the smallest input layer for all; they may differ in levels and plain columns only."""
    input_layers = [shape.input_layer for shape in shapes]
    first = input_layers[0]
    if first is None or not all(input_layers):
        if any(input_layers):
            raise ValueError(f"shapes must all have an input layer, or none of them, got {shapes}")
        return None
    real = [input_layer for input_layer in input_layers if input_layer is not None]
    same = {(f.sizes, f.level_width, f.columns.n_numeric, f.columns.n_codes) for f in real}
    if len(same) > 1:
        raise ValueError(f"input layers must have equal sizes, got {input_layers}")
    levels = tuple(
        map(max, zip(*(input_layer.columns.levels for input_layer in real), strict=True))
    )
    n_plain = max(input_layer.columns.n_plain for input_layer in real)
    columns = Columns(first.columns.n_numeric, levels, n_plain)
    return InputLayer(columns, first.sizes, first.level_width)


def pack(
    rows: Sequence[Tensor], layouts: Sequence[Layout], fleet: Layout, *, statistics: bool = False
) -> Tensor:
    """Stack the flat rows of single networks into the padded rows of a fleet, `[K, P]`.

    Args:
        rows: K flat rows, `[P_k]` each.
        layouts: the layouts of the networks.
        fleet: the layout of the fleet.
        statistics: whether the rows are statistics, not parameters.
    """
    size = fleet.n_statistics if statistics else fleet.n_parameters
    stacked = rows[0].new_zeros(len(rows), size)
    if statistics:
        # The variance of a padded unit is 1, because a variance of 0 gives an infinite scale.
        for key, view in fleet.views(stacked, statistics=True).items():
            if key[0] in ("variance", "bin_width"):
                view.fill_(1.0)
    fleet_views = fleet.views(stacked, statistics=statistics)
    for k, (row, layout) in enumerate(zip(rows, layouts, strict=True)):
        if layout.shape == fleet.shape and layout.last == fleet.last:
            stacked[k] = row
            continue
        for key, view in layout.views(row.unsqueeze(0), statistics=statistics).items():
            fleet_views[key][k, : view.shape[1], : view.shape[2]] = view[0]
    return stacked


def unpack(row: Tensor, layout: Layout, fleet: Layout, *, statistics: bool = False) -> Tensor:
    """Return the flat row `[P_k]` of one network, copied from a padded row of a fleet.

    Args:
        row: padded row, `[P]`.
        layout: the layout of the network.
        fleet: the layout of the fleet.
        statistics: whether the row contains statistics, not parameters.
    """
    if layout.shape == fleet.shape and layout.last == fleet.last:
        return row.clone()
    unpadded = row.new_empty(layout.n_statistics if statistics else layout.n_parameters)
    fleet_views = fleet.views(row.unsqueeze(0), statistics=statistics)
    for key, view in layout.views(unpadded.unsqueeze(0), statistics=statistics).items():
        view[0] = fleet_views[key][0, : view.shape[1], : view.shape[2]]
    return unpadded


def bucket(hidden: Sequence[int]) -> int:
    """Return the padded width class of a network; networks of one class can share a fleet.

    It is the widest layer, rounded up to a power of two and at least 32, so that padding at most
    doubles a width; 0 for a linear model.
    """
    if not hidden:
        return 0
    return max(32, 1 << (max(hidden) - 1).bit_length())
