"""Compares the scores of searches and of rival methods in equal time, on equal splits.

    python benchmarks/quality.py --data FOLDER [--sets iris mpg] [--methods autotrain optuna]
    python benchmarks/quality.py --report

Every method runs in its own process on the same two cores (the driver binds itself to them) and
reads the same CSV files. The test rows are 20 % of the rows, drawn with the seed and stratified for
classification. A search has `--timeout` seconds, measured from the start of its process:

- autotrain-ensemble: `autotrain search --ensemble 8`, then `autotrain predict` with the model in
  `best/`;
- autotrain: the best single model of the same search, exported after it, so that the difference
  between the two is not the noise between two searches;
- optuna: Optuna around the usual PyTorch loop, `rivals/optuna_mlp.py`.

The others are single fits without a time limit. `--report` shows whether they exceed the timeout:

- sklearn-mlp: scikit-learn's MLP with early stopping;
- hist-gradient-boosting: scikit-learn's, with defaults and categorical features;
- realmlp: pytabkit's RealMLP-TD with its recommendation for log loss (no label smoothing, the epoch
  of the best cross-entropy), in a virtual environment that is created on first use.

Our models are scored in three ways: with `predict_proba` and `predict` (calibrated, without
dropout); with the Monte-Carlo means (calibrated for classification); and with the score that a
search reports (without dropout or calibration). The report has all three, in this order.

All predictions are scored in the same way from the raw labels: log loss (probabilities clipped at
1e-7 and divided by their sum) and accuracy, or nRMSE, the error as a fraction of the test target's
standard deviation. Rows with a label of fewer than 10 rows are left out, because a split may lose
the label.

Each result is appended to the results file at once and is not repeated for the same split, so the
benchmark can be run in parts; `--again METHOD` repeats a method. Searches are stored in
FOLDER/searches; with `--export-again`, our models are exported from these with the current
code, without a search (for example, with another rule for ensembles or another calibration).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

import autotrain

ROOT = Path(__file__).resolve().parents[1]
CORES = 2
ENSEMBLE = ("--ensemble", "8")
CLIP = 1e-7
# Labels with fewer rows are left out, because a split may lose them.
LEAST_ROWS_OF_A_LABEL = 10
# Seconds by which a search may exceed its timeout.
TOLERANCE = 1.05
FIRST_BUNDLE_S = 10.0
POLL_S = 0.05
# Fraction of the cores that other processes may use before the report mentions it.
QUIET = 0.05
# A fit that takes longer is stopped and counts as failed.
LONGEST_FIT_S = 3600.0
REALMLP_REQUIREMENTS = ("torch==2.13.0", "pytabkit==1.7.3")

Row = dict[str, Any]
Command = list[str]


# ---- data --------------------------------------------------------------------------------------

# The target is the last column. labor is for `--sets labor` only, because it has 12 test rows.
SETS = {
    "adult": "binary",
    "bank32nh": "regression",
    "bodyfat": "regression",
    "california_housing": "regression",
    "car": "multiclass",
    "credit_a": "binary",
    "ecoli": "multiclass",
    "insurance": "regression",
    "ionosphere": "binary",
    "iris": "multiclass",
    "labor": "binary",
    "letter": "multiclass",
    "mpg": "regression",
    "optdigits": "multiclass",
    "penguins": "multiclass",
    "pima": "binary",
    "servo": "regression",
    "telco_churn": "binary",
    "titanic": "binary",
    "wine": "multiclass",
    "winequality_white": "regression",
}
LEFT_OUT = ("labor",)


@dataclass(frozen=True)
class Split:
    """Files of one data set, split with one seed.

    Attributes:
        test, test_rows: the test rows with and without the target.
        classes: the sorted labels as text; empty for regression.
    """

    name: str
    task: str
    target: str
    seed: int
    train: Path
    test: Path
    test_rows: Path
    classes: tuple[str, ...]

    def digest(self) -> str:
        """Return a hash of all cells; results of different splits are not compared."""
        written = self.train.read_bytes() + self.test.read_bytes()
        return hashlib.sha256(written).hexdigest()[:12]

    def truth(self) -> np.ndarray:
        """Return the labels of the test rows as text `[N]`, or their targets `[N]`."""
        values = read_texts(self.test)[self.target]
        return values.to_numpy(dtype=str) if self.classes else values.to_numpy(dtype=np.float64)


def read_texts(path: Path) -> pd.DataFrame:
    """Read a CSV file with all cells as text."""
    return pd.read_csv(path, dtype=str, na_filter=False)


def table_of(data: Path, name: str) -> Path:
    """Return the file of a data set."""
    for path in (data / f"{name}.csv", data / f"{name}.csv.gz"):
        if path.is_file():
            return path
    sys.exit(f"{data} must contain {name}.csv or {name}.csv.gz. Choose the folder with --data.")


def make_split(data: Path, name: str, seed: int, folder: Path) -> Split:
    """Write training and test rows of a data set."""
    task = SETS[name]
    frame = read_texts(table_of(data, name))
    target = str(frame.columns[-1])
    frame = frame[frame[target] != ""]
    if task != "regression":
        frame = frame[frame[target].map(frame[target].value_counts()) >= LEAST_ROWS_OF_A_LABEL]
    labels = None if task == "regression" else frame[target]
    train, test = train_test_split(frame, test_size=0.2, random_state=seed, stratify=labels)
    folder.mkdir(parents=True, exist_ok=True)
    split = Split(
        name=name,
        task=task,
        target=target,
        seed=seed,
        train=folder / f"{name}-{seed}-train.csv",
        test=folder / f"{name}-{seed}-test.csv",
        test_rows=folder / f"{name}-{seed}-rows.csv",
        classes=() if labels is None else tuple(sorted(labels.unique())),
    )
    train.to_csv(split.train, index=False)
    test.to_csv(split.test, index=False)
    test.drop(columns=target).to_csv(split.test_rows, index=False)
    return split


# ---- scores ------------------------------------------------------------------------------------


def scores(truth: np.ndarray, prediction: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Return the scores of predictions; methods are compared by `loss`.

    Args:
        truth: `[N]` labels, or numbers.
        prediction: `[N, C]` probabilities in the order of `classes`, or `[N]` numbers.
        classes: the sorted labels; empty for regression.
    """
    expected = (len(truth), len(classes)) if classes else (len(truth),)
    if prediction.shape != expected or not np.isfinite(prediction).all():
        raise ValueError(
            f"predictions must be finite and of shape {expected}, "
            f"got {prediction.shape}, {np.isfinite(prediction).mean():.0%} finite"
        )
    if not classes:
        return {"loss": float(np.sqrt(np.mean((prediction - truth) ** 2)) / truth.std())}
    places = np.searchsorted(np.asarray(classes), truth)
    clipped = np.clip(prediction, CLIP, 1.0)
    proba = clipped / clipped.sum(1, keepdims=True)
    return {
        "loss": float(-np.log(proba[np.arange(len(truth)), places]).mean()),
        "accuracy": float((prediction.argmax(1) == places).mean()),
    }


