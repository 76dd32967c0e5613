"""`autotrain predict` and `evaluate`: files, columns, notes, and what cannot be predicted."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import autotrain as package
from autotrain.cli.evaluate import shortened
from autotrain.cli.predict import _write_json
from autotrain.data.files import read_table
from autotrain.predictor import ClassificationDistribution
from autotrain.predictor.thresholds import Goal
from tests.cli.conftest import SPACE, Run
from tests.winners import train

ROWS = "city,age,income\nUlm,30,2500\nJena,61,\nBonn,44,3100\n"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Give new rows: other order of columns, a missing cell, no target."""
    path = tmp_path / "new.csv"
    path.write_text(ROWS)
    return path


def test_classes_have_probabilities_and_uncertainty(there: Path, new: Path, autotrain: Run) -> None:
    done = autotrain("predict", "shop", new)
    assert done.code == 0, done.err
    found = rows_of(done.out)
    assert list(found[0]) == [
        "prediction",
        "proba_no",
        "proba_yes",
        "mc_proba_no",
        "mc_proba_yes",
        "std_no",
        "std_yes",
        "entropy",
        "expected_entropy",
        "mutual_information",
        "variation_ratio",
        "in_set_no",
        "in_set_yes",
    ]
    assert {row["prediction"] for row in found} <= {"yes", "no"}


def test_numbers_have_intervals(there: Path, new: Path, autotrain: Run) -> None:
    done = autotrain("predict", "paid", new, "--alpha", 0.5)
    assert done.code == 0, done.err
    found = rows_of(done.out)
    wide = rows_of(autotrain("predict", "paid", new).out)
    assert list(found[0]) == [
        "prediction",
        "mean",
        "std",
        "mc_error",
        "typical_error",
        "total_error",
        "lower",
        "upper",
        "conformal_lower",
        "conformal_upper",
    ]
    for narrow_row, row in zip(found, wide, strict=True):
        assert float(row["lower"]) < float(narrow_row["lower"]) < float(row["prediction"])
        assert float(row["prediction"]) < float(narrow_row["upper"]) < float(row["upper"])


def test_predictions_equal_those_of_the_predictor(
    there: Path, tmp_path: Path, autotrain: Run
) -> None:
    path = tmp_path / "rows.csv"
    table = pd.read_csv("shop.csv").drop(columns="bought").iloc[:5]
    table.to_csv(path, index=False)
    done = autotrain("predict", "studies/shop/best", path, "--samples", 20, "--seed", 4)

    expected = package.load("studies/shop/best").predict_distribution(table, 20, seed=4)
    assert isinstance(expected, ClassificationDistribution)
    found = pd.read_csv(io.StringIO(done.out))
    assert list(found["prediction"]) == list(expected.label)
    np.testing.assert_allclose(found["proba_yes"], expected.proba[:, 1], rtol=1e-12)
    np.testing.assert_allclose(found["mc_proba_yes"], expected.calibrated_mean[:, 1], rtol=1e-12)
    np.testing.assert_allclose(found["mutual_information"], expected.mutual_information, atol=1e-12)
    assert autotrain("predict", "shop", path, "--samples", 20, "--seed", 5).out != done.out


def test_tolerance_stops_sampling_row_by_row(there: Path, new: Path, autotrain: Run) -> None:
    done = autotrain("predict", "paid", new, "--samples", 60, "--tolerance", 1e9)
    assert done.code == 0, done.err
    assert [int(row["n_drawn"]) for row in rows_of(done.out)] == [20, 20, 20]
    exact = rows_of(autotrain("predict", "paid", new, "--samples", 60, "--tolerance", 1e-9).out)
    assert [int(row["n_drawn"]) for row in exact] == [60, 60, 60]
    assert "n_drawn" not in rows_of(autotrain("predict", "paid", new, "--samples", 60).out)[0]
    without = autotrain("predict", "plain", new, "--tolerance", 0.1)
    assert without.code == 2
    assert "needs a model trained with dropout" in without.err


