"""Data sets that need no file: those inside scikit-learn, those it fetches, and OpenML's.

A new scikit-learn set is a word in `LOADED` or `FETCHED`.
"""

from __future__ import annotations

import warnings

import pandas as pd
from sklearn import datasets

from autotrain.errors import DataError, unknown

LOADED = ("iris", "wine", "breast_cancer", "diabetes", "digits")
"""Ship inside scikit-learn."""
FETCHED = ("california_housing", "covtype", "kddcup99")
"""Are downloaded on first use."""


def read_sklearn(name: str) -> pd.DataFrame:
    """Return a scikit-learn data set with its target in the column "target".

    Class numbers become the set's own names (iris: setosa, versicolor, virginica).
    Raises: DataError when there is no such set, or the network is away.
    """
    if name not in LOADED + FETCHED:
        raise DataError(unknown("scikit-learn data set", name, LOADED + FETCHED))
    try:
        load = getattr(datasets, f"load_{name}" if name in LOADED else f"fetch_{name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Retry downloading from url"
            bunch = load(as_frame=True)
    except OSError as error:
        raise DataError(
            f"sklearn:{name}: expected to download it, however: {error}. Connect to the network "
            f"once, or take a set that ships with scikit-learn: {', '.join(LOADED)}."
        ) from None
    target = bunch.target
    names = getattr(bunch, "target_names", None)
    if name in LOADED and names is not None and all(isinstance(label, str) for label in names):
        target = pd.Series([str(names[index]) for index in target], dtype="str")
    return bunch.data.assign(target=target)


def read_openml(name: str) -> tuple[pd.DataFrame, str | None]:
    """Return an OpenML data set by number (or name), and its default target.

    Raises: DataError when there is no such set, or the network is away.
    """
    which = {"data_id": int(name)} if name.isdigit() else {"name": name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Retry", "multiple active versions"
            bunch = datasets.fetch_openml(**which, as_frame=True, parser="auto", n_retries=1)
    except (OSError, ValueError) as error:
        raise DataError(
            f"openml:{name}: expected to download it, however: {error}. Check the number at "
            "openml.org and the network connection."
        ) from None
    targets = list(bunch.target_names or [])
    return bunch.frame, targets[0] if len(targets) == 1 else None
