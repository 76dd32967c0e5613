"""Predictions of an exported bundle, with their uncertainty.

`Predictor` (predictor.py) is the entry point. A prediction passes through these files:

    tables.py        the user's table → parts of bounded size, encoded for each member
    joint.py         all members of the bundle as one model: averages, and samples dealt in turn
    passes.py        runs the members' networks; masks.py draws the dropout masks
    monte_carlo.py   samples → results, block of rows by block
    distribution.py  the results that a user gets

`effects.py` measures what the columns do: `importances.py` how much each one matters, with
`associations.py` for columns that move together and `changed_columns.py` for rows whose cells are
shuffled, and `partial_dependence.py` how the prediction depends on one column.

`decisions.py` turns probabilities into labels: `thresholds.py` chooses a decision threshold on rows
that did not train, which `held_out.py` reads from the bundle, and `abstention.py` which rows are
not answered. `confusion.py` counts right and wrong labels.

`probabilities.py` has the formulas for classes, `mixture.py` those for numbers and `conformal.py`
those for prediction sets and intervals with guaranteed coverage. `evaluation.py` scores predictions
against known targets; `intervals.py` adds confidence intervals to the scores (methods in
`shares.py` and `bootstrap.py`). `plain.py` and `scaling.py` write the same model once more with
torch's own operations, for `to_torch` and ONNX. `arguments.py` checks what the user passes,
`notices.py` warns about results that need care.

Prediction needs numpy, torch and safetensors only.
"""

from autotrain.predictor.abstention import Abstention
from autotrain.predictor.distribution import (
    ClassificationDistribution,
    Distribution,
    RegressionDistribution,
)
from autotrain.predictor.importances import Importances
from autotrain.predictor.partial_dependence import PartialDependence
from autotrain.predictor.predictor import Predictor, load
from autotrain.predictor.thresholds import Threshold

__all__ = [
    "Abstention",
    "ClassificationDistribution",
    "Distribution",
    "Importances",
    "PartialDependence",
    "Predictor",
    "RegressionDistribution",
    "Threshold",
    "load",
]