@pytest.mark.parametrize("goal", ["cost=1:10", "recall=0.95", "0.2"])
def test_labels_follow_the_threshold(there: Path, autotrain: Run, goal: str) -> None:
    done = autotrain("predict", "shop", "shop.csv", "--threshold", goal)
    assert done.code == 0, done.err
    frame = pd.read_csv(io.StringIO(done.out))
    is_yes = frame["prediction"] == "yes"
    value = frame.loc[is_yes, "proba_yes"].min()
    assert frame.loc[~is_yes, "proba_yes"].max() < value
    if goal == "0.2":
        assert list(is_yes) == list(frame["proba_yes"] >= 0.2)
        assert "predicted from" not in done.err
    else:
        rules = Goal.parse(goal).arguments()
        found = package.load("studies/shop/best").threshold(**rules)
        assert list(is_yes) == list(frame["proba_yes"] >= found.value)
        assert f"yes is predicted from a probability of {found.value:.4g} on" in done.err
    other = autotrain("predict", "shop", "shop.csv", "--threshold", "0.9", "--positive", "no")
    frame = pd.read_csv(io.StringIO(other.out))
    assert list(frame["prediction"] == "no") == list(frame["proba_no"] >= 0.9)


def test_evaluate_shows_metrics_at_the_threshold(there: Path, autotrain: Run) -> None:
    words = ("evaluate", "shop", "shop.csv", "--threshold", "0.2")
    facts = autotrain(*words, "--json").json()
    predictor = package.load("studies/shop/best").with_threshold(0.2)
    frame = pd.read_csv("shop.csv")
    is_yes = predictor.predict(frame) == "yes"
    assert facts["threshold"]["metrics"]["recall"] == pytest.approx(
        is_yes[frame["bought"] == "yes"].mean()
    )
    assert facts["threshold"]["value"] == 0.2
    header, *lines = autotrain(*words).out.splitlines()
    assert header.endswith("threshold 0.2")
    line = next(line for line in lines if line.startswith("recall"))
    assert float(line.split()[-1]) == pytest.approx(
        facts["threshold"]["metrics"]["recall"], abs=1e-4
    )
    assert autotrain("evaluate", "shop", "shop.csv", "--json").json()["threshold"] is None


def test_uncertain_rows_have_no_label(there: Path, autotrain: Run) -> None:
    done = autotrain("predict", "shop", "shop.csv", "--max-risk", 0.7)
    assert done.code == 0, done.err
    frame = pd.read_csv(io.StringIO(done.out), keep_default_na=False)
    predictor = package.load("studies/shop/best")
    table = pd.read_csv("shop.csv")
    rule = predictor.abstention(0.7)
    assert rule.limit is not None
    unsure = predictor.is_unsure(table, rule)
    assert list(frame["is_unsure"]) == list(unsure)
    expected = np.where(unsure, "", predictor.predict(table))
    assert list(frame["prediction"]) == list(expected)
    assert f"{unsure.sum()} of 90 rows ({unsure.mean():.1%}) are unsure" in done.err
    rows = autotrain("predict", "shop", "shop.csv", "--max-risk", 0.01, "--json").json()
    assert [row["prediction"] for row in rows["rows"]] == [None] * 90
    assert any("all rows are unsure" in note for note in rows["notes"])
    plain = autotrain("predict", "plain", "shop.csv", "--max-risk", 0.7, "--least-certain", 5)
    assert list(rows_of(plain.out)[0])[:3] == ["row", "prediction", "is_unsure"]


def test_least_certain_rows_have_their_numbers(there: Path, autotrain: Run) -> None:
    def uncertainty(frame: pd.DataFrame) -> pd.Series:
        if "entropy" in frame:
            return frame["entropy"]
        if "upper" in frame:
            return frame["upper"] - frame["lower"]
        # The entropy of two classes falls with the distance from one half.
        return -(frame["proba_no"] - 0.5).abs()

    for study, table in (("shop", "shop.csv"), ("paid", "paid.csv"), ("plain", "shop.csv")):
        whole = pd.read_csv(io.StringIO(autotrain("predict", study, table).out))
        few = pd.read_csv(io.StringIO(autotrain("predict", study, table, "--least-certain", 9).out))
        assert len(few) == 9
        pd.testing.assert_frame_equal(
            few.drop(columns="row"), whole.iloc[few["row"] - 1].reset_index(drop=True)
        )
        ranked = np.argsort(-uncertainty(whole).to_numpy(), kind="stable")
        assert list(few["row"]) == list(ranked[:9] + 1)
    everything = autotrain("predict", "shop", "shop.csv", "--least-certain", 500, "--json").json()
    assert everything["n_rows"] == len(pd.read_csv("shop.csv"))


