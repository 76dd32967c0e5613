"""One fit of pytabkit's RealMLP-TD on its own 80/20 split, in its own environment.

It uses defaults, except for classification: for log loss, the loss of this comparison, pytabkit
recommends `use_ls=False` (no label smoothing) and `val_metric_name="cross_entropy"`. It does not
support missing numbers, so they are replaced by the median, with an indicator column.
"""

from __future__ import annotations

import pandas as pd
from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

from benchmarks.rivals.common import Job, read_job

N_THREADS = 2


def imputed(job: Job, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without missing numbers."""
    missing = [name for name in job.numbers if job.x_train[name].isna().any()]
    where = frame[missing].isna().astype(float).add_suffix(" is missing")
    return pd.concat([frame.fillna(job.x_train[job.numbers].median().fillna(0.0)), where], axis=1)


if __name__ == "__main__":
    job = read_job()
    x_train, x_test = imputed(job, job.x_train), imputed(job, job.x_test)
    common = {"device": "cpu", "random_state": job.seed, "n_cv": 1, "n_threads": N_THREADS}
    if job.n_classes:
        classifier = RealMLP_TD_Classifier(**common, use_ls=False, val_metric_name="cross_entropy")
        classifier.fit(x_train, job.y_train, cat_col_names=job.categories)
        job.answer(classifier.predict_proba(x_test))
    else:
        regressor = RealMLP_TD_Regressor(**common)
        regressor.fit(x_train, job.y_train, cat_col_names=job.categories)
        job.answer(regressor.predict(x_test))
