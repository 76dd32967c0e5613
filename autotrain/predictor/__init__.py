"""The predictor of a bundle, and how sure it is.

predictor.py is the way in; tables.py cuts and encodes what the user gives, joint.py makes one model
of several members, passes.py runs their networks, masks.py draws what Monte-Carlo dropout drops,
probabilities.py and mixture.py hold the formulas of classes and numbers, distribution.py the
results, conformal.py sets and intervals, evaluation.py the scores. plain.py and scaling.py write
the model down once more, as a module of torch's own operations.
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
