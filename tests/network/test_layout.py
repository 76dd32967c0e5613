"""Positions of parameters: nothing overlaps, nothing is lost, padding is 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autotrain.data.codes import Columns
from autotrain.network.layout import InputLayer, Layout, Shape, bucket, fleet_layout, pack, unpack
from autotrain.techniques.embeddings import Sizes

widths = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@st.composite
def fleets(draw: st.DrawFn) -> list[Shape]:
    """Draw the shapes of networks that can share a fleet."""
    n_outputs = draw(st.integers(1, 4))
    n_inputs = draw(st.integers(1, 5))
    if draw(st.booleans()):
        hidden = draw(st.lists(widths, min_size=1, max_size=5))
    else:
        hidden = [()] * draw(st.integers(1, 4))
    return [Shape(n_inputs, own, n_outputs) for own in hidden]


@given(fleets(), st.booleans())
def test_unpack_inverts_pack(shapes: list[Shape], moving: bool) -> None:
    layouts, fleet = [Layout(shape) for shape in shapes], fleet_layout(shapes)
    sizes = [(own.n_statistics if moving else own.n_parameters) for own in layouts]
    rows = [torch.rand(size) + k + 1 for k, size in enumerate(sizes)]
    stacked = pack(rows, layouts, fleet, statistics=moving)
    assert stacked.shape == (len(rows), fleet.n_statistics if moving else fleet.n_parameters)
    for k, (row, layout) in enumerate(zip(rows, layouts, strict=True)):
        own = unpack(stacked[k], layout, fleet, statistics=moving)
        assert torch.equal(own, row)
        # The result is a copy, so later changes of the fleet do not affect it.
        stacked[k] += 1
        assert torch.equal(own, row)


@given(fleets())
def test_padding_is_zero_and_its_variance_is_one(shapes: list[Shape]) -> None:
    layouts, fleet = [Layout(shape) for shape in shapes], fleet_layout(shapes)
    ones = [torch.ones(layout.n_parameters) for layout in layouts]
    stacked = pack(ones, layouts, fleet)
    assert stacked.sum(1).tolist() == [layout.n_parameters for layout in layouts]
    assert set(stacked.unique().tolist()) <= {0.0, 1.0}
    sevens = [torch.full((layout.n_statistics,), 7.0) for layout in layouts]
    packed = pack(sevens, layouts, fleet, statistics=True)
    for (kind, _), view in fleet.views(packed, statistics=True).items():
        assert set(view.unique().tolist()) <= {7.0, 1.0 if kind == "variance" else 0.0}


@given(fleets())
def test_each_value_of_a_row_belongs_to_one_tensor(shapes: list[Shape]) -> None:
    for layout in (*map(Layout, shapes), fleet_layout(shapes)):
        for entries, size in (
            (layout.parameters, layout.n_parameters),
            (layout.statistics, layout.n_statistics),
        ):
            places = [
                place
                for start, rows, columns in entries.values()
                for place in range(start, start + rows * columns)
            ]
            assert places == list(range(size))


@given(fleets())
def test_kernels_come_first(shapes: list[Shape]) -> None:
    layout = fleet_layout(shapes)
    for (kind, _), entry in layout.parameters.items():
        assert (entry.start < layout.n_kernel) == kind.endswith("kernel")


def test_views_write_through() -> None:
    layout = Layout(Shape(2, (3,), 1))
    flat = torch.zeros(2, layout.n_parameters)
    layout.views(flat)["kernel", 0][1, 0, 2] = 5.0
    assert flat[1, 2] == 5.0
    assert flat.count_nonzero() == 1


def test_fleet_layout_has_the_largest_layers() -> None:
    layout = fleet_layout([Shape(4, (3, 9), 2), Shape(4, (7,), 2), Shape(4, (5, 2, 6), 2)])
    assert layout.shape == Shape(4, (7, 9, 6), 2)
    assert layout.last == 9


@pytest.mark.parametrize(
    "shapes",
    [
        [Shape(4, (3,), 2), Shape(4, (3,), 3)],
        [Shape(4, (3,), 2), Shape(4, (), 2)],
    ],
    ids=["outputs differ", "linear and deep"],
)
def test_incompatible_shapes_raise(shapes: list[Shape]) -> None:
    with pytest.raises(ValueError, match="must"):
        fleet_layout(shapes)


@given(widths)
def test_padding_at_most_doubles_width(hidden: tuple[int, ...]) -> None:
    for factor in (1, 10, 100):
        wide = [width * factor for width in hidden]
        assert max(wide) <= bucket(wide) <= max(32, 2 * max(wide) - 1)


def test_buckets_are_powers_of_two() -> None:
    found = [bucket(hidden) for hidden in ((), (1,), (32,), (33, 2), (64,), (65,), (300, 100))]
    assert found == [0, 32, 32, 64, 64, 128, 512]


@given(
    st.integers(0, 4),
    st.lists(st.integers(2, 5), max_size=3).map(tuple),
    st.integers(0, 4),
    st.none() | st.integers(1, 6),
)
def test_each_input_comes_from_one_column(
    n_numeric: int, levels: tuple[int, ...], n_plain: int, n_out: int | None
) -> None:
    sizes = None if n_out is None else Sizes(3, n_out, n_out, 0)
    layer = InputLayer(Columns(n_numeric, levels, n_plain), sizes, 2 if levels else 0)
    inputs = [layer.inputs_of(column) for column in range(layer.columns.width)]
    assert [place for each in inputs for place in each] == list(range(layer.n_inputs))
    widths = [n_out or 1] * n_numeric + [2] * len(levels) + [1] * n_plain
    assert [len(each) for each in inputs] == widths
