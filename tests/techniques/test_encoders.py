"""Encoders equal scikit-learn's encoders on the same column.

To add an encoder, add a function (training texts, texts) → inputs to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from autotrain.data.codes import Columns
from autotrain.data.columns import measure, read_columns
from autotrain.data.fitting import MAX_CODES, fit_preprocessor
from autotrain.data.preprocessing import Preprocessor
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.view import View

LIMIT = 4


def _column(texts: list[str | None]) -> np.ndarray:
    # For scikit-learn, NaN is a separate level.
    return np.array([np.nan if text is None else text for text in texts], dtype=object)[:, None]


def _one_hot(train: list[str | None], texts: list[str | None]) -> np.ndarray:
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(_column(train))
    inputs: np.ndarray = encoder.transform(_column(texts))
    return inputs


def _embedding(train: list[str | None], texts: list[str | None]) -> np.ndarray:
    n_levels = len(set(train))
    if n_levels <= LIMIT:
        return _one_hot(train, texts)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=n_levels, encoded_missing_value=-1
    ).fit(_column(train))
    codes: np.ndarray = encoder.transform(_column(texts))
    # A missing cell is the last level if the training rows have one, otherwise it is unknown.
    codes[codes == -1] = n_levels - 1 if None in train else n_levels
    return codes


REFERENCES: dict[str, Callable[[list[str | None], list[str | None]], np.ndarray]] = {
    "one_hot": _one_hot,
    "embedding": _embedding,
}


def fitted(train: list[str | None], limit: int) -> Preprocessor:
    frame = pd.DataFrame({"text": pd.Series(train, dtype="object")})
    columns = measure(frame, read_columns(frame)[0])
    return fit_preprocessor(frame, columns, ["text"], View(one_hot_limit=limit))[0]


@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize("n_levels", [3, 4, 5, 30])
@pytest.mark.parametrize("name", ENCODERS)
def test_inputs_equal_the_reference(name: str, n_levels: int, has_missing: bool) -> None:
    rng = np.random.default_rng(n_levels)
    levels: list[str | None] = [f"level {number}" for number in range(n_levels - has_missing)]
    levels += [None] if has_missing else []
    train: list[str | None] = levels + [levels[i] for i in rng.integers(n_levels, size=100)]
    texts = [levels[0], None, "never seen", *levels]
    limit = LIMIT if ENCODERS[name].embeds else 0
    preprocessor = fitted(train, limit)
    found = preprocessor.encode({"text": np.array(texts, dtype=object)})
    np.testing.assert_array_equal(found, REFERENCES[name](train, texts))
    is_code = ENCODERS[name].embeds and n_levels > LIMIT
    kinds = Columns(0, (n_levels + 1,), 0) if is_code else Columns(0, (), n_levels)
    assert preprocessor.input_columns == kinds
    assert len(preprocessor.input_names) == preprocessor.n_inputs == found.shape[1]


def test_rarest_levels_share_the_code_of_unseen_levels() -> None:
    levels: list[str | None] = [f"text {n}" for n in range(MAX_CODES + 50)]
    train = levels * 2
    preprocessor = fitted(train + train[: MAX_CODES // 2], LIMIT)
    assert preprocessor.input_columns == Columns(0, (MAX_CODES,), 0)
    codes = preprocessor.encode({"text": [*train, "never seen"]})[:, 0]
    assert codes.max() == codes[-1] == MAX_CODES - 1
    assert (codes == MAX_CODES - 1).sum() == 1 + 2 * 51
    # The frequent levels have separate codes.
    assert len(set(codes[: MAX_CODES // 2])) == MAX_CODES // 2
