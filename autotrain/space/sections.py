"""The sections of a search space, in the order of space files.

A section is a kind of technique (`[optimizer]`) with its rows and the parameters that all rows
share (`learning_rate`). Space files, `TrialConfig`, Optuna's parameter names, errors and the
documentation all read `SECTIONS`. To add a kind, add a table in `techniques/`, a row here, and a
field of the same name to `TrialConfig`.

Names of parameters: `section` is the choice of a row, `section.key` a shared parameter,
`section.row.key` a parameter of one row, or a shared one that this row overrides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from autotrain.errors import unknown
from autotrain.metrics import CLASSIFICATION, REGRESSION
from autotrain.space.auto import DataShape
from autotrain.techniques.activations import ACTIVATION_PARAMETERS, ACTIVATIONS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.constraints import CONSTRAINTS
from autotrain.techniques.decay import WEIGHT_DECAYS
from autotrain.techniques.dropout import DROPOUT_PARAMETERS, DROPOUTS
from autotrain.techniques.embeddings import EMBEDDING_PARAMETERS, EMBEDDINGS
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.initializers import INITIALIZERS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.losses import LOSS_PARAMETERS
from autotrain.techniques.missing import MISSING
from autotrain.techniques.normalization import BATCH_NORM_PARAMETERS, BATCH_NORMS
from autotrain.techniques.optimizers import OPTIMIZER_PARAMETERS, OPTIMIZERS
from autotrain.techniques.parametrizations import PARAMETRIZATION_PARAMETERS, PARAMETRIZATIONS
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.techniques.scalers import SCALERS
from autotrain.techniques.schedules import SCHEDULES, Clock
from autotrain.techniques.targets import TARGETS
from autotrain.techniques.technique import Parameter, Technique, Value, table

MAX_LAYERS = 64
# Far above what trains, and low enough that shapes, steps and seconds are ordinary numbers.
MOST_UNITS = 65_536
MOST_EPOCHS = 1_000_000
MOST = 1_000_000_000
Applies = Callable[[str, str, Mapping[str, Value]], bool]


@dataclass(frozen=True, kw_only=True)
class Section(Technique):
    """A row of `SECTIONS`; `parameters` are those that all its techniques share.

    Args:
        rows: the table of techniques; empty where there is nothing to choose.
        default: the technique of a space that does not mention the section; without rows, the name
            of its `Choice`.
        applies: (key, row, values so far) → whether that shared parameter has an effect.
        deciding: the shared parameters that `applies` depends on; they come first.
        idle: values of shared parameters where they have no effect; others have their default.
        has_effect: data shape → whether the section has an effect.
        conflict: (row, its parameters) → a mistake between the parameters, or None.
    """

    default: str
    rows: Mapping[str, Technique] = field(default_factory=dict)
    applies: Applies = lambda key, row, values: True
    deciding: tuple[str, ...] = ()
    idle: Mapping[str, Value] = field(default_factory=dict)
    has_effect: Callable[[DataShape], bool] = lambda shape: True
    conflict: Callable[[Technique, Mapping[str, Value]], str | None] = lambda row, parameters: None

    def own_parameters(self, row: str) -> Mapping[str, Parameter]:
        """Return the parameters of this row, without shared ones."""
        return self.rows[row].parameters if row in self.rows else {}

    def idle_value(self, key: str) -> Value:
        """Return the value of a shared parameter where it has no effect."""
        return self.idle.get(key, self.parameters[key].default)


class Widths(Parameter):
    """A width for all hidden layers, or the width of each as text: "300-100"."""

    def explain(self) -> str:
        return f'{super().explain()}, or the width of each layer as text like "300-100"'

    def is_legal(self, value: object) -> bool:
        if isinstance(value, str):
            # ASCII digits only: int() also reads those of other scripts, and refuses long texts.
            is_list = re.fullmatch(r"[1-9][0-9]{0,9}(-[1-9][0-9]{0,9})*", value) is not None
            return is_list and (
                value.count("-") < MAX_LAYERS
                and all(super(Widths, self).is_legal(int(each)) for each in value.split("-"))
            )
        return super().is_legal(value)


def _schedule_conflict(row: Technique, parameters: Mapping[str, Value]) -> str | None:
    """Evaluate the schedule, which raises when its parameters contradict each other."""
    try:
        SCHEDULES[row.name].multiplier(np.zeros(1), Clock(1, 1), parameters)
    except ValueError as error:
        return str(error)
    return None


SECTIONS = table(
    Section(
        name="network",
        summary="number and width of hidden layers",
        default="network",
        parameters={
            "hidden_units": Widths(
                128, "units of every hidden layer", low=1, high=MOST_UNITS, kind="integer"
            ),
            "hidden_layers": Parameter(
                2, "hidden layers; 0 is a linear model", low=0, high=MAX_LAYERS, kind="integer"
            ),
        },
        applies=lambda key, row, values: (
            key != "hidden_layers" or not isinstance(values["hidden_units"], str)
        ),
        deciding=("hidden_units",),
    ),
    Section(
        name="training",
        summary="rows per step, and the largest number of epochs",
        default="training",
        parameters={
            "batch_size": Parameter(
                32,
                "rows per step; the incomplete last batch of an epoch is left out",
                low=1,
                high=MOST,
                kind="integer",
            ),
            "epochs": Parameter(
                100,
                "largest number of passes over the rows",
                low=1,
                high=MOST_EPOCHS,
                kind="integer",
            ),
        },
    ),
    Section(
        name="scaler",
        summary="scaling of numbers",
        note="Fitted on the training rows, missing numbers imputed. Dates become year, month, day, "
        "weekday, days since the first training date, and hour where they have one. Pixels are "
        "standardized with one mean and one standard deviation, whatever the scaler.",
        default="standard",
        rows=SCALERS,
        has_effect=lambda shape: shape.n_numbers > 0,
    ),
    Section(
        name="missing",
        summary="imputation of missing numbers",
        default="median",
        rows=MISSING,
        has_effect=lambda shape: shape.n_numbers > 0,
    ),
    Section(
        name="encoder",
        summary="encoding of categories",
        default="one_hot",
        rows=ENCODERS,
    ),
    Section(
        name="embedding",
        summary="several learned functions instead of each number",
        default="none",
        rows=EMBEDDINGS,
        parameters=EMBEDDING_PARAMETERS,
        applies=lambda key, row, values: row != "none",
        has_effect=lambda shape: shape.n_numbers > 0,
    ),
    Section(
        name="input_scale",
        summary="a learned scale for each input of the network",
        default="off",
        rows=INPUT_SCALES,
    ),
    Section(
        name="parametrization",
        summary="parametrization of the layers' weights",
        default="standard",
        rows=PARAMETRIZATIONS,
        parameters=PARAMETRIZATION_PARAMETERS,
    ),
    Section(
        name="initializer",
        summary="distribution of the initial weights",
        note="fan_in and fan_out are a layer's inputs and units, fan_avg their mean. Biases start "
        "at 0, and the output layer is drawn like the others.",
        default="he_normal",
        rows=INITIALIZERS,
    ),
    Section(
        name="activation",
        summary="the nonlinearity after every hidden layer",
        default="relu",
        rows=ACTIVATIONS,
        parameters=ACTIVATION_PARAMETERS,
        applies=lambda key, row, values: key == "parametric" or values["parametric"] is True,
        deciding=("parametric",),
    ),
    Section(
        name="batch_norm",
        summary="position of batch normalization",
        note="BN(x) = γ(x − μ)/√(σ² + ε) + β, with mean and variance of the batch in training and "
        "moving averages in prediction. Averages start at 0 and 1; at mean and variance of the "
        "training rows for raw inputs (scaler none). momentum is Keras's: torch's is 1 − momentum. "
        "Defaults are torch's (Keras: momentum 0.99, ε 1e-3), and, as in torch, the moving average "
        "is of the unbiased variance; Keras averages the biased one.",
        default="off",
        rows=BATCH_NORMS,
        parameters=BATCH_NORM_PARAMETERS,
        applies=lambda key, row, values: key == "input" or row != "off" or values["input"] is True,
        deciding=("input",),
    ),
    Section(
        name="dropout",
        summary="dropout in training and in Monte-Carlo prediction",
        note="Masks are drawn for each row, unit and step; nothing is dropped in prediction except "
        "Monte-Carlo prediction. annealing multiplies the rates by c(x), x the fraction of "
        "training done: constant is 1; flat_cos is 1 until x = ½, then ½(1 + cos(π(2x − 1))). "
        "Monte-Carlo prediction uses the full rates, even if annealing lowers them in training.",
        default="dropout",
        rows=DROPOUTS,
        parameters=DROPOUT_PARAMETERS,
        applies=lambda key, row, values: (
            row != "none" and (key != "floor" or values["annealing"] != "constant")
        ),
        deciding=("annealing",),
        idle={"rate": 0.0, "input_rate": 0.0},
    ),
    Section(name="clipping", summary="a limit for gradients", default="none", rows=CLIPPINGS),
    Section(
        name="optimizer",
        summary="the update rule",
        note="p is a parameter, g its gradient, t the number of the step from 1. m and v start at "
        "0.",
        default="adam",
        rows=OPTIMIZERS,
        parameters=OPTIMIZER_PARAMETERS,
    ),
    Section(
        name="schedule",
        summary="change of the learning rate during training",
        note="η₀ is [optimizer] learning_rate. t counts optimizer steps from 0; epoch is t divided "
        "by the steps per epoch, with its fraction; total is the number of steps of a training "
        "that reaches its last epoch. η is computed for each step, so it also falls within an "
        "epoch, except for performance. Keras's callbacks change it once per epoch.",
        default="constant",
        rows=SCHEDULES,
        conflict=_schedule_conflict,
    ),
    Section(
        name="regularizer",
        summary="penalties on weights; both may be used",
        note="loss ← loss + λ₁ Σ|w| + λ₂ Σw², over weight matrices: not biases, batch norm or "
        "embeddings. The gradient of L2 is 2λ₂w, as in Keras; torch's weight_decay is 2λ₂. "
        "Penalties are added before clipping.",
        default="l1_l2",
        parameters={
            key: parameter
            for row in REGULARIZERS.values()
            for key, parameter in row.parameters.items()
        },
    ),
    Section(
        name="weight_decay",
        summary="decay of weight matrices at every step",
        default="none",
        rows=WEIGHT_DECAYS,
        note="annealing multiplies λ by c(x), x the fraction of training done: constant is 1; "
        "flat_cos is 1 until x = ½, then ½(1 + cos(π(2x − 1))).",
    ),
    Section(
        name="constraint",
        summary="constraint on weights after every step",
        default="none",
        rows=CONSTRAINTS,
    ),
    Section(
        name="early_stopping",
        summary="end of training before the last epoch; the weights of the best epoch are kept",
        note="Follows the study's metric on the validation rows, whatever the loss. Training stops "
        "after patience epochs in a row whose metric is not better than the best one by more than "
        "min_delta (0, as in Keras's EarlyStopping).",
        default="early_stopping",
        parameters={
            "enabled": Parameter(
                True, "end a training early; false trains all epochs", kind="boolean"
            ),
            "patience": Parameter(
                10,
                "epochs without improvement of the study's metric",
                low=1,
                high=MOST,
                kind="integer",
            ),
            "min_delta": Parameter(0.0, "an improvement must be larger; absolute", low=0.0),
            "wait_for_schedule": Parameter(
                False, "let one_cycle, cosine and coslog4 run to their end", kind="boolean"
            ),
            "restore_best_weights": Parameter(
                True, "keep the weights of the best epoch, not of the last one", kind="boolean"
            ),
        },
        applies=lambda key, row, values: (
            key in ("enabled", "restore_best_weights") or values["enabled"] is True
        ),
        deciding=("enabled",),
    ),
    Section(
        name="loss",
        summary="loss that training minimizes, by task and metric",
        note="Classification: −Σ q log p, q = (1 − ε)·onehot + ε/C over C classes. Regression: "
        "(ŷ − y)², or for the metric pinball:Q the pinball loss max(Q(y − ŷ), (Q − 1)(y − ŷ)). "
        "Targets of a regression are standardized. The loss is the mean over the batch, of each "
        "row times its weight.",
        default="loss",
        parameters=LOSS_PARAMETERS,
        has_effect=lambda shape: shape.task in CLASSIFICATION,
    ),
    Section(
        name="target",
        summary="range of the predictions of a regression",
        default="free",
        rows=TARGETS,
        has_effect=lambda shape: shape.task == REGRESSION,
    ),
)


class ParameterPath(NamedTuple):
    """A name like `optimizer.adam.beta_1`, resolved to a section, a row or None, a key or None."""

    section: Section
    row: str | None
    key: str | None

    @property
    def parameter(self) -> Parameter | None:
        """The hyperparameter; None when the name is the choice of a row."""
        if self.key is None:
            return None
        own = self.section.own_parameters(self.row) if self.row is not None else {}
        return own[self.key] if self.key in own else self.section.parameters[self.key]


def locate(name: str) -> ParameterPath:
    """Resolve the name of a parameter.

    Raises:
        ValueError: when the name is unknown; the message suggests the nearest name.
    """
    head, *rest = name.split(".")
    if head not in SECTIONS:
        raise ValueError(unknown("section", head, SECTIONS) + where_else(head))
    section = SECTIONS[head]
    if not rest:
        if not section.rows:
            keys = ", ".join(f"{head}.{key}" for key in section.parameters)
            raise ValueError(f"this section has no choices. Its parameters are {keys}.")
        return ParameterPath(section, None, None)
    if len(rest) == 1:
        if rest[0] not in section.parameters:
            raise ValueError(unknown_key(section, rest[0]))
        return ParameterPath(section, None, rest[0])
    row, key = rest[0], ".".join(rest[1:])
    if row not in section.rows:
        raise ValueError(unknown(section.name, row, section.rows))
    if key not in (*section.own_parameters(row), *section.parameters):
        raise ValueError(unknown_parameter(section, row, key))
    return ParameterPath(section, row, key)


def unknown_key(section: Section, key: str) -> str:
    """Return the message that a section has no such key, with the nearest key."""
    words = [*(("choices",) if section.rows else ()), *section.parameters, *section.rows]
    return unknown(f"key of [{section.name}]", key, words) + where_else(key)


def unknown_parameter(section: Section, row: str, key: str) -> str:
    """Return the message that a row has no such parameter, with its parameters."""
    known = [*section.own_parameters(row), *section.parameters]
    return unknown("parameter", key, known) if known else f"{row} has no parameters."


def where_else(word: str) -> str:
    """Return a sentence about the section that a misplaced word belongs to, or an empty string."""
    places = {}
    for section in SECTIONS.values():
        places.update({key: f"[{section.name}] {key}" for key in section.parameters})
        for row, technique in section.rows.items():
            places.setdefault(row, f"[{section.name}] choices")
            for key in technique.parameters:
                places.setdefault(key, f"[{section.name}] {row}.{key}")
    return f" {word!r} belongs to {places[word]}." if word in places else ""
