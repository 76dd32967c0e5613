"""One fit of scikit-learn's MLP with defaults and early stopping."""

from __future__ import annotations

import warnings

from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.rivals.common import read_job
from benchmarks.rivals.encoding import encoder

if __name__ == "__main__":
    job = read_job()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if job.n_classes:
        model = MLPClassifier(early_stopping=True, random_state=job.seed)
        pipeline = make_pipeline(encoder(job), model).fit(job.x_train, job.y_train)
        job.answer(pipeline.predict_proba(job.x_test))
    else:
        network = MLPRegressor(early_stopping=True, random_state=job.seed)
        scaled = TransformedTargetRegressor(network, transformer=StandardScaler())
        pipeline = make_pipeline(encoder(job), scaled).fit(job.x_train, job.y_train)
        job.answer(pipeline.predict(job.x_test))