def test_least_certain_numbers_need_dropout(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(
        pd.read_csv("paid.csv"), {"dropout.rate": 0.0}, target="amount", validation="holdout"
    ).export(here / "silent")
    done = autotrain("predict", "silent", "paid.csv", "--least-certain", 3)
    assert done.code == 2
    assert "--least-certain needs intervals" in done.err


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_output_files_equal_stdout(
    there: Path, new: Path, tmp_path: Path, autotrain: Run, ending: str
) -> None:
    path = tmp_path / f"out.{ending}"
    done = autotrain("predict", "paid", new, "--output", path, "--samples", 10)
    assert done.code == 0
    assert done.out == ""
    assert f"Wrote 3 predictions to {path}" in done.err
    readers: dict[str, Callable[[Path], pd.DataFrame]]
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}
    printed = pd.read_csv(io.StringIO(autotrain("predict", "paid", new, "--samples", 10).out))
    pd.testing.assert_frame_equal(readers[ending](path), printed, rtol=1e-12)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv", f"out.{ending}"]


def test_other_files_are_not_changed(
    there: Path, new: Path, tmp_path: Path, autotrain: Run
) -> None:
    hidden = new.rename(tmp_path / ".out.csv")
    before = hidden.read_bytes()
    assert autotrain("predict", "paid", hidden, "--output", tmp_path / "out.csv").code == 0
    assert hidden.read_bytes() == before


def test_too_long_names_are_refused(there: Path, new: Path, tmp_path: Path, autotrain: Run) -> None:
    long = "x" * 300
    done = autotrain("predict", "paid", new, "--output", tmp_path / f"{long}.csv")
    assert done.code == 2
    assert "must be a writable file" in " ".join(done.err.split())
    for words in (("predict", long, new), ("evaluate", long, "paid.csv")):
        done = autotrain(*words)
        assert done.code == 2
        assert "File name too long" in done.err
    # As long as a name may be.
    assert autotrain("predict", "paid", new, "--output", tmp_path / f"{'x' * 251}.csv").code == 0


def test_json_keeps_all_digits_and_has_null_for_infinity(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "tiny": [4.808191064619607e-12, np.nan, -np.inf],
            "label": ["ä", "b", "c"],
            "is_in": [True, False, True],
            "number": [2**60 + 1, 2, 3],
        }
    )
    for n_rows in (3, 0):
        _write_json(frame.head(n_rows), tmp_path / "out.json")
        found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        wanted = frame.astype(object).head(n_rows).to_dict("records")
        for row in wanted[1:]:
            row["tiny"] = None
        assert found == wanted


def test_json_is_one_object(there: Path, new: Path, autotrain: Run) -> None:
    facts = autotrain("predict", "paid", new, "--json").json()
    assert facts["n_rows"] == 3
    assert facts["target"] == "amount"
    assert len(facts["rows"]) == 3
    assert isinstance(facts["rows"][0]["prediction"], float)