# ---- running -----------------------------------------------------------------------------------


def environment(threads: int) -> dict[str, str]:
    """Return environment variables that limit the threads of all libraries."""
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA", "VECLIB_MAXIMUM")
    limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
    return os.environ | limits | {"PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Run:
    """Result of a command.

    Attributes:
        first_s: seconds until a file existed.
        others: fraction of the cores' time that other processes used, which a search loses.
    """

    wall_s: float
    first_s: float | None
    others: float
    output: str


def busy_s() -> float:
    """Return the busy time of this process's cores in seconds, for all processes."""
    cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name in cores:
            user, nice, system, _idle, _waiting, *interrupts = map(int, ticks[:8])
            busy += user + nice + system + sum(interrupts)
    return busy / os.sysconf("SC_CLK_TCK")


def children_s() -> float:
    """Return the processor time of the child processes in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(
    command: Command,
    folder: Path,
    variables: dict[str, str],
    limit_s: float,
    watched: Path | None = None,
) -> Run:
    """Run a command to its end.

    Args:
        limit_s: seconds after which it is stopped, with its child processes.
        watched: file whose creation time is `first_s`.

    Raises:
        RuntimeError: if it failed or was stopped.
    """
    first = None
    with (folder / "stdout").open("w+") as output, (folder / "stderr").open("w+") as errors:
        busy, own = busy_s(), children_s()
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                now = time.perf_counter() - start
                if first is None and watched is not None and watched.exists():
                    first = now
                if now > limit_s:
                    raise RuntimeError(f"not over after {limit_s:.0f} s")
                time.sleep(POLL_S)
            wall = time.perf_counter() - start
        finally:
            # This also runs on Ctrl-C. A command that has ended has no process in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        foreign = busy_s() - busy - (children_s() - own)
        others = max(0.0, foreign / (wall * len(os.sched_getaffinity(0))))
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            last = errors.read().strip()[-1500:]
            raise RuntimeError(f"{' '.join(command)}\ngave {process.returncode}: {last}")
        return Run(wall, first, others, output.read())


@dataclass(frozen=True)
class Job:
    """One method on one split."""

    split: Split
    timeout: float
    folder: Path
    realmlp_python: Path
    kept: Path
    """Folder of our search."""
    export_again: bool = False
    """Whether to export from the stored search instead of searching."""


HAND_OVER = """
import json
from autotrain import Study
from autotrain.cli.run_study import outcome

with Study.resume("quality") as study:
    study.export_best({ensemble})
    print(json.dumps(outcome(study, 0.0)))
"""
SEARCH = "search.json"
Answer = tuple[np.ndarray, Row]
"""Predictions of the test rows, and other values to record."""


def autotrain_search(job: Job) -> dict[str, Answer]:
    """Search; predict the test rows with the exported ensemble, then with the single model."""
    cli = [sys.executable, "-m", "autotrain.cli.main"]
    best = job.folder / "studies" / "quality" / "best"
    if job.export_again:
        shutil.copytree(job.kept / "studies", job.folder / "studies")
        of_all = json.loads((job.kept / SEARCH).read_text())
        together = exported_again(job, None)
    else:
        together, of_all = searched(job, cli, best)
    answers = {TOGETHER: autotrain_answer(job, cli, best, together, of_all)}
    answers[SINGLE] = autotrain_answer(job, cli, best, exported_again(job, 0), of_all)
    return answers


def exported_again(job: Job, ensemble: int | None) -> Row:
    """Export the model of the study in the job's folder; return the report on it."""
    script = HAND_OVER.format(ensemble=ensemble)
    done = run([sys.executable, "-c", script], job.folder, environment(CORES), limit(job))
    result: Row = json.loads(done.output)
    return result


def searched(job: Job, cli: Command, best: Path) -> tuple[Row, Row]:
    """Run a search and store the study; return its report on the model and on itself."""
    split = job.split
    command = [*cli, "search", str(split.train), "--target", split.target, "--task", split.task]
    command += ["--test", str(split.test), "--timeout", f"{job.timeout:g}s"]
    command += ["--workers", str(CORES), "--seed", str(split.seed), "--study", "quality"]
    command += ["--json", "--quiet", *ENSEMBLE]
    # The workers of the search use one thread each; its main process has both cores.
    variables = environment(CORES)
    searching = run(command, job.folder, variables, limit(job), best / "bundle.json")
    of_all = {
        "searched_by": version(),
        "wall_s": searching.wall_s,
        "others": searching.others,
        "wall_share": searching.wall_s / job.timeout,
        "first_bundle_s": searching.first_s,
    }
    shutil.rmtree(job.kept, ignore_errors=True)
    shutil.copytree(job.folder / "studies", job.kept / "studies")
    (job.kept / SEARCH).write_text(json.dumps(of_all))
    result: Row = json.loads(searching.output)
    return result, of_all


def autotrain_answer(job: Job, cli: Command, best: Path, result: Row, of_all: Row) -> Answer:
    """Predict the test rows with the existing bundle."""
    predictions = job.folder / "predictions.parquet"
    command = [*cli, "predict", str(best), str(job.split.test_rows), "--output", str(predictions)]
    predicting = run([*command, "--quiet"], job.folder, environment(CORES), LONGEST_FIT_S)
    frame, split = pd.read_parquet(predictions), job.split

    def answer(kind: str, of_numbers: str) -> np.ndarray:
        columns = [f"{kind}_{label}" for label in split.classes] or of_numbers
        return frame[columns].to_numpy(dtype=np.float64)

    has_dropout = "std" in frame or f"std_{next(iter(split.classes), '')}" in frame
    proba = answer("proba", "prediction")
    sampled = answer("mc_proba", "mean") if has_dropout else proba
    return proba, {
        **of_all,
        "monte_carlo_loss": scores(split.truth(), sampled, split.classes)["loss"],
        "predict_s": predicting.wall_s,
        "trials": result["trials"],
        "validation_value": result["validation_value"],
        "winner": result["winner"],
        "own_test": result["test"],
    }


def limit(job: Job) -> float:
    """Return the seconds after which a search is killed."""
    return 2 * job.timeout + 120


def rival(job: Job, module: str, python: str, *, threads: int, timed: bool) -> Answer:
    """Run a module of `rivals/`."""
    split, answer = job.split, job.folder / "answer.npz"
    given = {
        "train": str(split.train),
        "test": str(split.test_rows),
        "target": split.target,
        "classes": split.classes,
        "seed": split.seed,
        "output": str(answer),
        "deadline": time.time() + job.timeout if timed else None,
    }
    described = job.folder / "job.json"
    described.write_text(json.dumps(given), encoding="utf-8")
    command = [python, "-m", f"benchmarks.rivals.{module}", str(described)]
    # Waiting threads sleep, because spinning is many times slower on a shared core.
    variables = environment(threads) | {"OMP_WAIT_POLICY": "PASSIVE"}
    done = run(command, job.folder, variables, limit(job) if timed else LONGEST_FIT_S)
    with np.load(answer) as arrays:
        extra = {name: arrays[name].item() for name in arrays if name != "prediction"}
        share = {"wall_share": done.wall_s / job.timeout} if timed else {}
        return arrays["prediction"], {
            "wall_s": done.wall_s,
            "others": done.others,
            **share,
            **extra,
        }


SINGLE, TOGETHER, BOOSTING = "autotrain", "autotrain-ensemble", "hist-gradient-boosting"


@dataclass(frozen=True)
class Method:
    """A column of the table.

    Attributes:
        timed: whether the result depends on the timeout.
        do: returns its answer, and answers of other methods that it produces.
    """

    do: Callable[[Job], dict[str, Answer]]
    timed: bool
    ours: bool = False


def of_rival(name: str, module: str, *, threads: int = CORES, timed: bool = False) -> Method:
    """Return a method of `rivals/`; RealMLP has its own Python."""

    def do(job: Job) -> dict[str, Answer]:
        python = str(job.realmlp_python) if module == "realmlp" else sys.executable
        return {name: rival(job, module, python, threads=threads, timed=timed)}

    return Method(do, timed)


METHODS = {
    SINGLE: Method(autotrain_search, timed=True, ours=True),
    TOGETHER: Method(autotrain_search, timed=True, ours=True),
    "optuna": of_rival("optuna", "optuna_mlp", threads=1, timed=True),
    "realmlp": of_rival("realmlp", "realmlp"),
    BOOSTING: of_rival(BOOSTING, "hist_gradient_boosting"),
    "sklearn-mlp": of_rival("sklearn-mlp", "sklearn_mlp"),
}


def realmlp_python(folder: Path) -> Path:
    """Return the Python of RealMLP's environment, which is created if it does not exist."""
    python, mark = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join(REALMLP_REQUIREMENTS)
    if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
        print(f"making {folder} for RealMLP ({', '.join(REALMLP_REQUIREMENTS)})", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *REALMLP_REQUIREMENTS]
        subprocess.run([*install, "--disable-pip-version-check"], check=True)
        mark.write_text(wanted, encoding="utf-8")
    return python


def version() -> str:
    """Return autotrain's version and commit, with `+` for uncommitted changes."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = "+" if git("status", "--porcelain", "--", "autotrain", "search_spaces") else ""
    return f"{autotrain.__version__} {git('rev-parse', '--short', 'HEAD')}{changed}".strip()


def measure(method: str, job: Job) -> list[Row]:
    """Run a method on a split; return its row (with `error` if it failed) and further rows."""
    split = job.split
    row: Row = {
        "set": split.name,
        "task": split.task,
        "method": method,
        "seed": split.seed,
        "timeout": job.timeout if METHODS[method].timed else None,
        "digest": split.digest(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version(),
        "cores": len(os.sched_getaffinity(0)),
    }
    try:
        return [
            row | {"method": name} | scores(split.truth(), prediction, split.classes) | extra
            for name, (prediction, extra) in METHODS[method].do(job).items()
        ]
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        return [row | {"error": f"{type(error).__name__}: {error}"}]


# ---- results -----------------------------------------------------------------------------------


def read_results(path: Path) -> list[Row]:
    """Return the rows of the results file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def key_of(row: Row) -> tuple[Any, ...]:
    """Return the key of a row; a later row replaces one with the same key."""
    return row["set"], row["seed"], row["method"], row["timeout"]


def latest(rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    """Return the last row of each key.

    A failed row does not replace a successful one. Only rows of the last split of a data set and
    seed are kept.
    """
    rows = list(rows)
    digests = {(row["set"], row["seed"]): row["digest"] for row in rows}
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if row["digest"] != digests[row["set"], row["seed"]]:
            continue
        if "error" not in row or "error" in found.get(key_of(row), row):
            found[key_of(row)] = row
    return found


@dataclass(frozen=True)
class Table:
    """Losses by set and method: means over the seeds for which all methods have a result.

    Attributes:
        losses: `[set][method]`; methods without a result on a set are absent.
        rows: the rows behind the losses, by set and method.
    """

    methods: list[str]
    losses: dict[str, dict[str, float]]
    rows: dict[str, dict[str, list[Row]]]

    def shared(self, *methods: str) -> list[str]:
        """Return the sets with results of all these methods."""
        return [name for name, row in self.losses.items() if all(m in row for m in methods)]


def dropout_off(row: Row) -> Row:
    """Return a row with the loss of the point prediction, as scored by the search."""
    own = row.get("own_test")
    if own is None:
        return row
    loss = own["log_loss"] if "log_loss" in own else max(1 - own["r2"], 0.0) ** 0.5
    return row | {"loss": loss}


def monte_carlo(row: Row) -> Row:
    """Return a row with the loss of the Monte-Carlo means."""
    return row | {"loss": row.get("monte_carlo_loss", row["loss"])}


def tabulate(rows: Iterable[Row], timeout: float) -> Table:
    """Arrange the rows of one timeout."""
    good = [
        row
        for row in latest(rows).values()
        if "error" not in row and row["timeout"] in (None, timeout)
    ]
    grouped: dict[str, dict[str, dict[int, Row]]] = {}
    for row in good:
        grouped.setdefault(row["set"], {}).setdefault(row["method"], {})[row["seed"]] = row
    kept: dict[str, dict[str, list[Row]]] = {}
    for name, methods in sorted(grouped.items()):
        seeds = set.intersection(*(set(found) for found in methods.values()))
        if seeds:
            kept[name] = {
                method: [found[seed] for seed in sorted(seeds)] for method, found in methods.items()
            }
    losses = {
        name: {
            method: float(np.mean([row["loss"] for row in found])) for method, found in m.items()
        }
        for name, m in kept.items()
    }
    present = {method for row in losses.values() for method in row}
    return Table([method for method in METHODS if method in present], losses, kept)


def mean_ranks(table: Table) -> tuple[dict[str, float], int]:
    """Return the mean rank of each method (1 is best, ties share ranks) and the number of sets."""
    names = table.shared(*table.methods)
    ranks = pd.DataFrame([table.losses[name] for name in names], columns=table.methods).rank(axis=1)
    return {str(method): float(rank) for method, rank in ranks.mean().items()}, len(names)


def wins(table: Table, method: str, other: str) -> tuple[float, int]:
    """Return the fraction of sets on which a method has the lower loss, and the number of sets.

    A tie is half a win.
    """
    pairs = [(table.losses[n][method], table.losses[n][other]) for n in table.shared(method, other)]
    won = sum(1.0 if a < b else 0.5 if a == b else 0.0 for a, b in pairs)
    return (won / len(pairs) if pairs else float("nan")), len(pairs)


def gaps(table: Table, method: str) -> dict[str, float]:
    """Return the relative excess of a method's loss over histogram gradient boosting, by set."""
    names = table.shared(method, BOOSTING)
    return {n: table.losses[n][method] / table.losses[n][BOOSTING] - 1 for n in names}


# ---- report ------------------------------------------------------------------------------------


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *lines))


