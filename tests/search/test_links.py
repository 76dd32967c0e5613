"""Links and pipes under the names of a study's own files: refused, and nothing outside changes."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrain
from autotrain.bundle.own_files import open_own, replace_own, write_new
from autotrain.bundle.publishing import publish, stage
from autotrain.errors import AutotrainError, StorageError, StudyError
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.definition import FILE, Definition
from autotrain.search.storage.journal import GroupCommitBackend, JournalReader
from autotrain.search.storage.lock import StudyLock, is_held
from autotrain.search.storage.open import OWN, open_storage, read_storage
from tests.search.test_checkpoints import trained
from tests.search.test_definition import kept_in

PRIVATE = b"export PRIVATE=1\n"
HALF_A_RECORD = '{"op_code":0'


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a file of the user that is no part of a study."""
    file = tmp_path / "home" / ".bashrc"
    file.parent.mkdir()
    file.write_bytes(PRIVATE)
    return file


def unchanged(file: Path) -> bool:
    return file.read_bytes() == PRIVATE and [p.name for p in file.parent.iterdir()] == [file.name]


def folder_with(tmp_path: Path, name: str, target: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / name).symlink_to(target)
    return folder


@pytest.mark.parametrize("name", OWN)
def test_link_in_the_place_of_an_own_file_is_refused(
    tmp_path: Path, outside: Path, name: str
) -> None:
    folder = folder_with(tmp_path, name, outside)
    with pytest.raises(StorageError, match=f"study/{name} must be the study's own, got: "):
        open_storage(folder)
    assert unchanged(outside)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("name", OWN)
def test_link_to_a_file_that_does_not_exist_makes_none(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, name, tmp_path / "made")
    with pytest.raises(StorageError, match="symbolic link"):
        open_storage(folder)
    assert not (tmp_path / "made").exists()


def test_study_folder_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "studies").symlink_to(tmp_path / "disk")
    open_storage(tmp_path / "studies" / "mine").close()
    (tmp_path / "linked").symlink_to(tmp_path / "disk" / "mine")
    open_storage(tmp_path / "linked").close()
    assert (tmp_path / "disk" / "mine" / "journal.log").is_file()


# Each writer alone, as if the check of the whole folder were not there.
WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "lock": ("lock", StudyLock),
    "journal": ("journal.log", lambda folder: GroupCommitBackend(folder / "journal.log")),
    "definition": (FILE, lambda folder: kept_in(None).write(folder)),
    "temporary definition": (f".{FILE}", lambda folder: kept_in(None).write(folder)),
    "checkpoint": (
        "trial-1-0.safetensors",
        lambda folder: Checkpoints(folder).keep(trained(1, 0.5)),
    ),
    "temporary checkpoint": (
        ".trial-1-0.safetensors",
        lambda folder: Checkpoints(folder).keep(trained(1, 0.5)),
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_no_writer_follows_a_link(tmp_path: Path, outside: Path, writer: str) -> None:
    name, write = WRITERS[writer]
    folder = folder_with(tmp_path, name, outside)
    # Refused, or the link itself was replaced.
    with contextlib.suppress(StorageError):
        write(folder)
        assert not (folder / name).is_symlink()
    assert unchanged(outside)


def test_torn_line_is_not_kept_through_a_link(tmp_path: Path, outside: Path) -> None:
    folder = folder_with(tmp_path, "journal.log.torn", outside)
    (folder / "journal.log").write_text(HALF_A_RECORD)
    with pytest.raises(StorageError, match=r"journal\.log\.torn must be .*symbolic link"):
        GroupCommitBackend(folder / "journal.log")
    assert unchanged(outside)
    assert (folder / "journal.log").read_text() == HALF_A_RECORD


def test_folder_of_checkpoints_that_is_a_link(tmp_path: Path, outside: Path) -> None:
    folder = folder_with(tmp_path, "checkpoints", outside.parent)
    with pytest.raises(StorageError, match="symbolic link"):
        Checkpoints(folder / "checkpoints").keep(trained(1, 0.5))
    assert unchanged(outside)


def test_checkpoint_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "others").keep(trained(1, 0.5))
    own = tmp_path / "own"
    own.mkdir()
    (own / "trial-1-0.safetensors").symlink_to(tmp_path / "others" / "trial-1-0.safetensors")
    assert Checkpoints(own).find(1, 0) is None
    assert Checkpoints(own).all() == []
    assert Checkpoints(tmp_path / "others").find(1, 0) is not None


