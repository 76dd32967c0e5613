"""The bytes of a bundle: `bundle.json` and `model.safetensors`, written and verified.

`bundle.json` holds the SHA-256 of the tensors' file and of its own content (in canonical form, so
that spaces do not count): a changed byte is refused. Nothing in either file is ever executed. A
file is refused before it is read when its size is not what the record says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from autotrain.bundle.card import model_card
from autotrain.bundle.checking import FieldError, check_fields
from autotrain.bundle.publishing import CARD, RECORD, TENSORS, opened, publish, refuse_full, stage
from autotrain.bundle.record import Bundle, Shapes, expected_tensors, from_json
from autotrain.errors import COPY_AGAIN, AutotrainError, BundleError

FORMAT = "autotrain bundle"
FORMAT_VERSION = 3
"""Raised when an older autotrain could misread the bundle, which then refuses it. A bundle of a
lower version is refused, too, with the name of the autotrain that reads it."""
MOST_RECORD_BYTES = 64 << 20
MOST_DIGITS = 100
"""Of a whole number: more than any seed needs, and few enough to multiply and print."""
HEADER_BYTES_A_TENSOR = 256
SHOWN = 400
"""Characters of a message that are what a file holds."""
_WRONG = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)


def encode(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of a bundle by name: record, tensors and model card."""
    tensors = save_tensors(bundle.tensors(), {"format": FORMAT})
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, **bundle.to_json()}
    content["checksums"] = {TENSORS: _sha256(tensors)}
    content["checksums"][RECORD] = checksum_of(content)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return {
        RECORD: text.encode("utf-8", "surrogatepass"),
        TENSORS: tensors,
        CARD: model_card(bundle).encode("utf-8", "replace"),
    }