def report(rows: Iterable[Row], timeout: float) -> str:
    """Return the report on the results of one timeout."""
    rows = list(rows)
    table = tabulate(rows, timeout)
    if not table.losses:
        return f"no results with a timeout of {timeout:g} s"
    sides = {
        "The same, ours as Monte-Carlo means that are not calibrated": monte_carlo,
        "The same, ours with dropout off": dropout_off,
    }
    seeds = {row["seed"] for m in table.rows.values() for found in m.values() for row in found}
    parts = [
        f"{len(table.losses)} sets, seeds {', '.join(map(str, sorted(seeds)))}, {timeout:g} s a "
        f"search, {CORES} cores; autotrain {', '.join(versions(table))}",
        "Log loss, or nRMSE for regression (less is better; the best is bold); autotrain's are "
        "calibrated Monte-Carlo means",
        *compared(table),
    ]
    for name, side in sides.items():
        good = [row if "error" in row else side(row) for row in rows]
        parts += [name, *compared(tabulate(good, timeout))]
    parts += [
        "Accuracy\n\n"
        + markdown(["data", *table.methods], mean_lines(table, "accuracy", "{:.3f}")),
        "Seconds\n\n" + markdown(["data", *table.methods], mean_lines(table, "wall_s", "{:.1f}")),
        "\n".join(f"- {line}" for line in clock(table, timeout)),
    ]
    failed = [row for row in latest(rows).values() if "error" in row]
    parts += [
        f"failed: {row['method']} on {row['set']}, seed {row['seed']}: {row['error'][-300:]}"
        for row in failed
        if row["timeout"] in (None, timeout)
    ]
    return "\n\n".join(parts)


