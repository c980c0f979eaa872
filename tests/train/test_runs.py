"""Reading models that need not be trusted: only .keras, only plain layers, and nothing in the file is run."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edge.errors import DataError
from tests.train.conftest import tiny_model
from train.networks.building import build
from train.runs import load_model


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def _rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a .keras file with another architecture in its config.json."""
    out = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            target.writestr(name, data)
    return out


def test_plain_model_and_our_own_layer_are_read(tmp_path: Path) -> None:
    tiny_model().save(tmp_path / "tiny.keras")
    assert load_model(tmp_path / "tiny.keras").name == "tiny"
    atto = build("convnext-atto", height=32, width=32, classes=7, stochastic_depth=0.1)
    atto.save(tmp_path / "atto.keras")
    again = load_model(tmp_path / "atto.keras")
    pictures = np.full((1, 32, 32, 3), 99.0, np.float32)
    before, after = (keras.ops.convert_to_numpy(model(pictures, training=False)) for model in (atto, again))
    assert np.allclose(before, after, atol=1e-6)


def test_lambda_is_refused_and_never_called(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    picture = keras.Input((32, 32, 3))
    trap = keras.layers.Lambda(eval(f"lambda v: (open({str(mark)!r}, 'w').close(), v)[1]"), output_shape=(32, 32, 3))
    inner = keras.Model(picture, trap(picture), name="inner")
    keras.Model(picture, keras.layers.GlobalAveragePooling2D()(trap(picture))).save(tmp_path / "trap.keras")
    keras.Model(picture, keras.layers.GlobalAveragePooling2D()(inner(picture))).save(tmp_path / "nested.keras")
    keras.models.load_model(tmp_path / "trap.keras", safe_mode=False)(np.zeros((1, 32, 32, 3)))
    mark.unlink()  # the trap works
    for name in ("trap.keras", "nested.keras"):
        with pytest.raises(DataError, match=r"it holds a Lambda layer, which can run any code; rebuild") as caught:
            load_model(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["TFSMLayer", "TorchModuleWrapper"])
def test_wrappers_of_other_frameworks_code_are_refused(tmp_path: Path, name: str) -> None:
    tiny_model().save(tmp_path / "tiny.keras")

    def wrap(config: dict[str, Any]) -> None:
        config["config"]["layers"][2]["class_name"] = name

    with pytest.raises(DataError, match=f"it holds a {name} layer, which can run any code"):
        load_model(_rewritten(tmp_path / "tiny.keras", wrap))


def test_class_of_another_package_is_refused_before_keras_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model().save(tmp_path / "tiny.keras")

    def call_the_system(config: dict[str, Any]) -> None:
        config["config"]["layers"][2] |= {"module": "os", "class_name": "system", "registered_name": "system"}

    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras saw it"))
    with pytest.raises(DataError, match=r"expected layers of Keras in .*; it asks for os\.system"):
        load_model(_rewritten(tmp_path / "tiny.keras", call_the_system))


def test_safe_mode_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model().save(tmp_path / "tiny.keras")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **settings: asked.append(settings))
    load_model(tmp_path / "tiny.keras")
    assert asked == [{"compile": False, "safe_mode": True}]


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.pkl", "model.pt", "saved_model"])
def test_other_formats_are_refused_unopened(tmp_path: Path, name: str) -> None:
    path, mark = tmp_path / name, tmp_path / "run"
    if name == "saved_model":
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"")
    elif name == "model.h5":
        tiny_model().save(path)
    else:
        path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(DataError, match=r"expected a Keras model as a \.keras file; got .*may carry code; save it"):
        load_model(path)
    assert not mark.exists()


def test_renamed_h5_and_pickle_are_recognized(tmp_path: Path) -> None:
    tiny_model().save(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / "h5.keras")
    with pytest.raises(DataError, match=r"bytes that are none, an \.h5 file"):
        load_model(tmp_path / "h5.keras")
    (tmp_path / "pickle.keras").write_bytes(pickle.dumps(Trap(tmp_path / "run")))
    with pytest.raises(DataError, match="bytes that are none, a pickle"):
        load_model(tmp_path / "pickle.keras")
    assert not (tmp_path / "run").exists()


def test_missing_and_broken_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is there"):
        load_model(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as other:
        other.writestr("a.txt", "no model")
    with pytest.raises(DataError, match=r"no readable config\.json in it"):
        load_model(tmp_path / "model.keras")
    tiny_model().save(tmp_path / "tiny.keras")
    with pytest.raises(DataError, match=r"expected a Keras model in .*write it again"):
        load_model(_rewritten(tmp_path / "tiny.keras", lambda config: config.update(class_name="Nonsense")))
