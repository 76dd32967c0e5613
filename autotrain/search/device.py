"""The device that trains, and the number of workers on it."""

from __future__ import annotations

import torch

from autotrain.errors import DeviceError
from autotrain.search.settings import AUTO, DEVICES
from autotrain.validation import default_workers


def find_device(device: str) -> str:
    """Return "cpu" or "cuda".

    Args:
        device: "auto", "cpu" or "cuda".
    Raises:
        DeviceError: when the device is unknown or not available.
    """
    if device not in DEVICES:
        raise DeviceError(f"device must be auto, cpu or cuda, got {device!r}.", parameter="device")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device must be available, got 'cuda', but torch finds no GPU "
            f"(torch {torch.__version__}). Use the device cpu, or install a CUDA build of torch.",
            parameter="device",
        )
    if device == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def count_workers(workers: int | str, device: str) -> int:
    """Return the number of local workers for a setting; for 0, one per core or GPU.

    Args:
        workers: the setting. A Ray cluster has no local workers.
        device: "cpu" or "cuda".
    """
    if isinstance(workers, str):
        return 0
    if workers:
        return workers
    return default_workers() if device == "cpu" else torch.cuda.device_count()