def compared(table: Table) -> list[str]:
    """Return the table of losses and its comparison with the requirements."""
    return [
        markdown(["data", *table.methods], loss_lines(table)),
        "\n".join(f"- {line}" for line in comparisons(table)),
    ]


def versions(table: Table) -> list[str]:
    """Return the versions of autotrain in the results."""
    found = [rows for m in table.rows.values() for name, rows in m.items() if METHODS[name].ours]
    named = set()
    for row in (row for rows in found for row in rows):
        searched_by = row.get("searched_by", row["version"])
        again = "" if searched_by == row["version"] else f" (searched by {searched_by})"
        named.add(row["version"] + again)
    return sorted(named) or ["not measured"]


def loss_lines(table: Table) -> list[list[str]]:
    """Return the losses by set, the best bold."""
    lines = []
    for name, losses in table.losses.items():
        best = min(losses.values())
        cells = ["" if m not in losses else f"{losses[m]:.4f}" for m in table.methods]
        marked = [
            f"**{cell}**" if losses.get(m) == best else cell
            for cell, m in zip(cells, table.methods, strict=True)
        ]
        lines.append([name, *marked])
    return lines


def mean_lines(table: Table, what: str, form: str) -> list[list[str]]:
    """Return means of a value by set, for rows that have it."""
    lines = []
    for name, methods in table.rows.items():
        cells = []
        for method in table.methods:
            found = [row[what] for row in methods.get(method, []) if row.get(what) is not None]
            cells.append(form.format(np.mean(found)) if found else "")
        if any(cells):
            lines.append([name, *cells])
    return lines


