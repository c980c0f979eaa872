"""Where and how a run computes: Keras' backend, one or several devices, and the process's heap.

``choose_backend`` and ``keep_heap`` come before Keras is imported, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec

from edge.errors import DataError

BACKENDS = ("tensorflow", "jax", "torch")
ALL = "all"
# glibc's mallopt: parameter numbers and what they are set to, in bytes.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
HEAP_BYTES = {M_MMAP_THRESHOLD: 1 << 30, M_TRIM_THRESHOLD: (1 << 31) - 1, M_TOP_PAD: 1 << 28}


def choose_backend(name: str | None) -> None:
    """Make Keras use the backend ``name`` (None: KERAS_BACKEND, else Keras' default) in this process.

    Raises:
        DataError: it is not known or not installed, or Keras is already running on another one.
    """
    wanted = name or os.environ.get("KERAS_BACKEND")
    if wanted is None:
        return
    if wanted not in BACKENDS:
        raise DataError(f"expected a backend of {', '.join(BACKENDS)}; got {wanted!r}; set --backend or KERAS_BACKEND")
    if find_spec(wanted) is None:
        present = [backend for backend in BACKENDS if find_spec(backend) is not None]
        raise DataError(
            f"expected the backend {wanted} to be installed; it is not (here: {', '.join(present) or 'none'}); "
            f"pip install {wanted}, or choose another with --backend"
        )
    running = sys.modules.get("keras")
    if running is not None and running.backend.backend() != wanted:
        raise DataError(
            f"expected Keras not to be running yet; it runs on {running.backend.backend()}, asked for was {wanted}; "
            "start a new process"
        )
    os.environ["KERAS_BACKEND"] = wanted


def keep_heap() -> bool:
    """Have glibc keep the memory that is freed; returns whether it was told so.

    TensorFlow frees and takes large blocks at every step of a fit; by default glibc gives them back to the kernel,
    which clears every page again (80 steps of 16 faces at 64 pixels: 7.2 s in the kernel without this, 2.9 s with it).
    What the user set by ``MALLOC_…`` in the environment stays.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(mallopt(parameter, size) for parameter, size in HEAP_BYTES.items())


def kinds() -> set[str]:
    """Return the kinds of devices that the backend computes on, such as ``{"gpu"}``."""
    import keras

    if keras.backend.backend() == "torch":  # keras.distribution knows no torch
        return {str(keras.ops.zeros(1).device).split(":")[0]}
    return {str(device).split(":")[0].lower() for device in keras.distribution.list_devices()}


def distribute(devices: str, batch: int) -> int:
    """Spread training over several devices (data parallel) for the rest of the process; returns how many.

    Call it before any model is built: variables are placed where they are made.

    Args:
        devices: a number, or ``all``.
        batch: pictures a step over all devices.

    Raises:
        DataError: the backend cannot, there are not so many devices, or ``batch`` is no multiple of their number.
    """
    import keras

    if devices != ALL and (not devices.isdecimal() or int(devices) == 0):
        raise DataError(f"expected a number of devices, or {ALL}; got {devices!r}; change --devices")
    if devices == "1":
        return 1
    backend = keras.backend.backend()
    if backend != "jax":
        if devices == ALL:
            return 1
        raise DataError(
            f"several devices go through keras.distribution, which works under jax alone; the backend is {backend}; "
            "give --backend jax, or --devices 1"
        )
    present = keras.distribution.list_devices()
    count = len(present) if devices == ALL else int(devices)
    if count > len(present):
        raise DataError(f"expected at most {len(present)} devices ({', '.join(present)}); got {count}; lower --devices")
    if batch % count:
        raise DataError(
            f"expected a batch that {count} devices can share evenly; got {batch}; "
            f"give --batch {max(1, batch // count) * count}"
        )
    if count > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=present[:count]))
    return count
