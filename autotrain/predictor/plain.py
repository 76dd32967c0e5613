"""A bundle as one plain `torch.nn.Module` of torch's own operations, from raw cells to predictions.

    module = predictor.to_torch()                 # dropout off
    module = predictor.to_torch(n_samples=100)    # Monte-Carlo, the mask bank inside
    module = predictor.to_torch(logits=True)      # logits, whose softmax are the probabilities
    module(*predictor.raw_inputs(table))
    module.train()                                # each row has its own dropout masks

    numbers [N, P], codes [N, Q] → encoding of each member → networks of the members → their mean

The forward pass and dropout are written a second time here: the fused network
(`network/network.py`, `network/dropping.py`) is faster, but `torch.export` cannot trace it. Tests
compare the two. In training mode it draws new masks for each row and call from torch's
random numbers: to train it further, or for samples whose rows have different masks. Batch norm
always uses its moving statistics.

Inputs are two tensors. Numbers are the cells of numeric columns (NaN where missing) and the parts
of dates. Codes are, for each text column, the index of the level in `levels`, −1 for unseen
categories. Missing cells are a level where training had some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autotrain.bundle import Bundle, Member
from autotrain.data.codes import ColumnCode, with_spellings
from autotrain.data.preprocessing import FILL, Preprocessor
from autotrain.errors import AutotrainError
from autotrain.network.config import (
    dropout_of,
    dropout_sites,
    input_dropout_of,
    kernel_scales,
    shape_of,
)
from autotrain.network.layout import INPUT
from autotrain.network.tensors import to_tensors
from autotrain.predictor.masks import MaskBank
from autotrain.predictor.scaling import SCALINGS
from autotrain.space.config import Choice
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.embeddings import EMBEDDINGS, clip_limits
from autotrain.techniques.normalization import BATCH_NORMS

Levels = dict[str, tuple[str | None, ...]]


def levels_of(preprocessors: Sequence[Preprocessor]) -> Levels:
    """Return the levels that at least one member knows, by text column; None is a missing cell."""
    found: dict[str, dict[str | None, None]] = {}
    for preprocessor in preprocessors:
        for column in preprocessor.columns:
            if not column.is_scaled:
                found.setdefault(column.name, {}).update(dict.fromkeys(column.levels))
    return {name: tuple(levels) for name, levels in found.items()}


class Encode(nn.Module):
    """A member's preprocessing: raw numbers and codes → inputs of its network.

    Args:
        preprocessor: the fitted one.
        levels: levels of each text column, in the order of the codes.
        first: index of this preprocessor's first number.
    """

    def __init__(self, preprocessor: Preprocessor, levels: Levels, first: int) -> None:
        super().__init__()
        scaler = preprocessor.scaler
        self.scaling = SCALINGS[scaler.name]
        self.names = tuple(scaler.arrays)
        for name, array in preprocessor.to_arrays().items():
            self.register_buffer(f"scaler_{name}", torch.from_numpy(array))
        scaled = [column for column in preprocessor.columns if column.is_scaled]
        self.numbers = slice(first, first + sum(column.n_inputs for column in scaled))
        order: list[int] = []
        indicated: list[tuple[int, int]] = []
        place = 0
        for column in scaled:
            start = preprocessor.start_of(column)
            order += range(start, start + column.n_inputs)
            if column.has_missing:
                indicated.append((place, preprocessor.indicator_of(column)))
            place += column.n_inputs
        self.indicated = [place for place, _ in indicated]
        order += [start for _, start in indicated]
        self.tables: list[tuple[int, str]] = []
        for place, (name, known) in enumerate(levels.items()):
            (column,) = (each for each in preprocessor.columns if each.name == name)
            table = _codes_to_inputs(column, known)
            self.register_buffer(f"table_{place}", torch.from_numpy(table))
            self.tables.append((place, f"table_{place}"))
            start = preprocessor.start_of(column)
            order += range(start, start + table.shape[1])
        # Maps the order of the parts to the order of the inputs.
        self.register_buffer("order", torch.tensor(order).argsort())

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return inputs `[N, D]` float32."""
        raw = numbers[:, self.numbers].double()
        missing = torch.isnan(raw)
        filled = torch.where(missing, self.get_buffer(f"scaler_{FILL}"), raw)
        arrays = {name: self.get_buffer(f"scaler_{name}") for name in self.names}
        parts = [self.scaling(filled, arrays).float()]
        if self.indicated:
            parts.append(missing[:, self.indicated].float())
        for place, name in self.tables:
            table = self.get_buffer(name)
            # Unseen categories (−1) use the last row.
            known = torch.where(codes[:, place] < 0, len(table) - 1, codes[:, place])
            parts.append(table[known])
        return torch.cat(parts, dim=1)[:, self.get_buffer("order")]