def comparisons(table: Table) -> list[str]:
    """Return ranks, wins and gaps, each with its requirement."""
    ranks, n = mean_ranks(table)
    lines = [f"mean rank on {n} sets: " + ", ".join(f"{m} {r:.2f}" for m, r in ranks.items())]
    for ours in (SINGLE, TOGETHER):
        for other in table.methods:
            share, n = wins(table, ours, other)
            if n and other != ours and not (ours == SINGLE and other == TOGETHER):
                lines.append(
                    f"{ours} beats {other} on {share:.0%} of {n} sets{bar(ours, other, share)}"
                )
    for ours in (SINGLE, TOGETHER):
        found = gaps(table, ours)
        if found:
            values = list(found.values())
            mean = float(np.mean(values))
            holds = f" (bar: mean ≤ 0 %: {held(mean <= 0)})" if ours == SINGLE else ""
            lines.append(
                f"{ours} against {BOOSTING}: mean {mean:+.1%}{holds}, median "
                f"{np.median(values):+.1%}; "
                + ", ".join(f"{name} {value:+.1%}" for name, value in found.items())
            )
    return lines


BARS = {(SINGLE, "optuna"): 0.8, (SINGLE, "realmlp"): 0.6, (TOGETHER, SINGLE): 0.7}


def bar(ours: str, other: str, share: float) -> str:
    """Return the required fraction of wins, and whether it is met."""
    wanted = BARS.get((ours, other))
    return "" if wanted is None else f" (bar: {wanted:.0%}: {held(share >= wanted)})"


