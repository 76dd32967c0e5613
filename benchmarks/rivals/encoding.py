"""The usual encoding of a table for a network, by scikit-learn."""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.rivals.common import Job


def encoder(job: Job) -> ColumnTransformer:
    """Return imputed (with indicators) and standardized numbers, and one-hot categories."""
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("x", scaled, job.numbers), ("c", one_hot, job.categories)])
