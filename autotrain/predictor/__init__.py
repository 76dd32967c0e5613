"""The predictor of a bundle, and how sure it is.

predictor.py is the way in; tables.py cuts and encodes what the user gives, passes.py runs the
network, masks.py draws what Monte-Carlo dropout drops, mixture.py holds the formulas of regression,
distribution.py the results, conformal.py sets and intervals, evaluation.py the scores. plain.py and
scaling.py write the model down once more, as a module of torch's own operations.
"""

from autotrain.predictor.distribution import (
    ClassificationDistribution,
    Distribution,
    RegressionDistribution,
)
from autotrain.predictor.predictor import Predictor, load

__all__ = [
    "ClassificationDistribution",
    "Distribution",
    "Predictor",
    "RegressionDistribution",
    "load",
]
