"""The forward and backward pass of K multi-layer perceptrons at once, written out.

    rows → [front] → [batch norm] → [dropout]
         → { product → [batch norm] → f → [batch norm] → [dropout] } × L → product → outputs

Every bracket is a run over the slots that use it (see plan.py). Slots are sorted by depth, so layer
l computes on a prefix of the slot axis and a shallow slot's output layer reads its own last
layer. Units that only pad a slot are masked after every layer. The backward pass is the chain
rule layer by layer; it measured 2–3 times faster than autograd on a CPU and gives gradients by
layer for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from autotrain.network import layerwise
from autotrain.network.binding import Bound, BoundLayer, bind_activations, bind_norms
from autotrain.network.config import input_dropout_of, kernel_scales, shape_of
from autotrain.network.dropping import Dropping, Keep, drop
from autotrain.network.grouping import Backend, SlotGroup, network_groups
from autotrain.network.input_layer import FusedInputLayer, InputLayerTape
from autotrain.network.layerwise import LayerTape
from autotrain.network.layout import INPUT, Columns, Layout, fleet_layout
from autotrain.space.config import TrialConfig
from autotrain.techniques.normalization import BATCH_NORMS, BatchNorm, BatchNormCache

FEW_COLUMNS = 16
"""Products of fewer columns are computed as those of few rows, see `layerwise.outputs`."""


@dataclass
class Tape:
    """What a backward pass needs of its forward pass."""

    input_layer: InputLayerTape | None = None
    input_norm: list[BatchNormCache | None] = field(default_factory=list)
    input_scale: Tensor | None = None
    layers: list[LayerTape] = field(default_factory=list)
    last: Tensor = field(init=False)
    output_kernel: Tensor = field(init=False)


class FusedNetwork:
    """K networks with one padded layout; holds no weights.

    Args:
        configs: the slots' configurations, already in fleet order (`plan.order_key`).
        columns: of the rows that each slot reads, or all; a number for so many plain ones.
        n_outputs: of all.
        numbers: dtype and device.
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        columns: int | Columns | Sequence[Columns],
        n_outputs: int,
        backend: Backend,
    ) -> None:
        self.n_slots = len(configs)
        if isinstance(columns, int):
            columns = Columns.plain(columns)
        each = [columns] * self.n_slots if isinstance(columns, Columns) else columns
        self.shapes = [shape_of(c, own, n_outputs) for own, c in zip(each, configs, strict=True)]
        self.width = max(own.width for own in each)
        """Columns of the rows that the fleet reads."""
        sizes = None if self.shapes[0].input_layer is None else self.shapes[0].input_layer.sizes
        features = 0 if sizes is None else each[0].n_numeric * max(sizes.n_features, sizes.n_out)
        self.widest = max(features, *(max(shape.hidden, default=1) for shape in self.shapes), 1)
        """Numbers that the widest of its tensors has a row."""
        self.layouts = [Layout(shape) for shape in self.shapes]
        self.layout = fleet_layout(self.shapes)
        self.depth = self.layout.shape.depth
        # Slots that reach hidden layer l: a prefix, because the deepest stand first.
        self.reach = [
            sum(shape.depth > layer for shape in self.shapes) for layer in range(self.depth + 1)
        ]
        self.backend = backend
        groups = network_groups(configs, backend)
        self.input_layer = FusedInputLayer(configs, self.layout, groups.input_scale)
        self.input_norm = groups.input_norm
        self.groups = groups
        self.activation = [self._reaching(groups.activation, layer) for layer in range(self.depth)]
        self.batch_norm = [self._reaching(groups.batch_norm, layer) for layer in range(self.depth)]
        self.drop_by(None)
        self.scales = self._kernel_scales(configs)
        self.real = [
            self._real_units([shape.hidden[layer] for shape in self.shapes[: self.reach[layer]]])
            for layer in range(self.depth)
        ]
        self.real_inputs = self._real_units([shape.n_inputs for shape in self.shapes])
        normalizes_inputs = any(cast(BatchNorm, group.row).before for group in self.input_norm)
        self.learns_inputs = normalizes_inputs or self.input_layer.is_on
        self.input_shift = self._input_shift(configs)

    def drop_by(self, factors: Tensor | None) -> None:
        """Set the dropout rates: the configurations' times `factors` `[K, 1, 1]`; None for 1."""
        backend, groups = self.backend, self.groups
        self.input_dropout = Dropping.of(groups.input_dropout, backend, factors)
        self.dropout = [
            Dropping.of(self._reaching(groups.dropout, layer), backend, factors)
            for layer in range(self.depth)
        ]

    def _kernel_scales(self, configs: Sequence[TrialConfig]) -> list[Tensor | None]:
        """Return s of z = h (s V) + b by layer, `[K_l, 1, 1]`; None where it is 1 for all."""
        each = [kernel_scales(c, shape) for c, shape in zip(configs, self.shapes, strict=True)]
        # The output layer's is each slot's own last; those of layer l belong to a prefix.
        columns = [[own[layer] for own in each[: self.reach[layer]]] for layer in range(self.depth)]
        columns.append([own[-1] for own in each])
        return [
            None if set(column) == {1.0} else self.backend.column(column, 3) for column in columns
        ]

    def _reaching(self, groups: list[SlotGroup], layer: int) -> list[SlotGroup]:
        parts = (group.within(self.reach[layer]) for group in groups)
        return [part for part in parts if part is not None]

    def _real_units(self, widths: list[int]) -> Tensor | None:
        """Return 1 for real and 0 for padded units `[K_l, 1, H_l]`; None when none is padded."""
        full = max(widths)
        if min(widths) == full:
            return None
        column = torch.arange(full, device=self.backend.device)
        real = column < torch.tensor(widths, device=self.backend.device).view(-1, 1, 1)
        return real.to(self.backend.dtype)

    def _input_shift(self, configs: Sequence[TrialConfig]) -> Tensor | None:
        """Return 1 for slots whose inputs' β has an effect `[K, 1, 1]`; None when all have.

        Straight before a product with batch norm it has none, like a bias: see
        `layerwise.bias_gradient`.
        """
        matters = [
            not (
                c.hidden_units
                and BATCH_NORMS[c.batch_norm.name].before
                and input_dropout_of(c).name == "none"
            )
            for c in configs
        ]
        return None if all(matters) else self.backend.column(matters, 3)

    def bind(self, parameters: Tensor, statistics: Tensor | None = None) -> Bound:
        """Cut flat rows `[K, P]` (and `[K, S]`) into what the passes need; see binding.py.

        The rows of gradients are bound in the same way, without statistics.
        """
        compiled = self.backend.compiled
        views = self.layout.views(parameters)
        moving = None if statistics is None else self.layout.views(statistics, statistics=True)
        layers = []
        for layer in range(self.depth):
            activations = bind_activations(self.activation[layer], layer, views, compiled)
            layers.append(
                BoundLayer(
                    views["kernel", layer][: self.reach[layer]],
                    self.scales[layer],
                    views["bias", layer][: self.reach[layer]],
                    bind_norms(self.batch_norm[layer], "before", layer, views, moving, compiled),
                    activations,
                    bind_norms(self.batch_norm[layer], "after", layer, views, moving, compiled),
                    any(activation.needs_z for activation in activations),
                )
            )
        return Bound(
            self.input_layer.bind(views, moving),
            bind_norms(self.input_norm, "before", INPUT, views, moving, compiled),
            layers,
            views["output_kernel", 0],
            self.scales[-1],
            views["output_bias", 0],
        )

    # ---- forward ---------------------------------------------------------------------------

    def forward(
        self, bound: Bound, x: Tensor, keep: Keep, *, updating: bool = True
    ) -> tuple[Tensor, Tape]:
        """Run the training pass: batch statistics, dropout on, moving averages updated.

        Args:
            bound: parameters and statistics.
            x: rows `[K, B, W]`; left as they are.
            keep: keep-masks of the layers that have a slot with dropout, `[K, B, H]` float;
                overwritten.
            updating: whether moving statistics move; False leaves them untouched.
        Returns: outputs `[K, B, C]` and the tape for `backward`.
        """
        # What is not needed again is overwritten: a step is as fast as its tensors fit the cache.
        tape = Tape()
        h = x
        if self.input_layer.is_on:
            h, tape.input_layer = self.input_layer.forward(bound.input_layer, x)
        h, tape.input_norm = layerwise.normalize(bound.input_norm, h, updating)
        h, tape.input_scale = drop(self.input_dropout, h, keep.get(INPUT), self.real_inputs)
        inputs = h
        endings = []
        for layer, at in enumerate(bound.layers):
            if h.shape[0] != self.reach[layer]:
                h = h[: self.reach[layer]]
            tape.layers.append(record := LayerTape(h, layerwise.scaled(at.kernel, at.scale)))
            z = torch.baddbmm(at.bias, h, record.kernel)
            z, record.before = layerwise.normalize(at.before, z, updating, in_place=True)
            record.z, record.a = z, layerwise.activate(at, z)
            h, record.after = layerwise.normalize(at.after, record.a, updating)
            h, record.scale = drop(self.dropout[layer], h, keep.get(layer), self.real[layer])
            endings.append(h)
        tape.last = self._last(endings, inputs)
        tape.output_kernel = layerwise.scaled(bound.output_kernel, bound.output_scale)
        return layerwise.outputs(tape.output_kernel, bound.output_bias, tape.last), tape

    def predict(self, bound: Bound, x: Tensor, keep: Keep | None = None) -> Tensor:
        """Run the predicting pass: moving statistics, dropout off unless masks are given.

        Args:
            bound: parameters and statistics.
            x: `[K, B, W]`; may be one set of rows expanded over K.
            keep: keep-masks for Monte-Carlo dropout, `[K, B, H]` or `[K, 1, H]`.
        Returns: outputs `[K, B, C]`.
        """
        return self._predict(bound, x, keep or {})[0]

    def hidden_outputs(self, bound: Bound, x: Tensor) -> list[Tensor]:
        """Return every hidden layer's activations f(z) `[K_l, B, H]`, dropout off."""
        return self._predict(bound, x, {})[1]

    def hidden_slopes(self, bound: Bound, x: Tensor) -> list[Tensor]:
        """Return f′(z) of every hidden layer's units `[K_l, B, H]`, dropout off."""
        h, slopes = self._inputs(bound, x), []
        for layer, at in enumerate(bound.layers):
            kernel = layerwise.scaled(at.kernel, at.scale)
            z = torch.baddbmm(at.bias, h[: self.reach[layer]], kernel)
            z = layerwise.normalize_by_moving(at.before, z)
            slopes.append(
                layerwise.whole(
                    [
                        group.derivative(layerwise.part_of(z, group, at.activation))
                        for group in at.activation
                    ]
                )
            )
            h = self._through(bound, layer, layerwise.activate(at, z))
        return slopes

    def pre_activations(self, bound: Bound, x: Tensor, layer: int) -> Tensor:
        """Return h (s V) of one layer `[K, B, H]`, or of the output layer when `layer` is L.

        As in `predict`, dropout off, without this layer's own bias; all slots must reach it.
        """
        outputs, activations = self._predict(bound, x, {})
        if layer == self.depth:
            return outputs - bound.output_bias
        at = bound.layers[layer]
        if layer:
            h = self._through(bound, layer - 1, activations[layer - 1])
        else:
            h = self._inputs(bound, x)
        return torch.bmm(h[: self.reach[layer]], layerwise.scaled(at.kernel, at.scale))

    def input_layer_outputs(self, bound: Bound, x: Tensor) -> Tensor:
        """Return the front's output for rows, `[K, B, I]`: the input of an input batch norm."""
        return self.input_layer.forward(bound.input_layer, x)[0] if self.input_layer.is_on else x

    def _inputs(self, bound: Bound, x: Tensor) -> Tensor:
        """Return what the first layers read of rows, dropout off."""
        h = self.input_layer_outputs(bound, x)
        if any(norm.is_on for norm in bound.input_norm):
            h = layerwise.normalize_by_moving(bound.input_norm, h.clone())
        return h

    @staticmethod
    def _through(bound: Bound, layer: int, a: Tensor) -> Tensor:
        """Return what the layer above reads of activations, dropout off."""
        after = bound.layers[layer].after
        return (
            layerwise.normalize_by_moving(after, a.clone())
            if any(norm.is_on for norm in after)
            else a
        )

    def before_dropout(self, bound: Bound, x: Tensor, layer: int) -> Tensor:
        """Return what the dropout of a place is applied to, `[K, B, H]`; nothing dropped before.

        Args:
            x: rows `[K, B, W]`.
            layer: `INPUT` or a hidden layer that all slots reach.
        """
        h = self._inputs(bound, x)
        for place in range(layer + 1):
            h = self._through(bound, place, self._activations(bound, h, place))
        return h

    def predict_on(self, bound: Bound, h: Tensor, layer: int, keep: Keep) -> Tensor:
        """Return outputs `[K, B, C]` from what `before_dropout` returned, as `predict` does.

        Args:
            h: `[K, B, H]`; may be one slot's expanded over K.
            layer: the place that it stands before; all slots must be of one depth.
            keep: masks of this place and of those that follow.
        """
        h = self._drop(h, layer, keep)
        for place in range(layer + 1, self.depth):
            h = self._through(bound, place, self._activations(bound, h, place))
            h = self._drop(h, place, keep)
        return layerwise.outputs(
            layerwise.scaled(bound.output_kernel, bound.output_scale), bound.output_bias, h
        )

    def _predict(self, bound: Bound, x: Tensor, keep: Keep) -> tuple[Tensor, list[Tensor]]:
        inputs = h = self._drop(self._inputs(bound, x), INPUT, keep)
        endings, activations = [], []
        for layer in range(self.depth):
            activations.append(self._activations(bound, h, layer))
            h = self._drop(self._through(bound, layer, activations[-1]), layer, keep)
            endings.append(h)
        kernel = layerwise.scaled(bound.output_kernel, bound.output_scale)
        return layerwise.outputs(
            kernel, bound.output_bias, self._last(endings, inputs)
        ), activations

    def _activations(self, bound: Bound, h: Tensor, layer: int) -> Tensor:
        """Return f(z) of a hidden layer that reads h, `[K_l, B, H]`."""
        at, h = bound.layers[layer], h[: self.reach[layer]]
        kernel = layerwise.scaled(at.kernel, at.scale)
        if kernel.shape[2] < FEW_COLUMNS:
            # There a row's rounding depends on where it stands.
            z = layerwise.outputs(kernel, at.bias, h).contiguous()
        else:
            z = torch.baddbmm(at.bias, h, kernel)
        return layerwise.activate(at, layerwise.normalize_by_moving(at.before, z))

    def _drop(self, h: Tensor, layer: int, keep: Keep) -> Tensor:
        """Apply the masks of a place, where there are any."""
        dropping = self.input_dropout if layer == INPUT else self.dropout[layer]
        if dropping is None or layer not in keep:
            # Units that only pad need no mask here: the kernels that read them are 0.
            return h
        real = self.real_inputs if layer == INPUT else self.real[layer]
        return dropping.apply(h, keep[layer], real)[0]

    def _last(self, endings: list[Tensor], inputs: Tensor) -> Tensor:
        """Return what each slot's output layer reads, `[K, B, last]`."""
        if not endings:
            return inputs
        if self.reach[self.depth - 1] == self.n_slots:
            return endings[-1]
        last = inputs.new_zeros(self.n_slots, inputs.shape[1], self.layout.last)
        for layer, h in enumerate(endings):
            ending = slice(self.reach[layer + 1], self.reach[layer])
            last[ending, :, : h.shape[2]] = h[ending][:, :, : self.layout.last]
        return last

    # ---- backward --------------------------------------------------------------------------

    def backward(self, bound: Bound, gradients: Bound, tape: Tape, d_outputs: Tensor) -> None:
        """Write ∂loss/∂parameters into `gradients`, by the chain rule.

        Entries that a slot does not use are left as they are: they must be 0 and stay 0.

        Args:
            bound: the parameters.
            gradients: a flat row like theirs, bound.
            d_outputs: ∂loss/∂outputs `[K, B, C]`.
        """
        # As in `layerwise.outputs`: the few outputs first.
        kernel_gradient = torch.bmm(d_outputs.transpose(1, 2), tape.last)
        gradients.output_kernel.copy_(kernel_gradient.transpose(1, 2))
        if bound.output_scale is not None:
            gradients.output_kernel.mul_(bound.output_scale)
        torch.sum(d_outputs, 1, keepdim=True, out=gradients.output_bias)
        d_last = torch.bmm(d_outputs, tape.output_kernel.transpose(1, 2))
        dh: Tensor | None = None
        for layer in reversed(range(self.depth)):
            at, to, record = bound.layers[layer], gradients.layers[layer], tape.layers[layer]
            dh = self._join(layer, dh, d_last)
            # From here to dz each function writes over what it is given.
            if record.scale is not None:
                dh *= record.scale
            layerwise.normalize_backward(at.after, to.after, record.after, dh)
            layerwise.activate_backward(at, to, record, dh)
            layerwise.normalize_backward(at.before, to.before, record.before, dh)
            dz = dh
            torch.bmm(record.x.transpose(1, 2), dz, out=to.kernel)
            if at.scale is not None:
                to.kernel.mul_(at.scale)
            layerwise.bias_gradient(to, dz)
            if layer or self.learns_inputs:
                dh = torch.bmm(dz, record.kernel.transpose(1, 2))
        if self.learns_inputs:
            dh = d_last if dh is None else dh
            if tape.input_scale is not None:
                dh *= tape.input_scale
            layerwise.normalize_backward(
                bound.input_norm, gradients.input_norm, tape.input_norm, dh
            )
            if self.input_shift is not None:
                for norm in gradients.input_norm:
                    norm.beta.mul_(self.input_shift[norm.slots])
            if tape.input_layer is not None:
                self.input_layer.backward(
                    bound.input_layer, gradients.input_layer, tape.input_layer, dh
                )

    def _join(self, layer: int, from_above: Tensor | None, d_last: Tensor) -> Tensor:
        """Return ∂loss/∂h of a layer: from the layer above, or from the output layer."""
        ends, width = self.reach[layer + 1], self.layout.shape.hidden[layer]
        if from_above is not None and ends == self.reach[layer]:
            return from_above
        from_output = d_last[ends : self.reach[layer], :, :width]
        if width > from_output.shape[2]:
            # Wider than any last layer: what stands beyond is padding, whose gradient is 0.
            from_output = torch.nn.functional.pad(from_output, (0, width - from_output.shape[2]))
        return from_output if from_above is None else torch.cat([from_above, from_output])
