"""`autotrain search`: a model, the printed result and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

import autotrain as package
from autotrain import Study
from autotrain.search import preparing
from autotrain.search.definition import Definition
from autotrain.vocabulary import value_text
from tests.cli.conftest import HERE, HOLDOUT, NO_DROPOUT, Run, listing

SEARCH = ("search", "shop.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT)


def test_search_prints_scores_winner_model_and_next_commands(here: Path, autotrain: Run) -> None:
    done = autotrain(*SEARCH, "--trials", 3)

    assert done.code == 0, done.err
    lines = {line[:12].strip(): line[12:].strip() for line in done.out.splitlines()}
    assert lines["Test"].startswith("log_loss ")
    assert lines["Test"].endswith("on 18 held-out rows")
    assert lines["Validation"].startswith("log_loss ")
    assert lines["Winner"].startswith("trial ")
    assert "dropout 0.2" in lines["Winner"]
    assert lines["Trials"].startswith("3: ")
    assert lines["Model"] == "studies/shop/best"
    for command in ("predict studies/shop/best", "show shop", "dashboard shop", "resume shop"):
        assert f"autotrain {command}" in done.out
    predictor = package.load(here / "studies/shop/best")
    scores = predictor.bundle.scores["test"]
    assert f"{scores['log_loss']:.4f}" in lines["Test"]
    # Progress and notes are not results.
    assert "trials: 3 of 3 done" in done.err
    assert "54 rows to train, 18 to validate, 18 to test" not in done.out
    assert "18 to test" in done.err


def test_json_is_one_object_and_quiet_is_quiet(here: Path, autotrain: Run) -> None:
    done = autotrain(*SEARCH, "--trials", 2, "--json", "--quiet", "--test", "0")

    assert done.code == 0
    assert done.err == ""
    result = done.json()
    assert result["study"] == "shop"
    assert result["bundle"] == "studies/shop/best"
    assert sum(result["trials"].values()) == 2
    assert result["test"] is None  # no rows were held out
    assert result["has_dropout"] is True
    assert result["params"].keys() >= {"activation", "optimizer.learning_rate"}
    assert 0 < result["validation_value"] < 5


def test_winner_without_dropout_is_noted(here: Path, autotrain: Run) -> None:
    (here / "space.toml").write_text(NO_DROPOUT)
    done = autotrain(*SEARCH, "--trials", 1)
    assert done.code == 0
    assert "Dropout     none in the winner" in done.out


@pytest.mark.parametrize(("space", "is_said"), [("no_dropout.toml", True), ("space.toml", False)])
def test_space_without_dropout_is_noted_before_the_search(
    here: Path, autotrain: Run, space: str, is_said: bool
) -> None:
    words = ("search", "shop.csv", "--target", "bought", "--space", space, *HOLDOUT)
    done = autotrain(*words, "--trials", 1, "--study", "s")
    assert done.code == 0, done.err
    assert ("some networks of this space have no dropout" in done.err) == is_said
    assert done.err.find("some networks") < done.err.find("best log_loss")
    plan = autotrain(*words, "--dry-run", "--json").json()
    assert ("some networks of this space have no dropout" in " ".join(plan["notes"])) == is_said


def test_dry_run_shows_the_plan_and_writes_nothing(here: Path, autotrain: Run) -> None:
    before = listing(here)
    plan = autotrain(*SEARCH, "--dry-run", "--trials", 7, "--timeout", "90s", "--json").json()
    text = autotrain(*SEARCH, "--dry-run", "--trials", 7, "--validation", "3-fold").out

    assert listing(here) == before
    assert plan["rows"] == {"train": 58, "validation": 14, "calibration": 0, "test": 18}
    assert plan["task"] == "binary"
    assert (plan["trials"], plan["timeout_s"], plan["workers"]) == (7, 90, 1)
    # relu with 4 units is forbidden.
    assert (plan["space"]["combinations"], plan["space"]["continuous"]) == (3, 1)
    assert "48 rows to train, 24 to validate in each of 3 folds, 18 to test" in text
    assert "binary: two labels" in text
    assert "3 combinations × 1 continuous parameter," in text


def test_settings_of_the_pruner_are_part_of_the_study(here: Path, autotrain: Run) -> None:
    settings = ("--pruner-options", "quantile=0.4,patience=8")
    plan = autotrain(*SEARCH, *settings, "--dry-run", "--json").json()
    assert plan["pruner_options"] == {"quantile": 0.4}, "8 is the default"
    assert "performance (quantile = 0.4)" in autotrain(*SEARCH, *settings, "--dry-run").out
    assert autotrain(*SEARCH, *settings, "--trials", 1, "--quiet", "--study", "one").code == 0
    other = autotrain(*SEARCH, "--trials", 1, "--study", "one")
    assert other.code == 2
    assert "pruner_options" in other.err
    assert autotrain("resume", "one", "--trials", 1, "--quiet").code == 0
    assert Definition.read(here / "studies" / "one").pruner_options == {"quantile": 0.4}


@pytest.mark.parametrize(
    ("pruner", "settings", "word"),
    [
        ("performance", "quantil=0.4", "quantile"),
        ("performance", "quantile=4", "quantile"),
        ("performance", "quantile", "NAME=NUMBER"),
        ("performance", "quantile=", "NAME=NUMBER"),
        ("performance", "=0.4", "NAME=NUMBER"),
        ("performance", "quantile=high", "NAME=NUMBER"),
        ("performance", "grace=1,grace=2", "grace"),
        ("performance", "", "NAME=NUMBER"),
        ("performance", "grace=2.5", "grace"),
        ("performance", "quantile=nan", "quantile"),
        ("none", "grace=2", "grace"),
        ("asha", "grace=2", "min_resource"),
    ],
)
def test_wrong_settings_of_the_pruner_are_refused(
    here: Path, autotrain: Run, pruner: str, settings: str, word: str
) -> None:
    before = listing(here)
    done = autotrain(*SEARCH, "--pruner", pruner, "--pruner-options", settings, "--trials", 1)
    assert done.code == 2
    assert word in done.err
    assert "Traceback" not in done.err
    assert listing(here) == before


def test_name_comes_from_the_data_and_the_same_search_is_resumed(
    here: Path, autotrain: Run
) -> None:
    options = ("--trials", 1, "--json", "--quiet")
    first = autotrain(*SEARCH, *options).json()
    again = autotrain(*SEARCH, *options).json()
    other = autotrain(*SEARCH, *options, "--seed", 7).json()

    assert (first["study"], sum(first["trials"].values())) == ("shop", 1)
    assert (again["study"], sum(again["trials"].values())) == ("shop", 2)
    assert (other["study"], sum(other["trials"].values())) == ("shop-2", 1)
    assert Definition.read(here / "studies/shop").n_trials == 2


def test_no_limit_means_ten_minutes(here: Path, autotrain: Run) -> None:
    assert autotrain(*SEARCH, "--dry-run", "--json").json()["timeout_s"] == 600


def test_time_limit_counts_from_the_start_of_the_command(here: Path, autotrain: Run) -> None:
    """The time is over when the search starts, so it ends with its first trials."""
    options = ("--trials", 20, "--timeout", "50", "--quiet", "--json")
    done = autotrain(*SEARCH, *options, started_before_s=60)
    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) < 5
    assert done.json()["seconds"] > 60


def test_no_successful_trial_is_exit_code_3(here: Path, autotrain: Run) -> None:
    done = autotrain(*SEARCH[:4], "--space", "diverging.toml", *HOLDOUT, "--trials", 2, "--json")
    assert done.code == 3
    assert done.out == ""
    assert "at least one complete trial, got 2 pruned" in done.err
    shown = autotrain("show", "shop")
    assert shown.code == 0
    assert "the loss went to infinity or NaN" in shown.out


def test_bug_is_exit_code_1_with_a_traceback(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(preparing, "load_dataset", broken)
    done = autotrain(*SEARCH)
    assert done.code == 1
    assert "Traceback" in done.err
    assert "ZeroDivisionError: oh" in done.err
    assert "This is a bug in autotrain" in done.err


def test_interrupt_before_the_first_trial_writes_nothing(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "load_dataset", interrupt)
    done = autotrain(*SEARCH)
    assert done.code == 130
    assert "Interrupted" in done.err
    assert not (here / "studies").exists()


def test_one_score_is_shown_everywhere(here: Path, autotrain: Run) -> None:
    """Terminal, JSON, `show`, model card and Python: the score of the model in `best/`."""
    options = ("--trials", 8, "--pruner", "none", "--workers", 1, "--seed", 3)
    done = autotrain(*SEARCH, *options)
    assert done.code == 0, done.err
    bundle = package.load(here / "studies/shop/best").bundle
    value = bundle.scores["validation"]["log_loss"]
    error = bundle.scores["validation_error"]["log_loss"]
    shown = autotrain("show", "shop", "--json").json()
    assert (shown["validation_value"], shown["validation_error"]) == (value, error)
    assert shown["selection"] == bundle.training["selection"]
    with Study.resume("shop", directory=here / "studies") as study:
        assert (study.best_value, study.best_error) == (value, error)
        assert study.selection is not None
        assert study.selection.to_json() == shown["selection"]
        assert study.winner is not None
        assert study.selection.mean == study.winner.estimate
        best = study.optuna_study.best_trial
        assert (study.selection.best_trial, study.selection.best_value) == (best.number, best.value)
    texts = [done.out, autotrain("show", "shop").out]
    texts.append((here / "studies/shop/best/MODEL_CARD.md").read_text(encoding="utf-8"))
    for text in texts:
        assert f"log_loss {value_text(value)} ± {value_text(error)}" in text
        assert value_text(study.selection.mean or 0.0) in text
    assert f" {value_text(value)} " in autotrain("show").out
    done = autotrain("resume", "shop", "--trials", 1, "--finalists", 0, "--json", "--quiet")
    assert done.code == 0, done.err
    again, shown = done.json(), autotrain("show", "shop", "--json").json()
    assert again["validation_value"] == shown["validation_value"]
    assert again["selection"]["reason"] == "value"


def test_search_that_compared_one_trial_says_so(here: Path, autotrain: Run) -> None:
    done = autotrain(*SEARCH, "--trials", 1, "--json", "--quiet").json()
    assert done["selection"]["reason"] == "only"
    assert done["selection"]["n_complete"] == 1
    assert "only complete trial" in autotrain("show", "shop").out


def test_finals_and_ensemble_are_printed(here: Path, autotrain: Run) -> None:
    asked = ("--trials", 8, "--ensemble", 3, "--pruner", "none", "--workers", 1)
    done = autotrain(*SEARCH, *asked, "--metric", "accuracy", "--seed", 3)

    assert done.code == 0, done.err
    lines = done.out.splitlines()
    words = next(line for line in lines if line.startswith("Ensemble"))
    members = package.load(here / "studies/shop/best").bundle.training["ensemble"]
    again = {False: "", True: " again"}
    trials = ", ".join(f"{each['trial']}{again[each['repeat'] > 0]}" for each in members)
    assert words.endswith(f"of {len(members)} trainings (trials {trials})")
    assert "repeats of the best" in done.err
    assert "(" in lines[0], "the interval of the test score"

    # It resumes with its own settings unless others are given.
    again = autotrain(
        "resume", "shop", "--trials", 1, "--ensemble", 0, "--finalists", 0, "--json", "--quiet"
    ).json()
    assert again["ensemble"] is None
    assert again["selection"]["reason"] == "value"
    assert Definition.read(here / "studies/shop").ensemble == 0


def test_missing_ensemble_is_printed(here: Path, autotrain: Run) -> None:
    done = autotrain(*SEARCH, "--trials", 1, "--ensemble", 3, "--finalists", 0)
    assert done.code == 0, done.err
    assert "Ensemble    none: no other training qualifies" in done.out
    assert "Ensemble" not in autotrain(*SEARCH, "--trials", 1, "--finalists", 0).out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--ensemble", "-2", "not in the range x>=0"),
        ("--ensemble", "all", "must be an integer or auto, got 'all'"),
        ("--finalists", "-2", "not in the range x>=0"),
    ],
)
def test_invalid_number_of_members_is_refused(
    here: Path, autotrain: Run, option: str, value: str, message: str
) -> None:
    done = autotrain(*SEARCH, option, value)
    assert done.code == 2
    assert message in done.err
    assert not (here / "studies").exists()


@pytest.mark.parametrize(("asked", "planned"), [((), "auto"), ((0,), 0), (("auto",), "auto")])
def test_number_of_members_depends_on_the_rows_by_default(
    here: Path, autotrain: Run, asked: tuple[object, ...], planned: object
) -> None:
    option = ("--ensemble", *asked) if asked else ()
    words = ("search", "shop.csv", "--target", "bought", *option, "--dry-run", "--json")
    assert autotrain(*words).json()["ensemble"] == planned
    line = f'ensemble = "{planned}"' if planned == "auto" else f"ensemble = {planned}"
    (here / "file.toml").write_text(f'data = "shop.csv"\ntarget = "bought"\n{line}\n')
    plan = autotrain("search", "file.toml", "--dry-run", "--json").json()
    assert plan["ensemble"] == planned


def test_few_rows_export_an_ensemble_by_default(here: Path, autotrain: Run) -> None:
    options = ("--space", "space.toml", "--trials", 6, "--finalists", 0, "--pruner", "none", *HERE)
    done = autotrain("search", "shop.csv", "--target", "bought", *options, "--json", "--quiet")
    result = done.json()
    assert result["selection"]["reason"] == "contenders"
    assert 2 <= len(result["ensemble"]) <= 4
    assert (
        autotrain("show", "shop", "--json").json()["validation_value"]
        == (result["validation_value"])
    )
    predicted = autotrain("predict", "shop", "shop.csv", "--quiet")
    assert predicted.code == 0
    assert len(predicted.out.splitlines()) == 91
    # Its winner alone is one word away.
    alone = autotrain("resume", "shop", "--ensemble", 0, "--json", "--quiet").json()
    assert alone["ensemble"] is None
    assert alone["selection"]["reason"] == "value"


def test_table_without_numbers_is_searched_and_resumed(here: Path, autotrain: Run) -> None:
    lines = [f"{'ab'[n % 2]},{'xyz'[n % 3]},{'no' if n % 2 else 'yes'}" for n in range(60)]
    (here / "texts.csv").write_text("one,two,y\n" + "\n".join(lines) + "\n")
    words = ("--finalists", 0, "--validation", "holdout", "--quiet", "--json")
    done = autotrain("search", "texts.csv", "--target", "y", "--trials", 2, *words)
    assert done.code == 0, done.err
    assert "embedding" not in str(done.json()["params"])
    again = autotrain("resume", "texts", "--trials", 1, "--quiet", "--json")
    assert again.code == 0, again.err