def copy_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write a bundle into a new or an empty folder; return the folder.

    Raises: StorageError when it holds something or cannot be written.
    """
    refuse_full(folder)
    return publish(stage(folder, encode(bundle)), folder)


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record but for this checksum itself, keys sorted, no spaces.

    Raises: ValueError when it holds a number that is not finite.
    """
    others = {name: value for name, value in content["checksums"].items() if name != RECORD}
    text = json.dumps(
        {**content, "checksums": others}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return _sha256(text.encode("ascii"))


def read_bundle(folder: str | Path) -> Bundle:
    """Read and verify a bundle.

    Raises: BundleError saying which file, what was expected and what to do, when anything is
        missing, changed, of another version, or cannot be.
    """
    folder = Path(folder)
    with opened(folder, (RECORD, TENSORS)) as files:
        record = _read_record(files[RECORD], folder / RECORD)
        _check_counts(record, folder / TENSORS, _size_of(files[TENSORS]))
        expected = _expected(record, folder / RECORD)
        tensors = _read_tensors(files[TENSORS], folder / TENSORS, record, expected)
    try:
        return from_json(record, tensors)
    except (*_WRONG, AutotrainError) as error:
        raise _impossible(folder / RECORD, error) from error


def _read_record(file: BinaryIO, path: Path) -> dict[str, Any]:
    size = _size_of(file)
    if size > MOST_RECORD_BYTES:
        raise _refused(path, f"at most {MOST_RECORD_BYTES} bytes", f"it has {size}")
    try:
        record = json.loads(file.read(size), parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        raise _refused(path, "JSON", str(error)) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _refused(path, f'"format": "{FORMAT}"', "it is something else")
    version = record.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: expected format version {FORMAT_VERSION}, however: {version}. "
            "A newer autotrain wrote this bundle: install that version "
            f"({_writer(record, 'the latest')}) to read it."
        )
    if type(version) is int and 1 <= version < FORMAT_VERSION:
        raise BundleError(
            f"{path}: expected format version {FORMAT_VERSION}, however: {version}. "
            "An older autotrain wrote this bundle: install that version "
            f"({_writer(record, 'an older one')}) to read it, or search again with this."
        )
    if type(version) is not int or version < 1:
        raise _refused(path, f"format version {FORMAT_VERSION}", f"{version!r}")
    try:
        own = checksum_of(record)
        said = record["checksums"][RECORD]
    except (*_WRONG, RecursionError) as error:
        raise _refused(path, "its checksum", f"{type(error).__name__} {error}") from None
    if own != said:
        raise _refused(path, f"content with SHA-256 {said}", f"{own}; the file was changed")
    return record


def _check_counts(record: Mapping[str, Any], path: Path, size: int) -> None:
    """Refuse more members and columns of categories than the tensors' file has numbers.

    Each needs one number at least. Layouts of a record of 64 MiB would take gigabytes otherwise,
    before the size of the tensors is compared.
    """
    with contextlib.suppress(KeyError, TypeError):  # which `check_fields` explains
        members = record["members"]
        count = len(members) + sum(len(member["columns"]["levels"]) for member in members)
        least = count * np.dtype(np.float32).itemsize
        if least > size:
            what = f"at least {least} bytes for {count} members and columns of categories"
            raise _refused(path, what, f"it has {size}")


def _expected(record: Mapping[str, Any], path: Path) -> Shapes:
    try:
        check_fields(record)
        return expected_tensors(record)
    except FieldError as error:
        raise _refused(path, error.expected, error.however) from None
    except (*_WRONG, AutotrainError) as error:
        raise _impossible(path, error) from error


def _read_tensors(
    file: BinaryIO, path: Path, record: Mapping[str, Any], expected: Shapes
) -> dict[str, np.ndarray]:
    size = _size_of(file)
    least = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in expected.values())
    most = least + HEADER_BYTES_A_TENSOR * (len(expected) + 1)
    if not least <= size <= most:
        raise _refused(path, f"{least} to {most} bytes", f"it has {size}")
    content = file.read(size)
    said, own = record["checksums"].get(TENSORS), _sha256(content)
    if own != said:
        raise _refused(path, f"SHA-256 {said}", f"{own}; the file was changed")
    try:
        tensors = load_tensors(content)
    except (SafetensorError, *_WRONG) as error:
        raise _refused(path, "safetensors", str(error)) from error
    for name in sorted(expected.keys() | tensors.keys()):
        _check_tensor(path, name, tensors.get(name), expected.get(name))
    return tensors


def _check_tensor(
    path: Path,
    name: str,
    tensor: np.ndarray | None,
    expected: tuple[tuple[int, ...], str] | None,
) -> None:
    wanted = "no such tensor" if expected is None else f"{expected[1]} {list(expected[0])}"
    came = "it is missing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
    if tensor is None or expected is None or wanted != came:
        raise _refused(path, f"{name}: {wanted}", came)
    if not np.isfinite(tensor).all():
        raise _refused(path, f"{name}: finite numbers", "some are not")
    if name.endswith("moving_variance") and (tensor < 0).any():
        raise _refused(path, f"{name}: variances", "some are negative")


def _whole_number(digits: str) -> int:
    """Read a number whose products are not absurdly long, either."""
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} characters")
    return int(digits)


def _size_of(file: BinaryIO) -> int:
    return file.seek(0, 2) - file.seek(0)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _writer(record: Mapping[str, Any], otherwise: str) -> str:
    versions = record.get("versions")
    version = versions.get("autotrain") if isinstance(versions, dict) else None
    return f"autotrain {version}" if isinstance(version, str) else otherwise


def _refused(path: Path, expected: str, however: str) -> BundleError:
    expected, however = (
        text if len(text) <= SHOWN else f"{text[:SHOWN]} …" for text in (expected, however)
    )
    return BundleError(f"{path}: expected {expected}, however: {however}. {COPY_AGAIN}")


def _impossible(path: Path, error: Exception) -> BundleError:
    if isinstance(error, AutotrainError):
        return _refused(path, "a model that can be built", str(error).rstrip("."))
    what = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else f"{error}"
    return _refused(path, "a record of a model", what)
