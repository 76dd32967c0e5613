"""Outputs of the members when a few columns of many rows are changed.

The first product of a network is a sum over its inputs, so a changed column only adds

    z' = z + (f(x'_j) − f(x_j)) W_j

to the first product z of the unchanged rows, where f is the input layer and W_j are the weights of
the column's inputs. Rows are encoded once, the input layer and the first product are computed once
per block of rows, and everything above for all changes of a block together. Where a column has
fewer different cells than there are changes, each row is computed once with each of them, and the
changes are looked up. `importances.py` moves cells between rows in this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autotrain.predictor.joint import Joint, MemberRows
from autotrain.predictor.passes import Passes, padded, whole_blocks

LEAST_ROWS = 64
SOME_ROWS = 1000
"""The first rows of a table. If they have too many different cells, the others are not counted."""


class ChangedColumns:
    """The rows of one table, whose columns can be moved between the rows.

    Args:
        joint: the members as one model.
        xs: the encoded rows, one tensor `[N, D]` per member.
    """

    def __init__(self, joint: Joint, xs: MemberRows) -> None:
        self.joint = joint
        self.n_rows = len(xs[0])
        self._members = [
            ChangedMember(passes, x) for passes, x in zip(joint.passes, xs, strict=True)
        ]

    def moved(self, columns: Sequence[Sequence[str]], sources: Tensor) -> list[Tensor]:
        """Return the predictions when rows have the cells of other rows in some columns.

        Args:
            columns: G groups of raw columns, one after another: group g changes, all else stays.
            sources: `[R, N]` the row whose cells each row gets, R times.
        Returns: G tensors of predictions `[R, N]`, or log p `[R, N, C]`, float64.
        """
        for member in self._members:
            member.keep(columns)
        levels = [self._levels(group, len(sources)) for group in columns]
        found: list[list[Tensor]] = [[] for _ in columns]
        for rows in self._blocks(len(sources)):
            for member in self._members:
                member.open(rows)
            for group, known in enumerate(levels):
                own = sources[:, rows]
                computed = own if known is None else known.sources(own.shape[1])
                outputs = [member.moved(group, computed) for member in self._members]
                average = self.joint.averaged(torch.stack(outputs))
                found[group].append(average if known is None else known.look_up(average, own))
        return [torch.cat(parts, dim=1) for parts in found]

    def _levels(self, group: Sequence[str], n_changes: int) -> CellLevels | None:
        """Return the different cells of a group of columns; None unless they save work."""
        if n_changes == 1:
            return None
        cells = torch.cat([member.encoded(group) for member in self._members], dim=1).numpy()
        if len(np.unique(cells[:SOME_ROWS], axis=0)) >= n_changes:
            return None
        _, first, level = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        if len(first) >= n_changes:
            return None
        return CellLevels(torch.from_numpy(first), torch.from_numpy(level.reshape(-1)))

    def _blocks(self, n_changes: int) -> Iterator[slice]:
        """Yield blocks of rows, of which all changes together fit the cache."""
        widest = max(passes.widest for passes in self.joint.passes)
        at_once = self.joint.sizes.layer // (widest * max(n_changes, 1))
        step = max(whole_blocks(at_once), LEAST_ROWS)
        for start in range(0, self.n_rows, step):
            yield slice(start, min(start + step, self.n_rows))


class CellLevels(NamedTuple):
    """The different cells of some columns.

    Args:
        rows: `[L]` a row that has each of them.
        of_row: `[N]` the level of each row.
    """

    rows: Tensor
    of_row: Tensor

    def sources(self, n_rows: int) -> Tensor:
        """Return the sources `[L, B]` that give every row each level."""
        return self.rows[:, None].expand(-1, n_rows)

    def look_up(self, predictions: Tensor, sources: Tensor) -> Tensor:
        """Return predictions `[R, B, …]` for sources `[R, B]`, of predictions `[L, B, …]`."""
        return predictions[self.of_row[sources], torch.arange(sources.shape[1])]


class ChangedMember:
    """One member's rows, whose columns can be moved between the rows.

    Args:
        passes: the member.
        x: its encoded rows `[N, D]`.
    """

    def __init__(self, passes: Passes, x: Tensor) -> None:
        self._passes, self._x = passes, x
        self._network, self._bound = passes.network(1)
        self._kernel = self._network.first_kernel(self._bound)[0]
        self._input_layer = passes.member.layout.shape.input_layer
        self._inputs: list[list[int]] = []
        self._kept: list[Tensor] = []
        self._rows = slice(0)
        self._z = x.new_empty(0)

    def keep(self, groups: Sequence[Sequence[str]]) -> None:
        """Compute the inputs of some groups of raw columns for all rows."""
        self._inputs = [[i for name in group for i in self._inputs_of(name)] for group in groups]
        parts = []
        for part in self._x.split(self._passes.rows_at_once):
            h = self._of_block(part)[0]
            parts.append([h[: len(part), inputs] for inputs in self._inputs])
        self._kept = [torch.cat(group) for group in zip(*parts, strict=True)]

    def encoded(self, group: Sequence[str]) -> Tensor:
        """Return the encoded cells `[N, W]` of a group of raw columns."""
        reader = self._passes.member.preprocessor
        return self._x[:, [column for name in group for column in reader.inputs_of(name)]]

    def open(self, rows: slice) -> None:
        """Compute the first product of a block of rows."""
        self._rows = rows
        self._z = self._network.first_product(self._bound, self._of_block(self._x[rows]))[0]

    def moved(self, group: int, sources: Tensor) -> Tensor:
        """Return outputs `[R, B, C]` of the open block with the cells of `sources` `[R, B]`."""
        kept, n_rows = self._kept[group], sources.shape[1]
        z = self._z.expand(len(sources), -1, -1)
        kernel, n_padded = self._kernel[self._inputs[group]], z.shape[1] - n_rows
        change = functional.pad(kept[sources] - kept[self._rows], (0, 0, 0, n_padded))
        if len(kernel) == 1:
            # For one input this took a quarter of the time of a product.
            z = torch.addcmul(z, change, kernel)
        else:
            z = torch.baddbmm(z, change, kernel.expand(len(z), -1, -1))
        outputs = self._network.after_first_product(self._bound, z.flatten(0, 1).unsqueeze(0))
        return self._passes.limited(outputs[0].unflatten(0, z.shape[:2])[:, :n_rows])

    def _of_block(self, x: Tensor) -> Tensor:
        return self._network.inputs(self._bound, padded(x).unsqueeze(0))

    def _inputs_of(self, name: str) -> list[int]:
        columns = self._passes.member.preprocessor.inputs_of(name)
        if self._input_layer is None:
            return columns
        return [i for column in columns for i in self._input_layer.inputs_of(column)]
