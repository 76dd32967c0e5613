"""Packed folds are read back from files, whatever their arrays are."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotrain.data.codes import Columns
from autotrain.data.encoded import EncodedFold, EncodedView, LazyViews, PackedRows, pack, unpack
from autotrain.data.weights import RowWeights
from autotrain.techniques.view import View


def make_folds(n_inputs: int, weights: RowWeights | None) -> list[EncodedFold]:
    """Return two folds; two views of a fold share their arrays."""
    generator = np.random.default_rng(0)
    folds = []
    for n in (7, 9):
        x = generator.normal(size=(n, n_inputs)).astype(np.float32)
        encoded = EncodedView(x, x[:3] + 1, Columns.plain(n_inputs))
        views = {View(): encoded, View(one_hot_limit=4): encoded}
        folds.append(EncodedFold(np.arange(n), np.arange(3), views, 2.0, 3.0, weights))
    return folds


WEIGHTS = {
    "none": None,
    "rows": RowWeights(np.ones(7), np.full(3, 2.0), np.arange(3.0)),
    "classes": RowWeights(np.ones(7), np.ones(3), None, np.array([1.0, 4.0])),
}


@pytest.mark.parametrize("n_inputs", [0, 5])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_unpacked_folds_equal_the_packed_ones(weights: str, n_inputs: int, tmp_path: Path) -> None:
    folds = make_folds(n_inputs, WEIGHTS[weights])
    for found, fold in zip(unpack(pack(folds, tmp_path)), folds, strict=True):
        assert (found.target_mean, found.target_std) == (2.0, 3.0)
        assert found.views.keys() == fold.views.keys()
        pairs: list[tuple[Any, Any]] = [
            (found.y_train, fold.y_train),
            (found.y_valid, fold.y_valid),
        ]
        for view, encoded in fold.views.items():
            assert found.views[view].columns == encoded.columns
            pairs += [
                (found.views[view].x_train, encoded.x_train),
                (found.views[view].x_valid, encoded.x_valid),
            ]
        if fold.weights is not None:
            pairs += [(getattr(found.weights, name), w) for name, w in vars(fold.weights).items()]
        for one, other in pairs:
            if other is None:
                assert one is None
                continue
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        assert (found.weights is None) == (fold.weights is None)


def test_unpacked_arrays_are_read_only_and_shared(tmp_path: Path) -> None:
    [fold, _] = unpack(pack(make_folds(5, None), tmp_path))
    one, other = fold.views.values()
    assert one.x_train is other.x_train
    with pytest.raises(ValueError, match="read-only"):
        one.x_train[0, 0] = 1.0


def test_rows_are_in_the_files_and_not_in_the_message(tmp_path: Path) -> None:
    """The message goes through a pipe to every worker."""
    small, large = (make_folds(n, None) for n in (1, 10_000))
    messages = [len(pickle.dumps(pack(folds, tmp_path))) for folds in (small, large)]
    assert messages[1] < messages[0] + 100
    [fold, _] = unpack(pack(large, tmp_path))
    array = fold.views[View()].x_train
    file = tmp_path / "2.array"
    assert file.read_bytes() == array.tobytes()


def test_inputs_of_a_view_are_written_when_they_are_asked_for(tmp_path: Path) -> None:
    folds = make_folds(5, None)
    encoded_for: list[tuple[int, int]] = []

    def encode(number: int, view: View) -> EncodedView:
        encoded_for.append((number, view.one_hot_limit))
        return folds[number].views[View()]

    lazy = [replace(f, views=LazyViews(partial(encode, n))) for n, f in enumerate(folds)]
    rows = PackedRows(lazy, tmp_path)
    assert all(not fold.views for fold in unpack(rows.targets))
    assert not encoded_for
    for _ in range(2):
        found = unpack(rows.view(View()))
        np.testing.assert_array_equal(found[1].x_valid, folds[1].views[View()].x_valid)
    assert encoded_for == [(0, 0), (1, 0)]
    # A view with the same arrays has the same files.
    assert rows.view(View(one_hot_limit=4)) is rows.view(View())
