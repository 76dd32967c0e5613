"""A bundle is read as it was written, and anything else is refused with a clear error."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.numpy import save as save_tensors

from autotrain.bundle import RECORD, TENSORS, Bundle, encode, read_bundle
from autotrain.bundle.files import MOST_RECORD_BYTES, checksum_of
from autotrain.bundle.record import plain_json
from autotrain.errors import BundleError
from autotrain.network.flags import FLAGS, Diagnosis
from tests.winners import random_bundle, save

Record = dict[str, Any]


def assert_same(a: Bundle, b: Bundle) -> None:
    assert a.to_json() == b.to_json()
    tensors = b.tensors()
    assert list(a.tensors()) == list(tensors)
    for name, array in a.tensors().items():
        np.testing.assert_array_equal(array, tensors[name], strict=True)
    for one, other in zip(a.members, b.members, strict=True):
        np.testing.assert_array_equal(one.parameters, other.parameters)
        np.testing.assert_array_equal(one.statistics, other.statistics)


@pytest.mark.parametrize(
    "bundle",
    [
        random_bundle(),
        random_bundle({"batch_norm": "after_activation", "activation": "prelu"}),
        random_bundle({"network.hidden_layers": 0}, classes=(False, True), label_dtype="bool"),
        random_bundle(classes=(-1.5, 0.1, 1e300), label_dtype="float64"),
        random_bundle(classes=tuple(range(7)), label_dtype="int64", n_members=3),
        random_bundle(task="regression"),
        random_bundle(classes=("ja, „doch“", "非", "\ud800"), n_features=1),
    ],
    ids=["plain", "batch norm", "linear", "real labels", "members", "regression", "characters"],
)
def test_saving_and_loading_changes_nothing(bundle: Bundle, tmp_path: Path) -> None:
    assert_same(read_bundle(save(bundle, tmp_path / "best")), bundle)


def test_same_bundle_gives_the_same_bytes() -> None:
    assert encode(random_bundle()) == encode(random_bundle())


def test_files_are_readable(tmp_path: Path) -> None:
    folder = save(random_bundle({"network.hidden_units": "7-4"}), tmp_path / "best")
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    assert record["format_version"] == 4
    lines = (folder / RECORD).read_text(encoding="utf-8").splitlines()
    assert '     {"name": "x0", "kind": "numeric", "dtype": "float64"},' in lines
    assert record["target"] == {"name": "y", "classes": ["a", "b", "c"], "label_dtype": "str"}
    assert record["members"][0]["config"]["hidden_units"] == [7, 4]
    assert record["members"][0]["preprocessing"]["columns"][0]["name"] == "x0"
    assert record["metric"] == {"name": "log_loss", "direction": "minimize"}
    tensors = load_file(folder / TENSORS)
    assert tensors["hidden.1.kernel"].shape == (7, 4)
    assert tensors["preprocessing.mean"].shape == (5,)
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "predictor.predict_distribution(table)" in card
    for word in ("`y`", "log_loss (chose the winner) | 0.5 |", "7-4", "autotrain.load", "`x4`"):
        assert word in card


@pytest.mark.parametrize(
    ("temperature", "said"),
    [
        (
            1.0,
            "Temperature 1 (no other value fits clearly better) for the Monte-Carlo probabilities",
        ),
        (0.8, "Temperature 0.8 (underconfident without it) for"),
        (2.0, "Temperature 2 (overconfident without it) for"),
    ],
)
def test_card_explains_the_temperature(temperature: float, said: str, tmp_path: Path) -> None:
    fitted = {"note": "it was fitted", "temperature": temperature, "temperature_point": 1.0}
    folder = save(replace(random_bundle(), calibration=fitted), tmp_path / "best")
    assert said in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_card_explains_the_quantile(tmp_path: Path) -> None:
    bundle = random_bundle(task="regression")
    fitted = {**bundle.calibration, "note": "it was fitted", "reliability": []}
    bundle = replace(bundle, metric="pinball:0.9", calibration=fitted)
    card = (save(bundle, tmp_path / "best") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Predicts the 0.9 quantile of the number `y`" in card
    assert "about 90 of every 100 rows lie below. Only `conformal_interval` has" in card
    assert "Typical error" not in card


def test_names_are_escaped_in_the_card(tmp_path: Path) -> None:
    bundle = random_bundle(classes=("a", "b`\n\n## Fake", "c | d"))
    bundle = replace(bundle, target="`y\n# z", data={"name": "x\n## w", "n_train": 80})
    card = (save(bundle, tmp_path / "best") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# `x ## w`: `´y # z`\n")
    assert "one of `a`, `b´ ## Fake`, `c | d`" in card
    assert [line for line in card.splitlines() if line.startswith("#")][1] == "## Data"


def test_card_of_a_linear_model(tmp_path: Path) -> None:
    bundle = random_bundle({"network.hidden_layers": 0, "dropout.input_rate": 0.1})
    card = (save(bundle, tmp_path / "best") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- hidden units: none (linear)\n- dropout: on inputs 0.1\n" in card
    assert "elu" not in card


def test_card_has_flags_and_gradient_norms(tmp_path: Path) -> None:
    healthy = Diagnosis(start_loss=1.1, loss=0.4, norms=(0.25, 0.5))
    dead = Diagnosis(start_loss=1.1, loss=0.9, norms=(0.125, 1.0), dead_units=(0.75,))
    bundle = random_bundle(n_members=3)

    def card(*found: Diagnosis) -> str:
        members = [replace(m, diagnosis=d) for m, d in zip(bundle.members, found, strict=True)]
        folder = save(replace(bundle, members=tuple(members)), tmp_path / "best")
        assert [member.diagnosis for member in read_bundle(folder).members] == list(found)
        return (folder / "MODEL_CARD.md").read_text(encoding="utf-8")

    text = card(healthy, healthy, healthy)
    assert "- diagnostics: no flag\n" in text
    assert "gradient norms by layer of fold 1 in the last epoch: 0.25, 0.5 (output layer)" in text
    text = card(healthy, dead, healthy)
    assert "- diagnostics: `dead_units`\n" in text
    assert FLAGS["dead_units"].sentence in text
    assert "gradient norms by layer of fold 2 in the last epoch: 0.125, 1 (output layer)" in text
    # A model whose training was not followed.
    assert "diagnostics" not in card(Diagnosis(), Diagnosis(), Diagnosis())


def test_seed_may_be_long(tmp_path: Path) -> None:
    bundle = replace(random_bundle(), data={"n_train": 80, "split": {"seed": 10**40}})
    assert_same(read_bundle(save(bundle, tmp_path / "best")), bundle)


def test_card_explains_class_weights(tmp_path: Path) -> None:
    fitted = {"note": "it was fitted", "temperature": 1.0, "temperature_point": 1.0}
    fitted["class_weights"] = [1.0, 2.0, 3.0]
    data = {"n_train": 80, "class_weights": "balanced"}
    bundle = replace(random_bundle(), calibration=fitted, data=data)
    card = (save(bundle, tmp_path / "best") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- class weights in training: balanced" in card
    assert "divided out" in card


def test_each_metric_of_the_test_rows_has_its_interval(tmp_path: Path) -> None:
    scores = {
        "validation": {"rmse": 1.5, "mae": 51_234.56},
        "test": {"rmse": 1.25, "mae": 50_325.9},
        "test_interval": {"rmse": [1.0, 1.5], "mae": [48_000.4, 52_000.0]},
    }
    bundle = replace(random_bundle(task="regression"), metric="rmse", scores=scores)
    card = (save(bundle, tmp_path / "best") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| rmse (chose the winner) | 1.5 | 1.25 (1 to 1.5) |" in card
    assert "| mae | 51,235 | 50,326 (48,000 to 52,000) |" in card


def test_spaces_and_order_in_the_record_do_not_matter(tmp_path: Path) -> None:
    bundle = random_bundle()
    folder = save(bundle, tmp_path / "best")
    record = json.loads((folder / RECORD).read_bytes())
    reordered = dict(reversed(record.items()))
    (folder / RECORD).write_text(json.dumps(reordered, indent=7), encoding="utf-8")
    assert_same(read_bundle(folder), bundle)


def test_numbers_that_are_not_finite_become_null() -> None:
    value = {"a": float("nan"), "b": [np.float32(1.5), np.int64(3)], "c": (float("inf"), "x")}
    assert plain_json(value) == {"a": None, "b": [1.5, 3], "c": [None, "x"]}


# ---- accidents: the checksum catches them ------------------------------------------------------

BUNDLE = replace(
    random_bundle(n_features=2, n_members=2),
    calibration={
        "temperature": 1.25,
        "temperature_point": 0.875,
        "conformal_fold_scores": [[0.125, 0.5], [0.25]],
        "reliability": [{"expected": 0.75, "observed": 0.5, "n_rows": 3}],
    },
)
FILES_OF_BUNDLE = encode(BUNDLE)


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@given(data=st.data())
def test_changed_byte_of_the_record_is_refused_or_changes_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed-record"
    bundle, files = BUNDLE, dict(FILES_OF_BUNDLE)
    content = bytearray(files[RECORD])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    write(folder, {**files, RECORD: bytes(content)})
    refusal = None
    try:
        assert_same(read_bundle(folder), bundle)
    except BundleError as error:
        refusal = str(error)
    assert refusal is None or refusal.startswith(str(folder / RECORD))


def test_no_byte_of_the_record_goes_unnoticed(tmp_path: Path) -> None:
    # Each is changed once; what is read in spite of it is the same.
    content, refused = FILES_OF_BUNDLE[RECORD], list[str]()
    write(tmp_path, FILES_OF_BUNDLE)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 + place * 37 % 255
        (tmp_path / RECORD).write_bytes(changed)
        try:
            assert_same(read_bundle(tmp_path), BUNDLE)
        except BundleError as error:
            refused.append(str(error))
    assert all(refusal.startswith(str(tmp_path / RECORD)) for refusal in refused)
    # A space may become another one.
    assert len(refused) > 0.98 * len(content)


@given(data=st.data())
def test_changed_byte_of_the_tensors_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed-tensors"
    files = dict(FILES_OF_BUNDLE)
    content = bytearray(files[TENSORS])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    write(folder, {**files, TENSORS: bytes(content)})
    with pytest.raises(BundleError, match=r"model\.safetensors must have SHA-256 .* was changed"):
        read_bundle(folder)


@pytest.mark.parametrize("name", [RECORD, TENSORS])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_file_is_refused(name: str, share: float, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=f"{name} must .*got .*Copy the bundle again"):
        read_bundle(folder)


def test_files_of_two_bundles_are_refused(tmp_path: Path) -> None:
    one = save(random_bundle(seed=1), tmp_path / "one")
    other = save(random_bundle(seed=2), tmp_path / "other")
    (one / TENSORS).write_bytes((other / TENSORS).read_bytes())
    with pytest.raises(BundleError, match="must have SHA-256"):
        read_bundle(one)


# ---- records whose checksum fits and whose content cannot be -----------------------------------


def rewrite(folder: Path, change: Callable[[Record], object]) -> None:
    """Change the record and give it a checksum that fits."""
    record = json.loads((folder / RECORD).read_bytes())
    change(record)
    record["checksums"][RECORD] = checksum_of(record)
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")


def first(record: Record) -> Record:
    member: Record = record["members"][0]
    return member


WRONG_RECORDS: dict[str, tuple[Callable[[Record], object], str]] = {
    "another format": (lambda r: r.update(format="onnx"), '"format": "autotrain bundle"'),
    "newer": (
        lambda r: r.update(format_version=5),
        r"version 4, got 5, written by autotrain 0\.1\.0\. Another version of .* Export it again",
    ),
    "older": (
        lambda r: r.update(format_version=3),
        r"version 4, got 3, written by autotrain 0\.1\.0\. Another version of .* Export it again",
    ),
    "version 0": (lambda r: r.update(format_version=0), "format version 4, got 0"),
    "older and nameless": (
        lambda r: (r.update(format_version=1), r.pop("versions")),
        "got 1, written by another version of autotrain",
    ),
    "no version": (lambda r: r.pop("format_version"), "format version 4, got None"),
    "version true": (lambda r: r.update(format_version=True), "got True"),
    "no members": (lambda r: r.pop("members"), "the field members, got none"),
    "empty members": (lambda r: r.update(members=[]), "have .* to .* bytes, got"),
    "members a number": (lambda r: r.update(members=3), "a list as members, got 3"),
    "no technique": (
        lambda r: first(r)["config"]["activation"].update(name="rleu"),
        "no activation 'rleu'. Did you mean 'relu'",
    ),
    "absurd width": (
        lambda r: first(r)["config"].update(hidden_units=[10**9, 10**9]),
        "at least 1 and at most 65,536",
    ),
    "absurdly many levels": (
        lambda r: first(r)["columns"].update(levels=[1] * 100_000),
        r"at least 400004 bytes for 100001 members and categorical columns, got \d+",
    ),
    "absurdly many members": (
        lambda r: r.update(members=[first(r)] * 10_000),
        "at least 40000 bytes for 10000 members",
    ),
    "absurd inputs": (lambda r: first(r)["columns"].update(n_plain=10**12), r"have \d{14} to"),
    "fewer columns than none": (
        lambda r: first(r)["columns"].update(n_plain=-1),
        r"an integer of at least 0 as members\[0\]\.columns\.n_plain, got -1",
    ),
    "no levels": (
        lambda r: first(r)["columns"].update(levels=[0]),
        r"at least 1 as members\[0\]\..*, got 0",
    ),
    "width below 1": (
        lambda r: first(r).update(n_outputs=0),
        r"at least 1 as members\[0\]\..*, got 0",
    ),
    "columns of other kinds": (
        # As many inputs, so that the tensors fit.
        lambda r: first(r)["columns"].update(n_numeric=3, n_plain=2),
        "the preprocessing gives",
    ),
    "an absurd scaler": (
        lambda r: first(r)["preprocessing"]["shapes"].update(mean=[10**12, 5]),
        r"have \d{14} to",
    ),
    "no scaler": (lambda r: first(r)["preprocessing"].update(scaler="rank"), "KeyError: 'rank'"),
    "a target's range upside down": (
        lambda r: first(r).update(target_low=1.0, target_high=0.0),
        "target range 1.0, 0.0",
    ),
    "width not whole": (lambda r: first(r).update(n_outputs=2.5), "got 2.5"),
    "another width": (
        lambda r: first(r)["config"].update(hidden_units=[12, 13]),
        "bytes, got|SHA-256|hidden.1",
    ),
    "another task": (lambda r: r.update(task="ranking"), "task 'ranking'"),
    "too few classes": (lambda r: r["target"].update(classes=["a", "b"]), "3 outputs for 2"),
    "a class twice": (lambda r: r["target"].update(classes=["a", "b", "b"]), "classes"),
    "classes of another type": (lambda r: r["target"].update(label_dtype="int64"), "classes"),
    "labels of no type": (lambda r: r["target"].update(label_dtype="object"), "'object'"),
    "no metric": (lambda r: r["metric"].update(name="auc"), "'auc'"),
    "a column too many": (
        lambda r: first(r)["preprocessing"]["columns"].append({"name": "z", "kind": "numeric"}),
        "got ",
    ),
    "another metric": (lambda r: r["metric"].update(name="rmse"), "metric rmse of a multiclass"),
    "a number of digits": (
        lambda r: first(r).update(best_epoch=10**101),
        "be JSON, got an integer of 102 characters",
    ),
    "products of digits": (
        lambda r: first(r)["columns"].update(n_plain=10**37),
        r"have \d{39} to \d{39} bytes",
    ),
    "a text of any length": (
        lambda r: first(r)["config"]["activation"].update(name="x" * 10**6),
        "x{300,400} …",
    ),
    "a column of no table": (
        lambda r: first(r)["preprocessing"]["features"].remove("x2"),
        "columns that the table does not have",
    ),
    "a column twice": (
        lambda r: first(r)["preprocessing"]["columns"][1].update(name="x2"),
        "two columns with the same name",
    ),
    "half a calibration": (
        lambda r: r["calibration"].pop("temperature_point"),
        "model without temperature_point",
    ),
    "class weights of others": (
        lambda r: r["calibration"].update(
            temperature=1.0, temperature_point=1.0, class_weights=[1.0, 2.0]
        ),
        "2 class weights for 3 classes",
    ),
    "a label beyond 64 bits": (
        lambda r: r["target"].update(classes=[1, 2, 2**63], label_dtype="int64"),
        "classes beyond 64 bits",
    ),
    "conformal scores without classes": (
        lambda r: r["calibration"].update(conformal_fold_scores=[[0.1, 0.2]]),
        "conformal scores without the class of each row",
    ),
    "scores a number": (lambda r: r.update(scores=3), "a table as scores, got 3"),
    "lists in lists": (
        lambda r: first(r)["config"].update(epochs=json.loads("[" * 800 + "]" * 800)),
        "got RecursionError",
    ),
}


@pytest.mark.parametrize("name", WRONG_RECORDS)
def test_contradictory_record_is_refused(name: str, tmp_path: Path) -> None:
    change, message = WRONG_RECORDS[name]
    folder = save(random_bundle(), tmp_path / "best")
    rewrite(folder, change)
    with pytest.raises(BundleError, match=message) as caught:
        read_bundle(folder)
    assert str(caught.value).startswith(str(folder))
    assert "got " in str(caught.value)


@pytest.mark.parametrize("value", [None, 0, -1.0, "a"])
def test_regression_needs_its_noise(value: object, tmp_path: Path) -> None:
    folder = save(random_bundle(task="regression"), tmp_path / "best")
    rewrite(folder, lambda record: record["calibration"]["noise"].update(scale=value))
    with pytest.raises(
        BundleError, match=r"a positive number up to .* as calibration\.noise\.scale"
    ):
        read_bundle(folder)
    rewrite(folder, lambda record: record["calibration"].pop("noise"))
    with pytest.raises(BundleError, match="a regression model without noise"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["temperature", "temperature_point"])
@pytest.mark.parametrize("value", [None, 0, -1.0, "a", [1]])
def test_temperature_must_be_a_positive_number(name: str, value: object, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    rewrite(folder, lambda record: record["calibration"].update({name: value}))
    message = rf"a positive number up to .* as calibration\.{name}, got "
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize("scores", [[0.2, 0.1], [-1.0], [None], ["a"], 3, [[0.1]]])
def test_conformal_scores_must_be_sorted_numbers(scores: object, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    fields = {"conformal_fold_scores": [scores]}
    rewrite(folder, lambda record: record["calibration"].update(fields))
    with pytest.raises(BundleError):
        read_bundle(folder)


@pytest.mark.parametrize("labels", [[0], [0, 3], [0, -1], [0, None], 3, "ab", [0.5, 1]])
def test_conformal_labels_must_be_one_class_for_each_score(labels: object, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    fields = {"conformal_fold_scores": [[0.1, 0.2]], "conformal_fold_labels": [labels]}
    rewrite(folder, lambda record: record["calibration"].update(fields))
    with pytest.raises(BundleError):
        read_bundle(folder)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, None], 3, "ab", [[1.0]]])
def test_conformal_weights_must_be_one_for_each_score(weights: object, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    fields = {"conformal_fold_scores": [[0.1, 0.2]], "conformal_fold_weights": [weights]}
    rewrite(folder, lambda record: record["calibration"].update(fields))
    with pytest.raises(BundleError):
        read_bundle(folder)


@pytest.mark.parametrize(
    "scores", [[], [[0.2, 0.1]], [0.1], 3, "a", [[]] * 2, [["a"]], [[None]], None]
)
def test_conformal_scores_of_folds_must_be_those_of_its_folds(
    scores: object, tmp_path: Path
) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    rewrite(folder, lambda record: record["calibration"].update(conformal_fold_scores=scores))
    with pytest.raises(BundleError):
        read_bundle(folder)


def test_target_without_scale_is_refused(tmp_path: Path) -> None:
    folder = save(random_bundle(task="regression"), tmp_path / "best")
    rewrite(folder, lambda record: first(record).update(target_std=0))
    with pytest.raises(
        BundleError, match=r"a positive number up to .* as members\[0\]\.target_std"
    ):
        read_bundle(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"[" * 100_000, b'{"format": "autotrain bundle", "format_version": 4}'],
    ids=["empty", "list", "null", "deep", "bare"],
)
def test_file_without_a_record_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    (folder / RECORD).write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json must .*got "):
        read_bundle(folder)


def test_number_out_of_range_is_refused(tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    text = (folder / RECORD).read_text(encoding="utf-8")
    assert '"log_loss": 0.5' in text
    (folder / RECORD).write_text(text.replace('"log_loss": 0.5', '"log_loss": 1e999'), "utf-8")
    with pytest.raises(BundleError, match="have a checksum, got ValueError"):
        read_bundle(folder)


@pytest.mark.parametrize("name", [RECORD, TENSORS])
def test_other_than_a_regular_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=f"{name} must be a regular file"):
        read_bundle(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BundleError, match=f"{name} must be a regular file"):
        read_bundle(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(BundleError, match=f"{name} must be a regular file"):
        read_bundle(folder)


def test_record_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    os.truncate(folder / RECORD, MOST_RECORD_BYTES + 1)  # a sparse file
    with pytest.raises(BundleError, match=rf"have at most {MOST_RECORD_BYTES} bytes, got \d+"):
        read_bundle(folder)


def nan_weight(tensors: dict[str, np.ndarray]) -> None:
    tensors["hidden.0.kernel"][2, 3] = np.nan


def infinite_mean(tensors: dict[str, np.ndarray]) -> None:
    tensors["preprocessing.mean"][0] = np.inf


def negative_variance(tensors: dict[str, np.ndarray]) -> None:
    tensors["batch_norm.0.moving_variance"][0] = -1


def transposed(tensors: dict[str, np.ndarray]) -> None:
    tensors["hidden.0.kernel"] = np.ascontiguousarray(tensors["hidden.0.kernel"].T)


def renamed(tensors: dict[str, np.ndarray]) -> None:
    tensors["hidden.0.weight"] = tensors.pop("hidden.0.kernel")


def of_another_type(tensors: dict[str, np.ndarray]) -> None:
    tensors["hidden.0.kernel"] = tensors["hidden.0.kernel"].view(np.int32)


WRONG_TENSORS: dict[Callable[[dict[str, np.ndarray]], None], str] = {
    nan_weight: "finite numbers in hidden.0.kernel, got NaN",
    infinite_mean: "finite numbers in preprocessing.mean",
    negative_variance: "variances of at least 0 in batch_norm.0.moving_variance, got negative",
    transposed: r"float32 \[5, 12\] as hidden.0.kernel, got float32 \[12, 5\]",
    renamed: "the tensor hidden.0.kernel, got other names. Another version .* Export it again",
    of_another_type: r"float32 \[5, 12\] as hidden.0.kernel, got int32 \[5, 12\]",
}


@pytest.mark.parametrize("change", WRONG_TENSORS, ids=lambda change: change.__name__)
def test_invalid_tensors_are_refused(
    change: Callable[[dict[str, np.ndarray]], None], tmp_path: Path
) -> None:
    folder = save(random_bundle({"batch_norm": "before_activation"}), tmp_path / "best")
    tensors = {name: array.copy() for name, array in load_file(folder / TENSORS).items()}
    change(tensors)
    write_tensors(folder, save_tensors(tensors))
    with pytest.raises(BundleError, match=WRONG_TENSORS[change]):
        read_bundle(folder)


def test_tensor_names_of_an_older_format_are_refused(tmp_path: Path) -> None:
    params = {"input_scale": "diagonal", "embedding": "plr"}
    folder = save(random_bundle(params), tmp_path / "best")
    tensors = load_file(folder / TENSORS)
    older = {name.replace("input_layer.", "front."): array for name, array in tensors.items()}
    assert older.keys() != tensors.keys()
    write_tensors(folder, save_tensors(older))
    with pytest.raises(BundleError, match=r"no tensor front\..*, got other names\. Another"):
        read_bundle(folder)


def test_tensors_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    folder = save(random_bundle(), tmp_path / "best")
    write_tensors(folder, b"\xff" * (folder / TENSORS).stat().st_size)
    with pytest.raises(BundleError, match=r"model\.safetensors must be a safetensors file"):
        read_bundle(folder)


def write_tensors(folder: Path, content: bytes) -> None:
    """Write a tensors' file and the checksum that fits it."""
    (folder / TENSORS).write_bytes(content)

    def sign(record: Record) -> None:
        record["checksums"][TENSORS] = hashlib.sha256(content).hexdigest()

    rewrite(folder, sign)


def test_members_must_have_the_outputs_of_the_classes(tmp_path: Path) -> None:
    bundle = random_bundle(classes=("a", "b", "c"))
    folder = save(replace(bundle, classes=("a", "b", "c", "d")), tmp_path / "best")
    with pytest.raises(BundleError, match="3 outputs for 4"):
        read_bundle(folder)
