"""Search for, train and export the best neural network for a table."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotrain.errors import (
        AutotrainError,
        BundleError,
        DataError,
        DeviceError,
        NoTrialSucceededError,
        SpaceError,
        StorageError,
        StudyError,
    )
    from autotrain.estimators import MLPSearchClassifier, MLPSearchRegressor
    from autotrain.predictor import Predictor, load
    from autotrain.space.search_space import SearchSpace
    from autotrain.study import Study

# Each name is imported when it is first used: importing torch and Optuna takes seconds, which
# `--help` must not take.
_MODULES = {
    "MLPSearchClassifier": "autotrain.estimators",
    "MLPSearchRegressor": "autotrain.estimators",
    "Study": "autotrain.study",
    "Predictor": "autotrain.predictor",
    "load": "autotrain.predictor",
    "SearchSpace": "autotrain.space.search_space",
    "AutotrainError": "autotrain.errors",
    "BundleError": "autotrain.errors",
    "DataError": "autotrain.errors",
    "DeviceError": "autotrain.errors",
    "NoTrialSucceededError": "autotrain.errors",
    "SpaceError": "autotrain.errors",
    "StorageError": "autotrain.errors",
    "StudyError": "autotrain.errors",
}

__all__ = [
    "AutotrainError",
    "BundleError",
    "DataError",
    "DeviceError",
    "MLPSearchClassifier",
    "MLPSearchRegressor",
    "NoTrialSucceededError",
    "Predictor",
    "SearchSpace",
    "SpaceError",
    "StorageError",
    "Study",
    "StudyError",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("autotrain")
    if name not in _MODULES:
        raise AttributeError(f"module 'autotrain' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
