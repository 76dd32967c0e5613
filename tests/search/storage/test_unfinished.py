"""What a killed search left in the study's folder is removed by the next command that writes."""

from __future__ import annotations

from pathlib import Path

from autotrain.search.storage.open import open_storage, read_storage


def test_files_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with open_storage(folder):
        pass
    (folder / "checkpoints").mkdir()
    unfinished = [
        folder / ".study.toml",
        folder / ".trials.json",
        folder / "checkpoints" / ".trial-12-0.safetensors",
        folder / "checkpoints" / ".running.safetensors",
        folder / ".best.new" / "model.safetensors",
    ]
    kept = [
        folder / ".notes",
        folder / "checkpoints" / ".trial.safetensors",
        folder / "checkpoints" / "trial-12-0.safetensors",
        folder / "best" / "bundle.json",
    ]
    for path in (*unfinished, *kept):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    with read_storage(folder):
        pass
    assert all(path.exists() for path in unfinished)
    with open_storage(folder):
        pass
    assert not any(path.exists() for path in unfinished)
    assert all(path.exists() for path in kept)


def test_model_of_an_unfinished_swap_is_kept(tmp_path: Path) -> None:
    with open_storage(tmp_path):
        pass
    (tmp_path / ".best.old").mkdir()
    (tmp_path / ".best.old" / "bundle.json").write_text("x")
    with open_storage(tmp_path):
        pass
    assert (tmp_path / "best" / "bundle.json").read_text() == "x"
