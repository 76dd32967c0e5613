"""The exported model at work: raw columns in, labels, probabilities or distributions out.

    predictor = autotrain.load("studies/churn/best")

Needs numpy, torch and safetensors only. Several members (a winner of several folds, an ensemble of
several trials) predict together, with equal weight: their probabilities, or their predictions, are
averaged; Monte-Carlo samples are dealt to them in turn.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle, encode, read_bundle
from autotrain.bundle.record import LABEL_TYPES
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import AutotrainError, BundleError
from autotrain.predictor import conformal, mixture
from autotrain.predictor.arguments import check_sampling, check_tolerance
from autotrain.predictor.distribution import (
    ClassificationDistribution,
    Distribution,
    RegressionDistribution,
    class_summary,
    tempered,
    value_summary,
)
from autotrain.predictor.evaluation import Coverage, Scores, Truth, log_mean_exp
from autotrain.predictor.masks import MaskBank, dropout_sites
from autotrain.predictor.passes import Ensemble
from autotrain.predictor.plain import PlainPredictor, raw_inputs
from autotrain.predictor.tables import encoded_parts

SAMPLE_NUMBERS = 1 << 21
"""Numbers of samples, or of members, worked on at a time: 16 MB in float64."""
FIRST_ROUND = 16
"""Samples that each row gets before it may have enough."""
KEPT_NUMBERS = 1 << 23
"""Samples are kept unasked up to this many numbers: 64 MB."""


def load(path: str | Path) -> Predictor:
    """Load a bundle, the folder that a search leaves in `studies/NAME/best`.

    Raises: BundleError when it is missing, incomplete, changed or of a newer version.
    """
    return Predictor(read_bundle(path))


def _from_files(files: dict[str, bytes]) -> Predictor:
    with tempfile.TemporaryDirectory(prefix="autotrain-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return load(folder)


class Predictor:
    """Predicts with a bundle.

    Every method takes a data frame, columns by name, a list of mappings, or rows in the order of
    the training table. The order of named columns is free, other columns are ignored, missing cells
    and unseen categories are accepted. `notices`, a list, receives a sentence about each of these.

    Raises: DataError when columns are missing or cells cannot be read.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._ensemble = Ensemble(bundle.members)
        # Members of one fold may share their preprocessing: rows are encoded once for all of them.
        shared = {id(member.preprocessor): member.preprocessor for member in bundle.members}
        self._preprocessors = list(shared.values())
        scales = [(member.target_mean, member.target_std) for member in bundle.members]
        self._scale = torch.tensor(scales, dtype=torch.float64).T.unsqueeze(2)
        self._encoders = [list(shared).index(id(m.preprocessor)) for m in bundle.members]

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle holds the bundle's files, and is checked like them.
        return _from_files, (encode(self.bundle),)

    def __repr__(self) -> str:
        columns = len(self.column_names)
        return f"Predictor({self.task} {self.target!r} from {columns} columns)"

    @property
    def task(self) -> str:
        """The task: "binary", "multiclass" or "regression"."""
        return self.bundle.task

    @property
    def target(self) -> str:
        """Name of the column that is predicted."""
        return self.bundle.target

    @property
    def weights_name(self) -> str | None:
        """Name of the column that weighed the rows in training; None when all counted alike."""
        name = self.bundle.data.get("weights")
        return None if name is None else str(name)

    @property
    def preprocessors(self) -> tuple[Preprocessor, ...]:
        """The different ones of the members, in the order of `raw_inputs`."""
        return tuple(self._preprocessors)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that are needed."""
        names = (name for p in self._preprocessors for name in p.column_names)
        return tuple(dict.fromkeys(names))

    @property
    def classes_(self) -> np.ndarray:
        """`[C]` the labels, sorted, in the user's own type."""
        if not self.bundle.is_classification:
            raise AttributeError("a regression has no classes_")
        return np.array(self.bundle.classes, dtype=LABEL_TYPES[self.bundle.label_dtype])

    @property
    def has_dropout(self) -> bool:
        """Whether Monte-Carlo dropout has something to drop, in some member at least.

        A member without dropout is a mixture's part like any other: what it says differs from what
        the others say, though never from itself. Where no member has any, nothing is random.
        """
        return any(dropout_sites(m.config, m.n_inputs) for m in self.bundle.members)

    @property
    def tau(self) -> float | None:
        """Precision of the noise in the target's units; None for classification."""
        return self._calibration("tau")

    @property
    def temperature(self) -> float | None:
        """Temperature of the Monte-Carlo probabilities; None for regression."""
        return self._calibration("temperature")

    def predict(self, X: Any, *, notices: list[str] | None = None) -> np.ndarray:
        """Predict each row: labels of the user's own type, or numbers in the target's units.

        Returns: `[N]`; numbers are float64.
        """
        parts = [self._point(xs) for xs in self._encoded(X, notices)]
        if not self.bundle.is_classification:
            return torch.cat(parts).numpy()
        places = torch.cat([part.argmax(1) for part in parts]).numpy()
        labels: np.ndarray = self.classes_[places]
        return labels

    def predict_proba(
        self, X: Any, *, calibrated: bool = False, notices: list[str] | None = None
    ) -> np.ndarray:
        """Return the probability of each class, dropout off: `[N, C]` float64, rows sum to 1.

        Columns are in the order of `classes_`.

        Args:
            calibrated: with the temperature that was fitted on validation rows.
        Raises:
            AutotrainError for a regression.
            BundleError when a temperature is asked for and the bundle has none.
        """
        if not self.bundle.is_classification:
            raise AutotrainError(
                f"predict_proba: expected a classification, however: {self.target!r} is a number. "
                "Use predict, or predict_distribution for its spread."
            )
        log_p = torch.cat([self._point(xs) for xs in self._encoded(X, notices)])
        if calibrated:
            temperature = self._calibration("temperature_point")
            if temperature is None:
                raise BundleError(
                    "predict_proba: expected a bundle with a temperature for calibrated=True, "
                    "however: it has none. Export the bundle again."
                )
            log_p = tempered(log_p, temperature)
        return log_p.exp().numpy()

    def predict_distribution(
        self,
        X: Any,
        n_samples: int = 100,
        alpha: float = 0.1,
        seed: int = 0,
        *,
        samples: bool | None = None,
        tolerance: float | None = None,
        notices: list[str] | None = None,
    ) -> Distribution:
        """Predict how sure the model is of each row, by Monte-Carlo dropout.

            p̄(x) = 1/S Σ_s p(x; mask_s)

        Each sample is one mask for all rows; only dropout is random, batch norm is as in `predict`.
        The first samples stay the same when `n_samples` grows; rows do not influence each other.

        Of K members, sample s is drawn from member s mod K, so that the samples are those of their
        mixture: `std` and `mutual_information` hold what masks change and where members differ. All
        weigh the same when `n_samples` is a multiple of K, nearly the same when it is much larger;
        with fewer than K samples, members beyond speak in `point` only. A member without dropout
        always says the same.

        Args:
            n_samples: S, 1 to 100,000.
            alpha: in (0, 1); a regression's intervals and the sets of classes hold 1 − alpha.
            seed: of the masks, at least 0.
            samples: keep them in the result; None keeps them when they take at most 64 MB.
            tolerance: a row gets no more samples once its `mc_error` (of a classification the
                largest of its classes') is at most so much, in probability or the target's units;
                `n_drawn` says how many it got, at least 16 and one of each member, and no samples
                are kept. None: all.
        Raises:
            BundleError: when the model was trained without dropout: its spread would be 0.
            AutotrainError: when an argument is out of its range.
        Source: Gal & Ghahramani 2016, arXiv:1506.02142.
        """
        check_sampling(n_samples, alpha, seed)
        check_tolerance(tolerance, samples)
        self._require_dropout()
        if tolerance is not None:
            return self._until_settled(X, n_samples, alpha, seed, tolerance, notices)
        banks = self._banks(n_samples, seed)
        limit = self._conformal_limit(alpha, notices)
        kept: list[Tensor] = []
        parts: list[dict[str, Tensor]] = []
        size = 0
        for xs in self._encoded(X, notices):
            for rows in self._blocks(xs, n_samples):
                drawn = self._samples(rows, banks)
                summary = self._summary(drawn, alpha, limit)
                parts.append({"point": self._point(rows), **summary})
                size += drawn.numel()
                if samples or (samples is None and size <= KEPT_NUMBERS):
                    kept.append(drawn)
                elif samples is None:
                    kept = []
        joined = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
        keep = bool(samples) or (samples is None and size <= KEPT_NUMBERS)
        values = torch.cat(kept, dim=1) if keep else None
        return self._distribution(joined, values, n_samples, alpha)

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        n_samples: int = 100,
        alpha: float = 0.1,
        seed: int = 0,
        weights: Any = None,
        interval: bool = False,
        notices: list[str] | None = None,
    ) -> dict[str, Any]:
        """Score the model on rows whose target is known, dropout off and Monte-Carlo.

        Rows without a target are left out and counted.

        Args:
            y: `[N]` labels or numbers.
            weights: `[N]` what each row counts, at least 0, as scikit-learn's `sample_weight`; None
                weighs all alike. `weights_name` is the column that training used.
            n_samples: S of the Monte-Carlo side; 0 leaves it out.
            alpha: intervals and sets hold 1 − alpha.
            seed: of its masks.
            interval: add "interval": a 95 % confidence interval (low, high) of the metric that
                chose the model, dropout off, by bootstrap over the rows.
        Returns: {"task", "metric", "n_rows", "n_dropped", "n_samples", "weighted",
            "deterministic": {metric: value}, "monte_carlo": {metric: value} or None when it was
            left out or the model has no dropout, "calibrated": those of the calibrated
            probabilities (Monte-Carlo where there is a Monte-Carlo side), None for regression,
            "alpha", "coverage": {answer: {"coverage": share of the rows whose truth it holds,
            "size": mean number of classes or width}} of the Monte-Carlo side's "prediction_set", or
            "interval" and "conformal_interval"; empty without that side}.
            Metrics: all of `tasks.METRICS` for the task, "nll" (mean of −log p(y), for regression
            in nats per unit of the target), for classes "ece" (expected calibration error), and for
            regression "log_likelihood". A value that is not defined on these rows is None.
        Raises: DataError when `y` has another length, or a label that the model does not know, or
            weights are missing or negative.
        """
        check_sampling(n_samples, alpha, seed, least=0)
        truth = Truth.read(self.bundle, y, weights)
        banks = self._banks(n_samples, seed) if n_samples and self.has_dropout else None
        point = Scores(self.bundle, truth, self._calibration("tau_point"))
        sampled = Scores(self.bundle, truth, self.tau)
        limit = self._conformal_limit(alpha, notices)
        coverage = Coverage(truth)
        for xs in self._encoded(X, notices):
            point.add(self._point(xs).unsqueeze(0))
            if banks is None:
                continue
            for rows in self._blocks(xs, n_samples):
                drawn = self._samples(rows, banks)
                sampled.add(drawn)
                coverage.add(self._summary(drawn, alpha, limit))
        values = point.values()
        best, name = (point, "temperature_point") if banks is None else (sampled, "temperature")
        temperature = self._calibration(name)
        return {
            **({"interval": point.interval()} if interval else {}),
            "task": self.task,
            "metric": self.bundle.metric,
            "n_rows": int(truth.is_known.sum()),
            "n_dropped": int((~truth.is_known).sum()),
            "n_samples": None if banks is None else n_samples,
            "weighted": weights is not None,
            "deterministic": values,
            "monte_carlo": None if banks is None else sampled.values(),
            "calibrated": None if temperature is None else best.values(temperature),
            "alpha": alpha,
            "coverage": {} if banks is None else coverage.values(),
        }

    def to_torch(self, n_samples: int = 0, seed: int = 0) -> PlainPredictor:
        """Return the model as a plain `torch.nn.Module`, see `PlainPredictor`.

            module(*predictor.raw_inputs(table))

        Args:
            n_samples: S Monte-Carlo samples, their masks inside; 0: dropout off.
            seed: of the masks.
        Raises:
            BundleError: when samples are asked of a model without dropout.
            AutotrainError: when an argument is out of its range, or the bundle is of an older
                version that scaled otherwise.
        """
        check_sampling(n_samples, 0.5, seed, least=0)
        if n_samples:
            self._require_dropout()
        return PlainPredictor(self.bundle, n_samples, seed)

    def raw_inputs(self, X: Any) -> tuple[Tensor, Tensor]:
        """Return what the module of `to_torch` reads of a table.

        Returns: numbers `[N, P]` float64, NaN where missing; codes `[N, Q]` int64, −1 for what
            training never saw.
        Raises: DataError when columns are missing or cells cannot be read.
        """
        return raw_inputs(X, self._preprocessors)

    def draw(self, encoded: list[np.ndarray], n_samples: int, seed: int) -> np.ndarray:
        """Return Monte-Carlo samples of encoded rows: predictions `[S, N]`, or log p `[S, N, C]`.

        Args:
            encoded: `[N, D]` float32, one array per member.
            n_samples: S; 0 gives one sample with dropout off.
        """
        xs = [torch.from_numpy(x) for x in encoded]
        if n_samples == 0:
            return self._point(xs).unsqueeze(0).numpy()
        banks = self._banks(n_samples, seed)
        blocks = [self._samples(x, banks) for x in self._blocks(xs, n_samples)]
        return torch.cat(blocks, dim=1).numpy()

    # ---- inside ----------------------------------------------------------------------------

    def _until_settled(
        self,
        X: Any,
        n_samples: int,
        alpha: float,
        seed: int,
        tolerance: float,
        notices: list[str] | None,
    ) -> Distribution:
        """Return `predict_distribution` with a tolerance."""
        limit = self._conformal_limit(alpha, notices)
        parts: list[dict[str, Tensor]] = []
        for xs in self._encoded(X, notices):
            for rows in self._blocks(xs, n_samples):
                places, found = [], []
                for own, drawn in self._settled(rows, n_samples, seed, tolerance):
                    summary = self._summary(drawn, alpha, limit)
                    places.append(own)
                    found.append(summary | {"n_drawn": torch.full((len(own),), len(drawn))})
                if not found:  # no rows
                    empty = self._samples(rows, self._banks(1, seed))
                    summary = self._summary(empty, alpha, limit)
                    found = [summary | {"n_drawn": torch.zeros(0, dtype=torch.int64)}]
                    places = [torch.arange(0)]
                order = torch.cat(places).argsort()
                joined = {n: torch.cat([each[n] for each in found])[order] for n in found[0]}
                parts.append({"point": self._point(rows), **joined})
        whole = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
        return self._distribution(whole, None, n_samples, alpha)

    def _distribution(
        self, arrays: dict[str, np.ndarray], samples: Tensor | None, n_samples: int, alpha: float
    ) -> Distribution:
        if not self.bundle.is_classification:
            return RegressionDistribution(
                n_samples=n_samples,
                alpha=alpha,
                tau=self._required_tau(),
                samples=None if samples is None else samples.numpy(),
                **arrays,
            )
        return ClassificationDistribution(
            classes=self.classes_,
            n_samples=n_samples,
            alpha=alpha,
            label=self.classes_[arrays["mean"].argmax(1)],
            samples=None if samples is None else samples.exp_().numpy(),
            **{**arrays, "point": np.exp(arrays["point"])},
        )

    def _conformal_limit(self, alpha: float, notices: list[str] | None) -> float | None:
        """Return the limit of conformal scores; None when the bundle has none."""
        scores = self.bundle.calibration.get("conformal_scores")
        if scores is None:
            return None
        limit = conformal.limit_of(np.asarray(scores, dtype=np.float64), alpha)
        if math.isinf(limit) and notices is not None:
            what = "prediction sets" if self.bundle.is_classification else "conformal intervals"
            notices.append(
                f"{what} of alpha {alpha:g} hold everything: {len(scores)} validation rows are too "
                f"few for it, {math.ceil(round(1 / alpha, 9)) - 1} are needed"
            )
        return limit

    def _calibration(self, name: str) -> float | None:
        value = self.bundle.calibration.get(name)
        return None if value is None else float(value)

    def _encoded(self, X: Any, notices: list[str] | None) -> Iterator[list[Tensor]]:
        """Yield the encoded rows of a part of the table, `[n, D]`, one tensor per member."""
        for encoded in encoded_parts(X, self._preprocessors, notices):
            yield [encoded[place] for place in self._encoders]

    def _point(self, xs: list[Tensor]) -> Tensor:
        """Return the members' joint prediction, dropout off: `[N]`, or log p `[N, C]`."""
        parts = []
        for rows in self._blocks(xs, len(xs)):
            values = self._in_units(self._ensemble.outputs(rows), slice(None))
            parts.append(log_mean_exp(values) if self.bundle.is_classification else values.mean(0))
        return torch.cat(parts)

    def _in_units(self, outputs: Tensor, members: slice) -> Tensor:
        """Turn outputs `[K, N, C]` into log p, or `[K, N]` in the target's units; float64.

        Args:
            members: whose they are; one, or one per output.
        """
        if self.bundle.is_classification:
            return torch.log_softmax(outputs.double(), dim=-1)
        mean, std = (column[members] for column in self._scale)
        return outputs[..., 0].double() * std + mean

    def _banks(self, n_samples: int, seed: int, start: int = 0) -> list[MaskBank]:
        """Return the masks of samples `start` to `n_samples`, those of each member."""
        members = self.bundle.members
        return [
            MaskBank(
                member.config,
                member.n_inputs,
                range(start + (place - start) % len(members), n_samples, len(members)),
                seed,
            )
            for place, member in enumerate(members)
        ]

    def _blocks(self, xs: list[Tensor], n_samples: int) -> Iterator[list[Tensor]]:
        """Yield rows so few at a time that so many samples of each stay bounded."""
        n_outputs = max(len(self.bundle.classes), 1)
        rows = max(SAMPLE_NUMBERS // (n_samples * n_outputs), 1)
        for parts in zip(*(x.split(rows) for x in xs), strict=True):
            yield list(parts)

    def _samples(self, xs: list[Tensor], banks: list[MaskBank]) -> Tensor:
        """Return all samples of the banks: predictions `[S, N]`, or log p `[S, N, C]`."""
        numbers = [np.asarray(bank.numbers, dtype=np.int64) for bank in banks]
        n_samples, first = sum(map(len, numbers)), min(own[0] for own in numbers if len(own))
        drawn: Tensor | None = None
        for place, (passes, x, bank) in enumerate(
            zip(self._ensemble.passes, xs, banks, strict=True)
        ):
            if not len(bank):
                continue
            own = self._in_units(passes.samples(x, bank), slice(place, place + 1))
            if drawn is None:
                drawn = own.new_empty(n_samples, *own.shape[1:])
            drawn[numbers[place] - first] = own
        assert drawn is not None
        return drawn

    def _settled(
        self, xs: list[Tensor], n_samples: int, seed: int, tolerance: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (places of rows, their samples) as `mc_error` of these rows falls to `tolerance`.

        Samples are drawn in rounds that double their number, the last rows get all.
        """
        active, start = torch.arange(len(xs[0])), 0
        before: Tensor | None = None
        while len(active):
            stop = min(max(2 * start, FIRST_ROUND, len(xs)), n_samples)
            new = self._samples([x[active] for x in xs], self._banks(stop, seed, start))
            drawn = new if before is None else torch.cat([before, new])
            values = drawn.exp() if self.bundle.is_classification else drawn
            error = mixture.deviation(values) / math.sqrt(stop)
            error = error.amax(-1) if self.bundle.is_classification else error
            ends = (error <= tolerance) | torch.tensor(stop == n_samples)
            if ends.any():
                yield active[ends], drawn[:, ends]
            active, before, start = active[~ends], drawn[:, ~ends], stop

    def _summary(self, drawn: Tensor, alpha: float, limit: float | None) -> dict[str, Tensor]:
        if self.bundle.is_classification:
            return class_summary(drawn, self.temperature, limit)
        return value_summary(drawn, self._required_tau(), alpha, limit)

    def _required_tau(self) -> float:
        if self.tau is None:
            raise BundleError(
                "predict_distribution: expected a bundle with the noise τ of its target, however: "
                "it has none. Export the bundle again."
            )
        return self.tau

    def _require_dropout(self) -> None:
        if not self.has_dropout:
            raise BundleError(
                "predict_distribution: expected a model trained with dropout, however: this one "
                "has none, so all its samples would be equal. Search a space whose [dropout] rate "
                "is greater than 0, or use predict."
            )
