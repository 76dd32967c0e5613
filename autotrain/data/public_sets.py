"""Public datasets: those of scikit-learn, included or downloaded, and those of OpenML.

To add a scikit-learn dataset, add its name to `LOADED` or `FETCHED`.
"""

from __future__ import annotations

import warnings

import pandas as pd

from autotrain.errors import DataError, unknown

LOADED = ("iris", "wine", "breast_cancer", "diabetes", "digits")
"""Datasets included in scikit-learn."""
FETCHED = ("california_housing", "covtype", "kddcup99")
"""Datasets that are downloaded on first use."""


def read_sklearn(name: str) -> pd.DataFrame:
    """Return a scikit-learn dataset with its target in the column "target".

    Class numbers become class names (iris: setosa, versicolor, virginica).

    Raises:
        DataError: when the dataset is unknown or cannot be downloaded.
    """
    if name not in LOADED + FETCHED:
        raise DataError(unknown("scikit-learn dataset", name, LOADED + FETCHED))
    from sklearn import datasets  # noqa: PLC0415 - takes a second

    try:
        load = getattr(datasets, f"load_{name}" if name in LOADED else f"fetch_{name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Retry downloading from url"
            bunch = load(as_frame=True)
    except OSError as error:
        raise DataError(
            f"sklearn:{name} cannot be downloaded: {error}. Connect to the network once, or use a "
            f"dataset that is included in scikit-learn: {', '.join(LOADED)}."
        ) from None
    target = bunch.target
    names = getattr(bunch, "target_names", None)
    if name in LOADED and names is not None and all(isinstance(label, str) for label in names):
        target = pd.Series([str(names[index]) for index in target], dtype="str")
    return bunch.data.assign(target=target)


def read_openml(name: str) -> tuple[pd.DataFrame, str | None]:
    """Return an OpenML dataset by number (or name), and its default target.

    Raises:
        DataError: when the dataset does not exist or cannot be downloaded.
    """
    from sklearn import datasets  # noqa: PLC0415 - takes a second

    which = {"data_id": int(name)} if name.isdigit() else {"name": name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Retry", "multiple active versions"
            bunch = datasets.fetch_openml(**which, as_frame=True, parser="auto", n_retries=1)
    except (OSError, ValueError) as error:
        raise DataError(
            f"openml:{name} cannot be downloaded: {error}. Check the number at openml.org and the "
            "network connection."
        ) from None
    targets = list(bunch.target_names or [])
    return bunch.frame, targets[0] if len(targets) == 1 else None