def held(holds: bool) -> str:
    """Return the word for a requirement that is met or not."""
    return "holds" if holds else "missed"


def clock(table: Table, timeout: float) -> list[str]:
    """Return the overruns of timeouts and the times of the first bundles."""
    lines = []
    for method in table.methods:
        found = [row for methods in table.rows.values() for row in methods.get(method, [])]
        if METHODS[method].timed:
            kept = sum(row["wall_share"] <= TOLERANCE for row in found)
            longest = max(row["wall_share"] for row in found)
            line = f"{method}: {kept} of {len(found)} timeouts kept within 5 %"
            line += f" (longest {longest:.0%} of the timeout)"
            if METHODS[method].ours:
                firsts = [
                    row["first_bundle_s"] for row in found if row["first_bundle_s"] is not None
                ]
                early = sum(first <= FIRST_BUNDLE_S for first in firsts)
                line += f"; first bundle within {FIRST_BUNDLE_S:g} s in {early} of {len(found)}"
                line += f" (latest {max(firsts):.1f} s)" if firsts else ""
            lines.append(line)
        else:
            late = sorted({row["set"] for row in found if row["wall_s"] > timeout})
            if late:
                lines.append(f"{method} took longer than {timeout:g} s on {', '.join(late)}")
        worst = max(row["others"] for row in found)
        if worst > QUIET:
            n = sum(row["others"] > QUIET for row in found)
            lines.append(
                f"{method}: other processes had more than {QUIET:.0%} of the cores in {n} of "
                f"{len(found)} runs (up to {worst:.0%}): measure again on a quiet machine"
            )
    return lines


