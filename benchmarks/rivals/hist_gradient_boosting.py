"""One fit of scikit-learn's histogram gradient boosting with defaults and categories."""

from __future__ import annotations

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.rivals.common import read_job

if __name__ == "__main__":
    job = read_job()
    if job.n_classes:
        classifier = HistGradientBoostingClassifier(random_state=job.seed)
        job.answer(classifier.fit(job.x_train, job.y_train).predict_proba(job.x_test))
    else:
        regressor = HistGradientBoostingRegressor(random_state=job.seed)
        job.answer(regressor.fit(job.x_train, job.y_train).predict(job.x_test))