@pytest.mark.parametrize("name", [".best.new", ".best.old"])
def test_files_outside_are_not_moved_into_a_bundle(
    tmp_path: Path, outside: Path, name: str
) -> None:
    folder = folder_with(tmp_path, name, outside.parent)
    publish(stage(folder / "best", {"bundle.json": b"{}"}), folder / "best")
    assert unchanged(outside)
    assert [path.name for path in folder.rglob("*")] == ["best", "bundle.json"]


def test_file_outside_is_not_copied_into_a_bundle(tmp_path: Path, outside: Path) -> None:
    folder = tmp_path / "best"
    publish(stage(folder, {"bundle.json": b"one"}), folder)
    (folder / "predictor.onnx").symlink_to(outside)
    publish(stage(folder, {"bundle.json": b"two"}), folder)
    assert (folder / "predictor.onnx").is_symlink()
    assert unchanged(outside)


@pytest.mark.parametrize("name", ["journal.log", FILE])
def test_reading_shows_nothing_of_a_file_outside(tmp_path: Path, outside: Path, name: str) -> None:
    folder = folder_with(tmp_path, name, outside)
    with pytest.raises(AutotrainError, match="symbolic link") as caught:
        read_storage(folder) if name == "journal.log" else Definition.read(folder)
    assert "PRIVATE" not in str(caught.value)


def test_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("lock", "journal.log", FILE):
        os.mkfifo(tmp_path / name)
    assert not is_held(tmp_path)
    with pytest.raises(StorageError, match="it is not a regular file"):
        StudyLock(tmp_path)
    with pytest.raises(StorageError, match="it is not a regular file"):
        list(JournalReader(tmp_path / "journal.log").read_logs(0))
    with pytest.raises(StudyError):
        Definition.read(tmp_path)
    with pytest.raises(StorageError, match="it is not a regular file"):
        open_storage(tmp_path)


@pytest.mark.parametrize("pid", ["1e30", "-1", "[]", "9" * 5000, "[" * 900])
def test_odd_holder_of_a_lock(tmp_path: Path, pid: str) -> None:
    host = os.uname().nodename
    (tmp_path / "lock").write_text(f'{{"host": "{host}", "pid": {pid}')
    is_held(tmp_path)
    (tmp_path / "lock").write_text(f'{{"host": "{host}", "pid": {pid}}}')
    is_held(tmp_path)
    StudyLock(tmp_path).release()


def test_others_cannot_take_the_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(mode=0o644)
    for folder in (tmp_path, tmp_path / "new"):
        folder.mkdir(exist_ok=True)
        StudyLock(folder).release()
        assert (folder / "lock").stat().st_mode & 0o777 == 0o600


def test_existing_file_is_not_treated_as_new(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "file", b"other")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        open_own(tmp_path / "folder", os.O_RDONLY)
    replace_own(tmp_path / "file", b"other")
    assert (tmp_path / "file").read_text() == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_studies_and_bundles_open_files_for_writing_in_one_place_only() -> None:
    package = Path(autotrain.__file__).parent
    writers = {"write_text", "write_bytes", "open", "touch", "copyfile", "copy"}
    found = set()
    for folder in ("search", "bundle"):
        for path in (package / folder).rglob("*.py"):
            if path.name == "own_files.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in writers:
                        found.add((path.name, ast.unparse(node.func)))
    assert found == {
        # Folders, and files of a bundle to be read.
        ("systems.py", "os.open"),
        ("publishing.py", "os.open"),
        # No files.
        ("samplers.py", "copy.copy"),
        ("shared.py", "copy.copy"),
        ("replay.py", "copy.copy"),
        ("widening.py", "copy.copy"),
        ("buffer.py", "copy.copy"),
        ("buffer.py", "self._trials.copy"),
        ("open.py", "scheme.open"),
    }