# ---- command -----------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    """Read the command line."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    usual = [name for name in SETS if name not in LEFT_OUT]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "tidy")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=usual, metavar="SET")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument(
        "--again", nargs="+", choices=METHODS, default=[], help="repeat these methods"
    )
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds per search")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--folder", type=Path, default=cache / "autotrain-quality")
    parser.add_argument("--results", type=Path, help="default: FOLDER/results.jsonl")
    parser.add_argument(
        "--environment", type=Path, help="environment of RealMLP; default: FOLDER/realmlp"
    )
    parser.add_argument(
        "--export-again", action="store_true", help="export our models again from stored searches"
    )
    parser.add_argument("--report", action="store_true", help="only print what there is")
    return parser.parse_args()


def main() -> None:
    """Run what has no result yet, then print the report."""
    arguments = parse()
    folder = arguments.folder.resolve()
    if arguments.export_again:
        arguments.methods = arguments.again = [TOGETHER, SINGLE]
        for seed in arguments.seed:
            for name in arguments.sets:
                if not (kept_search(folder, name, seed) / SEARCH).is_file():
                    sys.exit(
                        f"--export-again needs a search of {name}, seed {seed}, in "
                        f"{folder / 'searches'}. Run it without --export-again first, or choose "
                        "others with --sets and --seed."
                    )
    methods = list(dict.fromkeys([*arguments.methods, *arguments.again]))
    results = arguments.results or folder / "results.jsonl"
    if not arguments.report:
        python = folder / "realmlp" / "bin" / "python"
        if "realmlp" in methods:
            python = realmlp_python((arguments.environment or folder / "realmlp").resolve())
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        results.parent.mkdir(parents=True, exist_ok=True)
        for seed in arguments.seed:
            for name in arguments.sets:
                split = make_split(arguments.data, name, seed, folder / "splits")
                made: set[str] = set()
                for method in methods:
                    if method not in made:
                        made |= complete(method, split, arguments, results, python)
    chosen = [
        row
        for row in read_results(results)
        if row["set"] in arguments.sets and row["method"] in methods
        if row["seed"] in arguments.seed
    ]
    print(f"\n{report(chosen, arguments.timeout)}")