def test_model_without_dropout_predicts_with_a_note(
    there: Path, tmp_path: Path, autotrain: Run
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    done = autotrain("predict", "plain", path)
    assert done.code == 0
    names = ["proba_no", "proba_yes"]
    assert list(rows_of(done.out)[0]) == ["prediction", *names]
    assert "the model has no dropout" in done.err

    insisting = autotrain("predict", "plain", path, "--samples", 100)
    assert insisting.code == 2
    assert insisting.out == ""
    assert "needs a model trained with dropout, and this one has none" in insisting.err


def test_columns_are_found_by_name_with_notes_about_differences(
    there: Path, tmp_path: Path, autotrain: Run
) -> None:
    straight, odd = tmp_path / "straight.csv", tmp_path / "odd.csv"
    straight.write_text("age,city,income\n30,Ulm,2500\n61,Jena,3000\n")
    odd.write_text("shoe,income,city,age\n44,2500,Ulm,30\n43,3000,Jena,61\n")
    done = autotrain("predict", "paid", odd)
    assert done.out == autotrain("predict", "paid", straight).out
    assert "shoe" in done.err

    odd.write_text("age,city,income\n30,Paris,2500\n")
    unseen = autotrain("predict", "paid", odd)
    assert unseen.code == 0
    assert "city" in unseen.err
    assert "Paris" in unseen.err

    quiet = autotrain("predict", "paid", odd, "--quiet")
    assert quiet.err == ""
    assert quiet.out == unseen.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("paid", "lacking.csv"), "1 is missing: 'city'"),
        (("paid", "none.csv"), "none.csv does not exist"),
        (("piad", "rows.csv"), "Did you mean 'paid'? Studies with a model: paid, plain, shop"),
        (("rows.csv", "rows.csv"), "BUNDLE must be a folder, got the file rows.csv"),
        (("paid", "rows.csv", "--output", "x.xlsx"), "must end in .csv, .parquet, .json"),
        (("paid", "rows.csv", "--output", "no/x.csv"), "must be in an existing folder"),
        (("paid", "rows.csv", "--output", "./rows.csv"), "must not be DATA itself"),
        (("paid", "rows.csv", "--samples", "0"), "0 is not in the range x>=1"),
        (("paid", "rows.csv", "--alpha", "1"), "1.0 is not in the range 0<x<1"),
        (("paid", "rows.csv", "--alpha", "x"), "'x' is not a valid float range"),
        (("paid", "rows.csv", "--threshold", "0.5"), "threshold must be chosen for a model of two"),
        (("paid", "rows.csv", "--max-risk", "0.1"), "--max-risk must be left out for a regression"),
        (("paid", "rows.csv", "--max-risk", "1"), "1.0 is not in the range 0<x<1"),
        (("shop", "rows.csv", "--threshold", "f1=1"), "--threshold must be a number from 0 to 1"),
        (("shop", "rows.csv", "--threshold", "1.5"), "--threshold must be a number from 0 to 1"),
        (("shop", "rows.csv", "--threshold", "cost=0:1"), "cost must be positive numbers"),
        (
            ("shop", "rows.csv", "--threshold", "0.5", "--positive", "maybe"),
            "--positive must be one of the classes 'no', 'yes', got 'maybe'",
        ),
        (("shop", "rows.csv", "--positive", "no"), "needs --threshold"),
        (("paid", "rows.csv", "--least-certain", "0"), "0 is not in the range x>=1"),
        (("paid", "rows.csv", "--tolerance", "0"), "0.0 is not in the range x>0"),
        (("paid", "rows.csv", "--tolerance", "inf"), "must be a finite number greater than 0"),
    ],
)
def test_invalid_prediction_is_refused(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autotrain: Run,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("age,city,income\n30,Ulm,2500\n")
    (tmp_path / "lacking.csv").write_text("age,income\n30,2500\n")
    done = autotrain("predict", *words, "--directory", finished / "studies")
    assert done.code == 2
    assert done.out == ""
    assert message in " ".join(done.err.split())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lacking.csv", "rows.csv"]


def test_changed_bundle_is_refused(
    finished: Path, tmp_path: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    bundle = tmp_path / "bundle"
    assert autotrain("export", "paid", "--output", bundle).code == 0
    tensors = bundle / "model.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    done = autotrain("predict", bundle, "paid.csv")
    assert done.code == 2
    assert "model.safetensors" in done.err
    assert "got " in done.err

    tensors.unlink()
    assert autotrain("evaluate", bundle, "paid.csv").code == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert autotrain("predict", empty, "paid.csv").code == 2


def test_evaluate_shows_scores_with_and_without_dropout(there: Path, autotrain: Run) -> None:
    done = autotrain("evaluate", "paid", "paid.csv")
    assert done.code == 0, done.err
    header, *lines = done.out.splitlines()
    assert header.split() == ["90", "rows", "dropout", "off", "Monte-Carlo,", "100", "samples"]
    assert {line.split()[0] for line in lines} >= {"rmse", "mae", "r2", "nll"}
    assert "intervals of the mixture of 0.9: " in done.out
    assert re.search(r"\d% ± \d+\.\d% of the rows; ", done.out)
    assert "conformal intervals of 0.9: " in done.out
    assert (
        "conformal intervals of 0.5: "
        in autotrain("evaluate", "paid", "paid.csv", "--alpha", 0.5).out
    )

    facts = autotrain("evaluate", "studies/paid", "paid.csv", "--json").json()
    assert facts["deterministic"].keys() == facts["monte_carlo"].keys()
    expected = package.load("studies/paid/best").evaluate(
        pd.read_csv("paid.csv").drop(columns="amount"), pd.read_csv("paid.csv")["amount"]
    )
    assert facts["deterministic"]["rmse"] == pytest.approx(expected["deterministic"]["rmse"])


def test_evaluate_shows_importances(there: Path, autotrain: Run) -> None:
    words = ("evaluate", "paid", "paid.csv", "--samples", 1, "--importances", "--seed", 3)
    table = pd.read_csv("paid.csv")
    expected = package.load("studies/paid/best").importances(
        table.drop(columns="amount"), table["amount"], seed=3
    )
    facts = autotrain(*words, "--json").json()["importances"]
    assert (facts["metric"], facts["n_repeats"]) == ("rmse", 10)
    assert [tuple(each["columns"]) for each in facts["columns"]] == list(expected.columns)
    assert [each["drop"] for each in facts["columns"]] == pytest.approx(expected.drop.tolist())
    assert facts["columns"][0]["interval"] == pytest.approx(expected.interval[0].tolist())
    done = autotrain(*words)
    assert done.code == 0, done.err
    _, lines = done.out.split("\n\n")
    header, *rows, _ = lines.splitlines()
    assert header.split() == ["column", "drop", "of", "rmse", "95", "%", "interval"]
    assert [row.split("  ")[0] for row in rows] == list(expected.names)


def test_names_of_large_groups_are_shortened() -> None:
    assert shortened(("a",)) == "a"
    assert shortened(("a", "b", "c", "d", "e")) == "a + b + c + 2 more"


def test_test_pictures_of_a_folder_are_predicted_and_scored(
    tmp_path: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    pictures, space = tmp_path / "pictures", tmp_path / "space.toml"
    pictures.mkdir()
    for part, n in (("train", 60), ("t10k", 24)):
        labels = np.arange(n, dtype=np.uint8) % 2
        cells = generator.integers(0, 200, (n, 3, 3), dtype=np.uint8) + 55 * labels[:, None, None]
        for kind, array in (("images-idx3", cells), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            written = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            (pictures / f"{part}-{kind}-ubyte").write_bytes(written)
    space.write_text(SPACE)
    searched = autotrain(
        *("search", pictures, "--space", space, "--trials", 1, "--finalists", 0),
        *("--study", "pictures", "--seed", 1, "--quiet", "--validation", "holdout"),
    )
    assert searched.code == 0, searched.err
    done = autotrain("evaluate", "pictures", pictures, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["n_rows"] == 24
    said = f"Note: using the 24 test rows of {pictures}, not its training rows"
    assert said in done.err
    asked = autotrain("predict", "pictures", pictures)
    assert len(asked.out.splitlines()) == 25
    assert said in asked.err


def test_evaluate_shows_calibrated_probabilities_of_classes(there: Path, autotrain: Run) -> None:
    done = autotrain("evaluate", "shop", "shop.csv")
    header, *lines = done.out.splitlines()
    assert header.split()[-5:] == ["Monte-Carlo,", "100", "samples", "calibrated", "Monte-Carlo"]
    line = next(line for line in lines if line.split()[0] == "log_loss")
    assert "ece" in {line.split()[0] for line in lines}
    assert re.search(r"mean size [\d.]+ classes", done.out)
    facts = autotrain("evaluate", "shop", "shop.csv", "--json").json()
    assert float(line.split()[-1]) == pytest.approx(
        facts["monte_carlo_calibrated"]["log_loss"], rel=1e-3
    )


def test_evaluate_shows_the_confusion_matrix(there: Path, autotrain: Run) -> None:
    facts = autotrain("evaluate", "shop", "shop.csv", "--positive", "no", "--json").json()
    assert (facts["positive"], facts["classes"]) == ("no", ["no", "yes"])
    (right, missed), (false, _) = facts["confusion_matrix"]
    assert facts["deterministic"]["recall"] == pytest.approx(right / (right + missed))
    assert facts["deterministic"]["precision"] == pytest.approx(right / (right + false))
    done = autotrain("evaluate", "shop", "shop.csv", "--positive", "no")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["no", f"{right:g}", f"{missed:g}"] in lines
    assert {"precision", "recall", "specificity", "mcc"} <= {line[0] for line in lines if line}
    assert "are those of class no" in done.out
    wrong = autotrain("evaluate", "shop", "shop.csv", "--positive", "maybe")
    assert wrong.code == 2
    assert "--positive must be one of the classes 'no', 'yes', got 'maybe'" in wrong.err
    assert "Confusion" not in autotrain("evaluate", "paid", "paid.csv").out


def test_evaluate_leaves_out_rows_without_a_target(
    there: Path, tmp_path: Path, autotrain: Run
) -> None:
    path = tmp_path / "rows.csv"
    lines = Path("paid.csv").read_text().splitlines()[:6]
    lines[2] = lines[2].rpartition(",")[0] + ","
    path.write_text("\n".join(lines) + "\n")
    done = autotrain("evaluate", "paid", path, "--json")
    assert json.loads(done.out)["n_rows"] == 4
    assert "left out 1 row without a value of 'amount'" in done.err


def test_evaluate_without_dropout_and_without_target(
    there: Path, tmp_path: Path, autotrain: Run
) -> None:
    done = autotrain("evaluate", "plain", "shop.csv")
    assert "so there are no Monte-Carlo scores" in done.out
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    lacking = autotrain("evaluate", "paid", path)
    assert lacking.code == 2
    assert "no target column 'amount'" in lacking.err


def test_texts_stay_texts_in_a_file_of_other_rows(
    tmp_path: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    code, size = generator.choice(["007", "008", "A1"], 80), generator.choice(["1.50", "big"], 80)
    label = np.where(code == "008", "01", "1")
    frame = pd.DataFrame({"code": code, "size": size, "y": label})
    frame.loc[79, "y"] = "x"
    data, few, space = tmp_path / "all.csv", tmp_path / "few.csv", tmp_path / "space.toml"
    frame.to_csv(data, index=False)
    # Nothing here says that these are no numbers.
    frame[(frame["code"] != "A1") & (frame["size"] != "big")].head(9).to_csv(few, index=False)
    space.write_text(SPACE)
    searched = autotrain(
        *("search", data, "--target", "y", "--space", space, "--trials", 1, "--finalists", 0),
        *("--study", "codes", "--test", few, "--validation", "2-fold", "--json"),
    )
    assert searched.code == 0, searched.err
    whole = autotrain("predict", "codes", data, "--json").json()["rows"]
    done = autotrain("predict", "codes", few, "--json").json()
    assert not [note for note in done["notes"] if "never saw" in note]
    places = np.flatnonzero((frame["code"] != "A1") & (frame["size"] != "big"))[:9]
    for place, row in zip(places, done["rows"], strict=True):
        assert row["proba_01"] == pytest.approx(whole[place]["proba_01"], abs=1e-6)
    assert autotrain("evaluate", "codes", few, "--json").json()["n_rows"] == 9


def test_commas_and_numbers_of_categories_are_read_as_in_training(
    tmp_path: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    x, y = generator.uniform(1, 3, 60), generator.choice(["a", "b"], 60)
    lines = [f"{cell:.3f};{label}".replace(".", ",") for cell, label in zip(x, y, strict=True)]
    data, few, space = tmp_path / "all.csv", tmp_path / "few.csv", tmp_path / "space.toml"
    data.write_text("x;y\n0,5;a\n" + "\n".join(lines) + "\n")
    few.write_text("x;y\n" + "\n".join(lines[:6]) + "\n")
    space.write_text(SPACE)
    words = ("--target", "y", "--space", space, "--trials", 1, "--finalists", 0, "--seed", 1)
    searched = autotrain("search", data, *words, "--study", "commas", "--test", few)
    assert searched.code == 0, searched.err
    whole = autotrain("predict", "commas", data, "--json").json()["rows"]
    rows = autotrain("predict", "commas", few, "--json").json()["rows"]
    for place, row in enumerate(rows, start=1):
        assert row["proba_a"] == pytest.approx(whole[place]["proba_a"], abs=1e-6)


def test_categories_that_are_numbers_are_numbers_in_a_file(tmp_path: Path) -> None:
    size = pd.Categorical(np.tile([0.5, 1.5, 2.25], 30))
    frame = pd.DataFrame({"size": size, "y": np.tile(["a", "b", "b"], 30)})
    predictor = package.load(train(frame, target="y").export(tmp_path / "best").path)
    (tmp_path / "few.csv").write_text("size\n0.50\n1.50\n2.250\n")
    rows, notices = read_table(str(tmp_path / "few.csv"), predictor.reading).frame, list[str]()
    found = predictor.predict_proba(rows, notices=notices)
    assert not notices
    np.testing.assert_array_equal(found, predictor.predict_proba(frame.head(3)))