def _codes_to_inputs(column: ColumnCode, known: Sequence[str | None]) -> np.ndarray:
    """Return the inputs of each level, `[L + 1, inputs]`; the last row is for unseen categories."""
    index_of, other = column.places()
    table = np.zeros((len(known) + 1, column.n_inputs), dtype=np.float32)
    for row, level in enumerate(known):
        index = index_of.get(level, other)
        if column.is_code:
            table[row, 0] = index
        elif index >= 0:
            table[row, index] = 1.0
        elif level in index_of:
            table[row, 0] = -1.0  # the first of two
    if column.is_code:
        table[-1, 0] = other
    elif other >= 0:
        table[-1, other] = 1.0
    return table


class PlainNetwork(nn.Module):
    """A member's network: encoded rows → outputs, a regression's in standardized units.

    Parameters have the names of `model.safetensors`, with `_` instead of dots.

    Args:
        member: the trained member.
        bank: masks of its samples; None: dropout off, except in training mode.
    """

    def __init__(self, member: Member, bank: MaskBank | None) -> None:
        super().__init__()
        self.member_config = config = member.config
        layout = member.layout
        for name, array in to_tensors(config, layout, member.parameters, member.statistics).items():
            tensor = torch.tensor(array)
            if "moving" in name or ".bin_" in name:
                self.register_buffer(_attribute_of(name), tensor)
            else:
                self.register_parameter(_attribute_of(name), nn.Parameter(tensor))
        self.columns = member.columns
        self.depth = len(config.hidden_units)
        self.scales = kernel_scales(config, shape_of(config, member.columns, member.n_outputs))
        self.limits = member.limits
        self.dropping = {layer for layer, _, _ in dropout_sites(config, member.n_inputs)}
        self.has_masks = bank is not None and bool(bank.sites)
        self.n_samples = len(bank) if bank is not None else 0
        if bank is not None and bank.sites:
            for layer, keep in bank.masks(0, len(bank)).items():
                multiply, add = _dropped(self._dropout(layer), keep)
                self.register_buffer(_site("multiply", layer), multiply)
                self.register_buffer(_site("add", layer), add)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `[N, C]` of rows `[N, D]`; with S masks `[S, N, C]`."""
        h = self._input_layer(x)
        if bool(self.member_config.batch_norm["input"]):
            h = self._normalized(h, "input")
        h = self._drop(h, INPUT)
        placement = BATCH_NORMS[self.member_config.batch_norm.name]
        for layer in range(self.depth):
            kernel = self._own(f"hidden.{layer}.kernel") * self.scales[layer]
            z = h @ kernel + self._own(f"hidden.{layer}.bias")
            if placement.before:
                z = self._normalized(z, str(layer))
            h = self._activated(z, layer)
            if placement.after:
                h = self._normalized(h, str(layer))
            h = self._drop(h, layer)
        out = h @ (self._own("output.kernel") * self.scales[-1]) + self._own("output.bias")
        return out if self.limits is None else out.clamp(*self.limits)

    def _own(self, name: str) -> Tensor:
        found: Tensor = getattr(self, _attribute_of(name))
        return found

    def _input_layer(self, x: Tensor) -> Tensor:
        """Return rows `[N, D]` with embedded numbers and codes, `[N, I]`."""
        d, levels = self.columns.n_numeric, self.columns.levels
        embeds = EMBEDDINGS[self.member_config.embedding.name].sizes is not None and d > 0
        parts = [self._embedded(x[:, :d]) if embeds else x[:, :d]]
        for place in range(len(levels)):
            vectors = self._own(f"input_layer.level_vectors.{place}")
            parts.append(vectors[x[:, d + place].long()])
        parts.append(x[:, d + len(levels) :])
        h = torch.cat(parts, dim=1)
        return h * self._own("input_layer.scale") if hasattr(self, "input_layer_scale") else h

    def _embedded(self, numbers: Tensor) -> Tensor:
        """Return numbers `[N, D]` as `[N, D · n_out]`."""
        row = EMBEDDINGS[self.member_config.embedding.name]
        own: dict[str, Tensor] = {}
        for name in ("frequency", "phase", "bias", "slope"):
            if hasattr(self, f"input_layer_embedding_{name}"):
                own[name] = self._own(f"input_layer.embedding_{name}").unsqueeze(0)
        if row.bins:
            for name in ("edge", "width"):
                own[name] = self._own(f"input_layer.bin_{name}").unsqueeze(0)
            own["low"], own["high"] = clip_limits(own["width"])
        assert row.features is not None
        x = numbers.T.unsqueeze(0)
        features = row.features(x, own)[0][0]  # [D, N, F]
        kernel = self._own("input_layer.embedding_kernel").unflatten(1, (features.shape[2], -1))
        out = features @ kernel + own["bias"][0].unsqueeze(1)
        if row.adds_x:
            out = out + x[0].unsqueeze(2) * own["slope"][0].unsqueeze(1)
        if row.rectifies:
            out = out.clamp(min=0)
        if row.keeps_x:
            out = torch.cat([x[0].unsqueeze(2), out], dim=2)
        return out.transpose(0, 1).flatten(1)

    def _normalized(self, z: Tensor, where: str) -> Tensor:
        """Return z `[…, N, H]` normalized by the moving statistics."""
        epsilon = float(self.member_config.batch_norm["epsilon"])
        mean, variance, gamma, beta = (
            self._own(f"batch_norm.{where}.{name}")
            for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return (z - mean) / torch.sqrt(variance + epsilon) * gamma + beta

    def _activated(self, z: Tensor, layer: int) -> Tensor:
        """Return f(z) of a hidden layer, `[…, N, H]`."""
        choice = self.member_config.activation
        row = ACTIVATIONS[choice.name]
        hyper = {
            name: torch.tensor(value)
            for name, value in choice.parameters.items()
            if isinstance(value, float)
        }
        if row.learned is not None:
            hyper[row.learned] = self._own(f"activation.{layer}.slope")
        a = row.f(z.clone(), hyper)
        if hasattr(self, f"activation_{layer}_mix"):
            a = z + self._own(f"activation.{layer}.mix") * (a - z)
        return a

    def _dropout(self, layer: int) -> Choice:
        config = self.member_config
        return input_dropout_of(config) if layer == INPUT else dropout_of(config)

    def _drop(self, h: Tensor, layer: int) -> Tensor:
        """Return h `[N, H]` after dropout; with S masks `[S, N, H]`."""
        if self.training and layer in self.dropping:
            choice = self._dropout(layer)
            shape = (self.n_samples, *h.shape[-2:]) if self.has_masks else h.shape
            keep = (torch.rand(shape, device=h.device) >= float(choice["rate"])).to(h.dtype)
            multiply, add = _dropped(choice, keep)
            return h * multiply + add
        if not hasattr(self, _site("multiply", layer)):
            return h
        return h * getattr(self, _site("multiply", layer)) + getattr(self, _site("add", layer))


class PlainPredictor(nn.Module):
    """The module that `Predictor.to_torch` returns; its inputs are `Predictor.raw_inputs`.

    Args:
        bundle: the model.
        n_samples: S, number of Monte-Carlo samples; 0: dropout off.
        seed: seed of the masks.
        logits: return logits instead of probabilities.
    Raises:
        AutotrainError: when `logits` is True for a regression.
    """

    def __init__(self, bundle: Bundle, n_samples: int, seed: int, *, logits: bool = False) -> None:
        super().__init__()
        if logits and not bundle.is_classification:
            raise AutotrainError(
                "logits must be False for a regression, which has no probabilities, got True. The "
                "module returns the predicted numbers.",
                parameter="logits",
            )
        self.logits = logits
        shared = {id(member.preprocessor): member.preprocessor for member in bundle.members}
        preprocessors = list(shared.values())
        self.levels = levels_of(preprocessors)
        self.column_names = tuple(self.levels)
        """The text columns, in the order of the codes."""
        self.is_classification = bundle.is_classification
        self.n_samples = n_samples
        starts = np.cumsum([0, *(number_of_scaled(each) for each in preprocessors)])
        self.encoders = nn.ModuleList(
            Encode(each, self.levels, int(first))
            for each, first in zip(preprocessors, starts, strict=False)
        )
        self.encoder_of = [list(shared).index(id(m.preprocessor)) for m in bundle.members]
        n_members = len(bundle.members)
        banks = [
            MaskBank(member.config, member.n_inputs, range(k, n_samples, n_members), seed)
            for k, member in enumerate(bundle.members)
        ]
        self.networks = nn.ModuleList(
            PlainNetwork(member, bank if n_samples else None)
            for member, bank in zip(bundle.members, banks, strict=True)
        )
        self.n_of_member = [len(bank) for bank in banks]
        scales = [(member.target_mean, member.target_std) for member in bundle.members]
        self.register_buffer("target_scale", torch.tensor(scales, dtype=torch.float64))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Predict rows.

        Args:
            numbers: `[N, P]` float64, from `Predictor.raw_inputs`.
            codes: `[N, Q]` int64.
        Returns: probabilities `[N, C]` as trained, or numbers `[N]` in the units of the target,
            float64; with samples `[S, N, C]` or `[S, N]`, in the order of `predict_distribution`.
            With `logits` the softmax of the result are these probabilities: the outputs of one
            network or of each sample, or the logarithm of the averaged probabilities of several
            networks.
        """
        encoded = [encode(numbers, codes) for encode in self.encoders]
        found: list[Tensor] = []
        for index, network in enumerate(self.networks):
            if self.n_samples and not self.n_of_member[index]:
                continue
            out = network(encoded[self.encoder_of[index]]).double()
            if self.is_classification:
                values = out if self.logits else torch.softmax(out, dim=-1)
            else:
                mean, std = self.get_buffer("target_scale")[index]
                # Not `out * std + mean`, because exporters treat a mean below 1e-8 as 0.
                values = (out[..., 0] + mean / std) * std
            if self.n_samples and not network.has_masks:
                values = values.unsqueeze(0).expand(self.n_of_member[index], *values.shape)
            found.append(values)
        if not self.n_samples:
            return self._averaged(torch.stack(found))
        # Sample s belongs to member s mod K.
        n_members = len(self.networks)
        order = [s for k in range(n_members) for s in range(k, self.n_samples, n_members)]
        return torch.cat(found)[torch.tensor(order).argsort()]

    def _averaged(self, values: Tensor) -> Tensor:
        """Return the average of the members `[K, N, …]`, as logits where they are requested."""
        if not self.logits:
            return values.mean(0)
        if len(values) == 1:
            return values[0]
        return torch.log_softmax(values, dim=-1).logsumexp(0) - math.log(len(values))


