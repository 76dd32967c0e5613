"""The forward and backward pass of K multi-layer perceptrons, written out.

    rows → [input layer] → [batch norm] → [dropout]
         → { product → [batch norm] → f → [batch norm] → [dropout] } × L → product → outputs

Everything in brackets is computed for the groups of slots that use it (see grouping.py). Slots are
sorted by depth, so layer l computes on a prefix of the slot axis, and the output layer of a shallow
slot reads the slot's own last layer. Padded units are masked after every layer. The backward pass
is the chain rule, layer by layer. On a CPU it was 2 to 3 times as fast as autograd, and it gives
the gradient of each layer without extra work.

`predictor/plain.py` has the forward pass a second time, as a `torch.nn.Module` of one model that
`torch.export` can trace. Tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from autotrain.data.codes import Columns
from autotrain.network import layerwise
from autotrain.network.binding import Bound, BoundLayer, bind_activations, bind_norms
from autotrain.network.config import input_dropout_of, kernel_scales, shape_of
from autotrain.network.dropping import Dropping, Keep, drop
from autotrain.network.grouping import Backend, SlotGroup, network_groups
from autotrain.network.input_layer import FusedInputLayer, InputLayerTape
from autotrain.network.layerwise import LayerTape
from autotrain.network.layout import INPUT, Layout, fleet_layout
from autotrain.space.config import TrialConfig
from autotrain.techniques.normalization import BATCH_NORMS, BatchNorm, BatchNormCache

FEW_COLUMNS = 16
"""Products with fewer columns are computed transposed, see `layerwise.outputs`."""


@dataclass
class Tape:
    """Values that a backward pass needs from its forward pass.

    Args:
        input_layer: tape of the input layer; None without one.
        input_norm: caches of the inputs' batch norm, by group.
        input_scale: derivative of the inputs' dropout, `[K, B, I]`; None for 1.
        layers: tapes of the hidden layers.
        last: inputs of the output layers, `[K, B, last]`.
        output_kernel: weights of the output layers, `[K, last, C]`.
    """

    input_layer: InputLayerTape | None = None
    input_norm: list[BatchNormCache | None] = field(default_factory=list)
    input_scale: Tensor | None = None
    layers: list[LayerTape] = field(default_factory=list)
    last: Tensor = field(init=False)
    output_kernel: Tensor = field(init=False)


class FusedNetwork:
    """K networks with one padded layout, without weights.

    Args:
        configs: the slots' configurations, sorted by `grouping.order_key`.
        columns: columns of the rows that each slot reads, or of all slots; a number n stands for n
            plain columns.
        n_outputs: number of outputs of every network.
        backend: device, dtype and compiled kernels.
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
        by_slot = [columns] * self.n_slots if isinstance(columns, Columns) else columns
        self.shapes = [
            shape_of(c, of_c, n_outputs) for of_c, c in zip(by_slot, configs, strict=True)
        ]
        self.width = max(of_c.width for of_c in by_slot)
        """Number of columns of the rows that the fleet reads."""
        sizes = None if self.shapes[0].input_layer is None else self.shapes[0].input_layer.sizes
        features = 0 if sizes is None else by_slot[0].n_numeric * max(sizes.n_features, sizes.n_out)
        self.widest = max(features, *(max(shape.hidden, default=1) for shape in self.shapes), 1)
        """Largest number of values that any tensor has per row."""
        self.layouts = [Layout(shape) for shape in self.shapes]
        self.layout = fleet_layout(self.shapes)
        self.depth = self.layout.shape.depth
        # Number of slots that reach hidden layer l; a prefix, because the deepest slots come first.
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
        """Set the dropout rates to those of the configurations, times factors.

        Args:
            factors: `[K, 1, 1]`; None for 1.
        """
        backend, groups = self.backend, self.groups
        self.input_dropout = Dropping.of(groups.input_dropout, backend, factors)
        self.dropout = [
            Dropping.of(self._reaching(groups.dropout, layer), backend, factors)
            for layer in range(self.depth)
        ]

    def _kernel_scales(self, configs: Sequence[TrialConfig]) -> list[Tensor | None]:
        """Return s of z = h (s V) + b by layer, `[K_l, 1, 1]` each; None for 1 in all slots."""
        by_slot = [kernel_scales(c, shape) for c, shape in zip(configs, self.shapes, strict=True)]
        # Layer l has the scales of a prefix of the slots; the output layer has one for each slot.
        columns = [[s[layer] for s in by_slot[: self.reach[layer]]] for layer in range(self.depth)]
        columns.append([s[-1] for s in by_slot])
        return [
            None if set(column) == {1.0} else self.backend.column(column, 3) for column in columns
        ]

    def _reaching(self, groups: list[SlotGroup], layer: int) -> list[SlotGroup]:
        parts = (group.within(self.reach[layer]) for group in groups)
        return [part for part in parts if part is not None]

    def _real_units(self, widths: list[int]) -> Tensor | None:
        """Return 1 for real and 0 for padded units, `[K_l, 1, H_l]`; None if no unit is padded."""
        full = max(widths)
        if min(widths) == full:
            return None
        column = torch.arange(full, device=self.backend.device)
        real = column < torch.tensor(widths, device=self.backend.device).view(-1, 1, 1)
        return real.to(self.backend.dtype)

    def _input_shift(self, configs: Sequence[TrialConfig]) -> Tensor | None:
        """Return 1 for slots whose input β has an effect, else 0, `[K, 1, 1]`; None for all 1.

        Like a bias, it has no effect if batch norm follows the next product directly, see
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
        """Cut flat rows into the tensors that the passes need; see binding.py.

        Args:
            parameters: `[K, P]`; or gradients, without statistics.
            statistics: `[K, S]`; None for gradients.
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
        """Run the training pass, with batch statistics and dropout.

        Args:
            bound: parameters and statistics.
            x: encoded rows, `[K, B, W]`; not changed.
            keep: keep-masks of all layers that have a slot with dropout, `[K, B, H]` float;
                overwritten.
            updating: whether to update the moving statistics.
        Returns: outputs `[K, B, C]` and the tape for `backward`.
        """
        # Tensors are overwritten as soon as possible: a step is fast if its tensors fit the cache.
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
        """Return the outputs `[K, B, C]` in prediction, with moving statistics.

        Args:
            bound: parameters and statistics.
            x: encoded rows, `[K, B, W]`; may be one set of rows expanded over K.
            keep: keep-masks for Monte-Carlo dropout, `[K, B, H]` or `[K, 1, H]`; None for no
                dropout.
        """
        return self._predict(bound, x, keep or {})[0]

    def hidden_outputs(self, bound: Bound, x: Tensor) -> list[Tensor]:
        """Return f(z) of every hidden layer, `[K_l, B, H]` each, without dropout; x `[K, B, W]`."""
        return self._predict(bound, x, {})[1]

    def hidden_slopes(self, bound: Bound, x: Tensor) -> list[Tensor]:
        """Return f(z) of every hidden layer, `[K_l, B, H]` each; x `[K, B, W]`, no dropout."""
        h, slopes = self.inputs(bound, x), []
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
        """Return h (s V) of one layer, without its bias, `[K, B, H]`.

        Args:
            bound: parameters and statistics.
            x: encoded rows, `[K, B, W]`; the pass is that of `predict`, without dropout.
            layer: a hidden layer that all slots reach, or L for the output layer.
        """
        outputs, activations = self._predict(bound, x, {})
        if layer == self.depth:
            return outputs - bound.output_bias
        at = bound.layers[layer]
        if layer:
            h = self._through(bound, layer - 1, activations[layer - 1])
        else:
            h = self.inputs(bound, x)
        return torch.bmm(h[: self.reach[layer]], layerwise.scaled(at.kernel, at.scale))

    def input_layer_outputs(self, bound: Bound, x: Tensor) -> Tensor:
        """Return the inputs `[K, B, I]` of x `[K, B, W]`, before batch norm of the inputs."""
        return self.input_layer.forward(bound.input_layer, x)[0] if self.input_layer.is_on else x

    def inputs(self, bound: Bound, x: Tensor) -> Tensor:
        """Return the inputs `[K, B, I]` of the first layers, without dropout; x `[K, B, W]`."""
        h = self.input_layer_outputs(bound, x)
        if any(norm.is_on for norm in bound.input_norm):
            h = layerwise.normalize_by_moving(bound.input_norm, h.clone())
        return h

    @staticmethod
    def _through(bound: Bound, layer: int, a: Tensor) -> Tensor:
        """Return the inputs `[K_l, B, H]` of the next layer, without dropout; a `[K_l, B, H]`."""
        after = bound.layers[layer].after
        return (
            layerwise.normalize_by_moving(after, a.clone())
            if any(norm.is_on for norm in after)
            else a
        )

    def first_kernel(self, bound: Bound) -> Tensor:
        """Return the weights of the first product, `[K, I, H]`, or `[K, I, C]` at depth 0.

        All slots must have the same depth.
        """
        if not self.depth:
            return layerwise.scaled(bound.output_kernel, bound.output_scale)
        return layerwise.scaled(bound.layers[0].kernel, bound.layers[0].scale)

    def first_product(self, bound: Bound, inputs: Tensor) -> Tensor:
        """Return the first product, of `inputs` `[K, B, I]` and `first_kernel`, plus the bias."""
        bias = bound.layers[0].bias if self.depth else bound.output_bias
        return self._product(self.first_kernel(bound), bias, inputs)

    def after_first_product(self, bound: Bound, z: Tensor) -> Tensor:
        """Return the outputs `[K, B, C]` of `predict`, starting from the first product.

        Args:
            bound: parameters and statistics.
            z: result of `first_product`, `[K, B, H]`; overwritten.
        """
        if not self.depth:
            return z
        at = bound.layers[0]
        a = layerwise.activate(at, layerwise.normalize_by_moving(at.before, z))
        return self.predict_on(bound, self._through(bound, 0, a), 0, {})

    def before_dropout(self, bound: Bound, x: Tensor, layer: int) -> Tensor:
        """Return the units `[K, B, H]` of one layer before its dropout, without dropout below it.

        Args:
            bound: parameters and statistics.
            x: encoded rows, `[K, B, W]`.
            layer: `INPUT` or a hidden layer that all slots reach.
        """
        h = self.inputs(bound, x)
        for below in range(layer + 1):
            h = self._through(bound, below, self._activations(bound, h, below))
        return h

    def predict_on(self, bound: Bound, h: Tensor, layer: int, keep: Keep) -> Tensor:
        """Return the outputs `[K, B, C]` of `predict`, starting from one layer.

        Args:
            bound: parameters and statistics.
            h: result of `before_dropout`, `[K, B, H]`; may be one slot's, expanded over K.
            layer: the layer of `h`; all slots must have the same depth.
            keep: keep-masks of this layer and of all above it.
        """
        h = self._drop(h, layer, keep)
        for above in range(layer + 1, self.depth):
            h = self._through(bound, above, self._activations(bound, h, above))
            h = self._drop(h, above, keep)
        return layerwise.outputs(
            layerwise.scaled(bound.output_kernel, bound.output_scale), bound.output_bias, h
        )

    def _predict(self, bound: Bound, x: Tensor, keep: Keep) -> tuple[Tensor, list[Tensor]]:
        """Return outputs `[K, B, C]` of rows `[K, B, W]`, and f(z) `[K_l, B, H]` by layer."""
        inputs = h = self._drop(self.inputs(bound, x), INPUT, keep)
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
        """Return f(z) of a hidden layer, `[K_l, B, H]`; h `[K, B, I]` are its inputs."""
        at, h = bound.layers[layer], h[: self.reach[layer]]
        z = self._product(layerwise.scaled(at.kernel, at.scale), at.bias, h)
        return layerwise.activate(at, layerwise.normalize_by_moving(at.before, z))

    @staticmethod
    def _product(kernel: Tensor, bias: Tensor, h: Tensor) -> Tensor:
        """Return h W + b `[K, B, O]` of a kernel W `[K, I, O]` and a bias b `[K, 1, O]`."""
        if kernel.shape[2] < FEW_COLUMNS:
            # With few columns, the rounding of baddbmm depends on a row's position in the batch.
            return layerwise.outputs(kernel, bias, h).contiguous()
        return torch.baddbmm(bias, h, kernel)

    def _drop(self, h: Tensor, layer: int, keep: Keep) -> Tensor:
        """Return h `[K, B, H]` after the dropout of a layer, if `keep` has a mask for it."""
        dropping = self.input_dropout if layer == INPUT else self.dropout[layer]
        if dropping is None or layer not in keep:
            # Padded units need no mask here, because the weights that read them are 0.
            return h
        real = self.real_inputs if layer == INPUT else self.real[layer]
        return dropping.apply(h, keep[layer], real)[0]

    def _last(self, endings: list[Tensor], inputs: Tensor) -> Tensor:
        """Return the inputs of the output layers, `[K, B, last]`.

        Args:
            endings: outputs of each hidden layer, `[K_l, B, H]`.
            inputs: inputs of the networks, `[K, B, I]`.
        """
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
        """Write ∂loss/∂parameters by the chain rule.

        Args:
            bound: the parameters.
            gradients: memory for the gradients. Entries that a slot does not use are not written,
                so they must be 0.
            tape: from `forward`.
            d_outputs: ∂loss/∂outputs, `[K, B, C]`.
        """
        # Transposed, as in `layerwise.outputs`: a product with few rows is faster.
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
            # From here to dz, every function overwrites its argument.
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
        """Return ∂loss/∂h of a layer's outputs, `[K_l, B, H]`.

        Args:
            layer: number of the hidden layer.
            from_above: gradient from the next hidden layer, for the slots that reach it.
            d_last: gradient from the output layer, `[K, B, last]`, for the slots that end here.
        """
        ends, width = self.reach[layer + 1], self.layout.shape.hidden[layer]
        if from_above is not None and ends == self.reach[layer]:
            return from_above
        from_output = d_last[ends : self.reach[layer], :, :width]
        if width > from_output.shape[2]:
            # The layer is wider than any last layer; the rest is padding, whose gradient is 0.
            from_output = torch.nn.functional.pad(from_output, (0, width - from_output.shape[2]))
        return from_output if from_above is None else torch.cat([from_above, from_output])