def kept_search(folder: Path, name: str, seed: int) -> Path:
    """Return the folder of our search on a split."""
    return folder / "searches" / f"{name}-{seed}"


def complete(
    method: str, split: Split, arguments: argparse.Namespace, results: Path, python: Path
) -> set[str]:
    """Append a method's result on a split to the file if it is missing; return the new rows."""
    timeout = arguments.timeout if METHODS[method].timed else None
    there = latest(read_results(results)).get((split.name, split.seed, method, timeout))
    usable = there is not None and "error" not in there and there["digest"] == split.digest()
    if usable and method not in arguments.again:
        return set()
    folder = Path(tempfile.mkdtemp(prefix="quality-"))
    try:
        kept = kept_search(arguments.folder.resolve(), split.name, split.seed)
        job = Job(split, arguments.timeout, folder, python, kept, arguments.export_again)
        rows = measure(method, job)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with results.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    for row in rows:
        said = row["error"].splitlines()[-1] if "error" in row else f"{row['loss']:.4f}"
        seconds = f"{row['wall_s']:7.1f} s" if "wall_s" in row else " " * 9
        name = f"{split.name:20} seed {split.seed} {row['method']:24}"
        print(f"{name} {seconds}  {said}", flush=True)
    return {row["method"] for row in rows}


if __name__ == "__main__":
    main()