def number_of_scaled(preprocessor: Preprocessor) -> int:
    """Return the number of raw numbers that a preprocessor reads per row."""
    return sum(column.n_inputs for column in preprocessor.columns if column.is_scaled)


def raw_inputs(data: Any, preprocessors: Sequence[Preprocessor]) -> tuple[Tensor, Tensor]:
    """Return the inputs of `PlainPredictor` for a table: numbers `[N, P]` and codes `[N, Q]`."""
    levels = levels_of(preprocessors)
    numbers = [preprocessor.raw_numbers(data) for preprocessor in preprocessors]
    texts = preprocessors[0].raw_texts(data, list(levels))
    codes = np.full((len(numbers[0]), len(levels)), -1, dtype=np.int64)
    for place, (name, known) in enumerate(levels.items()):
        place_of = with_spellings({level: code for code, level in enumerate(known)})
        codes[:, place] = [place_of.get(text, -1) for text in texts[name]]
    return torch.from_numpy(np.concatenate(numbers, axis=1)), torch.from_numpy(codes)


def _dropped(choice: Choice, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors and the summands that apply dropout to units, shaped like `keep`."""
    affine = DROPOUTS[choice.name].affine
    assert affine is not None
    at = affine(torch.tensor(float(choice["rate"])))
    shift = at.shift(keep)
    return keep * at.scale, torch.zeros_like(keep) if shift is None else shift


def _attribute_of(name: str) -> str:
    return name.replace(".", "_")


def _site(what: str, layer: int) -> str:
    return f"dropout_{what}_{'input' if layer == INPUT else layer}"
