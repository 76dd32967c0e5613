"""The input layer of K networks: from encoded rows to the inputs of the first hidden layer.

    [numbers | codes | plain] → [embedded numbers | vectors of levels | plain] → times scale

All slots of a fleet have the same kind and sizes of embeddings (`config.network_key`), so only the
plain inputs, which come last, can be padded. The learned values differ between slots. Without
embeddings and scale, the rows are the inputs and the input layer is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from autotrain.network.grouping import SlotGroup
from autotrain.network.layout import BINS, INPUT, Key, Layout
from autotrain.space.config import TrialConfig
from autotrain.techniques.embeddings import EMBEDDINGS, clip_limits
from autotrain.techniques.input_scales import InputScale

_WRITTEN = ("frequency", "phase", "weight", "bias", "slope")


@dataclass(frozen=True)
class BoundInputLayer:
    """The tensors of the input layer, as views into flat rows.

    Args:
        embedding: "frequency", "phase" `[K, D, N]`, "kernel" `[K, D, F, H]`, "bias", "slope"
            `[K, D, H]`; if bound with statistics also the bins, `[K, D, F]` each.
        vectors: vectors of the levels, one `[K, L, E]` for each column of codes.
        scale: factor of each input, `[K, 1, I]`.
    """

    embedding: Mapping[str, Tensor]
    vectors: Sequence[Tensor]
    scale: Tensor


@dataclass
class InputLayerTape:
    """Values that the backward pass needs from the forward pass; None for unused parts.

    Args:
        numbers: x, `[K, D, B]`.
        features: φ(x), `[K, D, B, F]`.
        kept: what the gradient of φ needs.
        embedded: end result for each number, `[K, D, B, H]`.
        codes: indices for `gather`, one `[K, B, E]` for each column of codes.
        unscaled: inputs before the scale, `[K, B, I]`.
    """

    numbers: Tensor | None = None
    features: Tensor | None = None
    kept: Tensor | None = None
    embedded: Tensor | None = None
    codes: list[Tensor] = field(default_factory=list)
    unscaled: Tensor | None = None


class FusedInputLayer:
    """The input layer of a fleet, without weights.

    Args:
        configs: the slots' configurations, in fleet order.
        layout: layout of the fleet.
        scales: slots by row of `INPUT_SCALES`.
    """

    def __init__(
        self, configs: Sequence[TrialConfig], layout: Layout, scales: list[SlotGroup]
    ) -> None:
        self.input_layer = layout.shape.input_layer
        self.row = EMBEDDINGS[configs[0].embedding.name]
        self.scaled = [group.slots for group in scales if cast(InputScale, group.row).scales]
        self.n_slots = len(configs)

    @property
    def is_on(self) -> bool:
        """Whether anything is embedded or scaled."""
        return self.input_layer is not None or bool(self.scaled)

    def bind(
        self, views: Mapping[Key, Tensor], moving: Mapping[Key, Tensor] | None
    ) -> BoundInputLayer:
        """Cut the tensors of the input layer.

        Args:
            views: views `[K, rows, columns]` of the parameters or gradients.
            moving: views of the statistics; None for gradients.
        """
        embedding: dict[str, Tensor] = {}
        input_layer = self.input_layer
        if input_layer is not None and input_layer.sizes is not None:
            sizes, d = input_layer.sizes, input_layer.columns.n_numeric
            for name in _WRITTEN:
                if (f"embedding_{name}", INPUT) in views:
                    embedding[name] = views[f"embedding_{name}", INPUT]
            weight = embedding.pop("weight")
            shape = (weight.shape[0], d, sizes.n_features, sizes.n_linear)
            embedding["kernel"] = weight.unflatten(2, shape[2:])
            if moving is not None and self.row.bins:
                for name in BINS:
                    embedding[name] = moving[f"bin_{name}", INPUT]
                embedding["low"], embedding["high"] = clip_limits(embedding["width"])
        n_codes = 0 if input_layer is None else input_layer.columns.n_codes
        vectors = [views["level_vectors", column] for column in range(n_codes)]
        return BoundInputLayer(embedding, vectors, views["scale", INPUT])

    # ---- forward ---------------------------------------------------------------------------

    def forward(self, bound: BoundInputLayer, x: Tensor) -> tuple[Tensor, InputLayerTape]:
        """Return the inputs `[K, B, I]` for encoded rows x `[K, B, W]`, and the tape."""
        tape = InputLayerTape()
        h = x if self.input_layer is None else self._embed(bound, x, tape)
        if self.scaled:
            tape.unscaled = h
            h = h.clone()
            for slots in self.scaled:
                h[slots] *= bound.scale[slots]
        return h, tape

    def _embed(self, bound: BoundInputLayer, x: Tensor, tape: InputLayerTape) -> Tensor:
        """Return rows `[K, B, W]` with embedded numbers and codes, `[K, B, I]`."""
        assert self.input_layer is not None
        columns = self.input_layer.columns
        d, n_codes = columns.n_numeric, columns.n_codes
        parts = []
        if self.input_layer.sizes is None:
            parts.append(x[..., :d])
        else:
            parts.append(self._embed_numbers(bound.embedding, x[..., :d], tape))
        for column, vectors in enumerate(bound.vectors):
            codes = x[..., d + column].long().unsqueeze(2).expand(-1, -1, vectors.shape[2])
            tape.codes.append(codes)
            parts.append(vectors.gather(1, codes))
        parts.append(x[..., d + n_codes :])
        return torch.cat(parts, dim=2)

    def _embed_numbers(
        self, p: Mapping[str, Tensor], numbers: Tensor, tape: InputLayerTape
    ) -> Tensor:
        """Return numbers `[K, B, D]` as `[K, B, D · n_out]`."""
        assert self.row.features is not None
        x = numbers.transpose(1, 2).contiguous()
        features, kept = self.row.features(x, p)
        out = torch.matmul(features, p["kernel"]).add_(p["bias"].unsqueeze(2))
        if self.row.adds_x:
            out.addcmul_(x.unsqueeze(3), p["slope"].unsqueeze(2))
        if self.row.rectifies:
            out.clamp_(min=0)
        tape.numbers, tape.features, tape.kept, tape.embedded = x, features, kept, out
        if self.row.keeps_x:
            out = torch.cat([x.unsqueeze(3), out], dim=3)
        # [K, D, B, E] → [K, B, D · E].
        return out.transpose(1, 2).flatten(2)

    # ---- backward --------------------------------------------------------------------------

    def backward(
        self, bound: BoundInputLayer, gradients: BoundInputLayer, tape: InputLayerTape, dh: Tensor
    ) -> None:
        """Write the gradients of the input layer's parameters.

        Args:
            bound: the parameters.
            gradients: memory for the gradients.
            tape: from `forward`.
            dh: ∂loss/∂inputs, `[K, B, I]`; overwritten.
        """
        for slots in self.scaled:
            assert tape.unscaled is not None
            torch.sum(dh[slots] * tape.unscaled[slots], 1, keepdim=True, out=gradients.scale[slots])
            dh[slots] *= bound.scale[slots]
        if self.input_layer is None:
            return
        d = self.input_layer.columns.n_numeric
        start = d * (1 if self.input_layer.sizes is None else self.input_layer.sizes.n_out)
        if self.input_layer.sizes is not None:
            self._embed_backward(bound.embedding, gradients.embedding, tape, dh[..., :start])
        for vectors, codes in zip(gradients.vectors, tape.codes, strict=True):
            stop = start + vectors.shape[2]
            vectors.zero_().scatter_add_(1, codes, dh[..., start:stop])
            start = stop

    def _embed_backward(
        self, p: Mapping[str, Tensor], to: Mapping[str, Tensor], tape: InputLayerTape, dh: Tensor
    ) -> None:
        """Write the gradients of the embedding for the gradient dh `[K, B, D · n_out]`."""
        x, features = tape.numbers, tape.features
        assert x is not None
        assert features is not None
        assert tape.embedded is not None
        k, d, b = x.shape
        de = dh.reshape(k, b, d, -1).transpose(1, 2)
        if self.row.keeps_x:
            de = de[..., 1:]
        if self.row.rectifies:
            de = de * (tape.embedded > 0)
        de = de.contiguous()
        to["bias"].copy_(de.sum(2))
        if self.row.adds_x:
            to["slope"].copy_(torch.matmul(x.unsqueeze(2), de).squeeze(2))
        to["kernel"].copy_(torch.matmul(features.transpose(2, 3), de))
        if self.row.gradient is not None:
            d_features = torch.matmul(de, p["kernel"].transpose(2, 3))
            for name, gradient in self.row.gradient(d_features, x, tape.kept, p).items():
                to[name].copy_(gradient)
