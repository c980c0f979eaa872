"""The pipeline of ``python -m convert``: load, lower, calibrate, quantize, export, check, write.

Every product is written only after its checks; a failed one leaves what was there before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.config import ConvertConfig
from convert.lowering.emission import emit
from convert.lowering.graph import Graph
from convert.lowering.layout import lay_out
from convert.lowering.parity import compare, normalize
from convert.lowering.reading import read
from convert.lowering.rules import RULES, fold_grey, lower, split_grey
from convert.lowering.temperature import fold_temperature
from convert.quantization.finetune import QatConfig, Tuned, finetune
from convert.reporting import report as report_of
from convert.reporting.progress import Progress
from convert.reporting.summary import summarize
from convert.reporting.tables import as_table
from convert.source import (
    Pictures,
    Source,
    TrainingBatches,
    calibration_pictures,
    described,
    load_dataset,
    load_source,
    pictures,
    with_data_of_conversion,
)
from convert.tflite.export import INT8_RECIPES, export_float, export_int8, probabilities
from convert.tflite.inspection import inspect
from convert.tflite.packaging import package
from convert.verification import checks
from convert.verification.delegation import as_json, delegation, require_kernel_scales
from convert.verification.integers import IntegerNetwork
from convert.verification.layer_error import layer_errors
from convert.verification.own_steps import OwnSteps, own_steps
from edge.errors import DataError
from edge.files import record_text, sha256_of, write_atomically
from edge.inference.contract import Contract
from edge.inference.modelfile import parse_model
from train.datasets import limit_note
from train.evaluation.calibration import calibration_error, fit_temperature, temperature_effect

SCHEMA = 1
PARITY_PICTURES = 64
SENSITIVITY_PICTURES = 128
LAYER_PICTURES = 32
TIES_WARNED = 0.01
EVALUATION_BATCH = 64


@dataclass(eq=False)
class Work:
    """All that the stages share.

    Attributes:
        config: The resolved flags.
        source: The trained model.
        dataset: Of ``train.datasets``.
        parts: Measured parts, the validation part first.
        graph: Lowered by exact rules, the temperature folded in; of the float recipes.
        int8_graph: Lowered by the approximate rules too; a layer of its own makes the grey of a grey-trained network.
        float_model: tf_keras model of ``graph``.
        facts: What the report says so far, the same for every recipe.
        progress: Where to tell.
        seconds: By stage.
        float_logits: Of ``float_model``, by part.
    """

    config: ConvertConfig
    source: Source
    dataset: Any
    parts: list[Pictures]
    graph: Graph
    int8_graph: Graph
    float_model: Any
    facts: dict[str, Any]
    progress: Progress
    seconds: dict[str, float]
    float_logits: dict[str, np.ndarray] = field(default_factory=dict)

    def logits(self, model: Any, part: Pictures) -> np.ndarray:
        """Logits float32 [n, classes] of a tf_keras model for a part; those of the float network are kept."""
        if model is not self.float_model:
            return predict(model, self.graph, part.images)
        if part.name not in self.float_logits:
            self.float_logits[part.name] = predict(model, self.graph, part.images)
        return self.float_logits[part.name]


@dataclass(frozen=True, eq=False)
class Exported:
    """One recipe's network as a file, not yet checked.

    Attributes:
        flatbuffer: Without metadata.
        reference: tf_keras model that the file must agree with.
        kept: Layers that an accuracy budget keeps in float.
        facts: For the report, of the budget.
    """

    flatbuffer: bytes
    reference: Any
    kept: frozenset[str] = frozenset()
    facts: dict[str, Any] = field(default_factory=dict)


def convert(config: ConvertConfig, command: list[str], progress: Progress) -> list[Path]:
    """Converts to every recipe of the configuration.

    Args:
        config: Resolved flags.
        command: Words of the command, for the report.
        progress: Where to tell.

    Returns:
        The .tflite files, beside each its .json, and last the HTML page about all of them.

    Raises:
        ValueError, EdgeError: The model, the data or a check failed; nothing of that recipe was written.
    """
    work = prepare(config, command, progress)
    order = sorted(config.recipes, key=lambda recipe: recipe == "qat-int8")
    fake_quant = _calibrated(work) if any(recipe in INT8_RECIPES for recipe in order) else None
    paths = [convert_recipe(work, recipe, fake_quant) for recipe in order]
    return [*paths, summarize(paths, progress)]


def prepare(config: ConvertConfig, command: list[str], progress: Progress) -> Work:
    """Loads model and data, lowers, checks parity, fits the temperature."""
    import keras

    start = time.perf_counter()
    if config.out.exists() and not config.out.is_dir():
        raise DataError(f"expected a folder to write as --out; {config.out} is a file; choose another name")
    dataset = load_dataset(config)
    names = [dataset.part_name("validation"), *(dataset.part_name(part) for part in config.parts)]
    source = with_data_of_conversion(load_source(config, dataset), config, dataset)
    for name in dict.fromkeys([dataset.part_name("train"), *names]):
        if note := limit_note(dataset, name, config.limit):
            progress.say(note)
    parts = [pictures(source, dataset, name, config.limit) for name in dict.fromkeys(names)]
    as_read = read(source.model)
    graph, used = _lowered(as_read, source, config, approximate=False)
    int8_graph, used_int8 = _lowered(as_read, source, config, approximate=True)
    float_model = emit(graph)
    parity = compare(source.model, graph, float_model, parts[0].images[:PARITY_PICTURES])
    checks.require_parity(parity)
    progress.say(f"lowered {source.name}: {len(graph.nodes)} layers, parity {parity.relative:.1e} of the logits' range")
    logits = predict(float_model, graph, parts[0].images)
    fitted = fit_temperature(logits, parts[0].labels)
    calibration = temperature_effect(logits, parts[0].labels, fitted)
    progress.say(
        f"temperature {fitted:.3f}: calibration error {calibration['ece_before']:.3f} -> {calibration['ece_after']:.3f}"
    )
    graph = fold_temperature(graph, fitted)
    approximations = {name: RULES[name].reason for name in used_int8 if not RULES[name].exact}
    int8_graph = fold_temperature(int8_graph, fitted)
    facts = {
        "command": command,
        "config": config.to_json(),
        "source": described(source) | {"weights_sha256": _digest(as_read)},
        "data": {"name": dataset.name, "protocol": dataset.protocol, "fingerprint": dataset.fingerprint},
        "lowering": {
            "rules": {name: RULES[name].reason for name in used},
            "approximate_rules_of_int8": approximations,
            "left_out": list(config.without),
            "grey_folded": source.colour == "grey",
            "parity": dataclasses.asdict(parity),
        },
        "calibration": calibration | {"part": parts[0].name},
        "versions": report_of.versions() | {"keras-backend": keras.backend.backend()},
        "trained_with": source.versions,
    }
    work = Work(config, source, dataset, parts, graph, int8_graph, emit(graph), facts, progress, {})
    work.seconds["prepare"] = time.perf_counter() - start
    return work


def _lowered(as_read: Graph, source: Source, config: ConvertConfig, approximate: bool) -> tuple[Graph, list[str]]:
    graph, used = lower(as_read, approximate=approximate, without=config.without)
    if source.colour == "grey":
        graph = split_grey(graph) if approximate else fold_grey(graph)
    return graph, used


def convert_recipe(work: Work, recipe: str, fake_quant: Any) -> Path:
    """Exports, checks and writes one recipe; ``fake_quant`` is trained on in place for qat-int8."""
    start = time.perf_counter()
    tuned = None
    if recipe == "qat-int8":
        tuned = _finetuned(work, fake_quant)
    fine_tuned_at = time.perf_counter()
    if recipe in INT8_RECIPES:
        exported = _integer(work, recipe, fake_quant)
    else:
        exported = Exported(export_float(work.graph, work.float_model, recipe), work.float_model)
    exported_at = time.perf_counter()
    report, content = _checked(work, recipe, exported)
    if tuned is not None:
        report["qat"] = dataclasses.asdict(tuned)
    report["seconds"] = {
        **work.seconds,
        "finetune": fine_tuned_at - start,
        "export": exported_at - fine_tuned_at,
        "check": time.perf_counter() - exported_at,
    }
    report["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    path = work.config.out / f"{work.source.name}-{recipe}.tflite"
    text = record_text(report)
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), text)
    if tuned is not None:
        _state_file(work).unlink(missing_ok=True)
    for warning in report["warnings"]:
        work.progress.say(f"warning: {recipe}: {warning}")
    return path


def _integer(work: Work, recipe: str, fake_quant: Any) -> Exported:
    """The int8 file of the calibrated or fine-tuned network, with layers in float where a budget asks for it."""
    from convert.budget import choose
    from convert.quantization.fakequant import for_export
    from convert.tflite.islands import with_islands
    from convert.verification.sensitivity import Probe, sensitivity

    graph, budget = work.int8_graph, work.config.accuracy_budget
    base = export_int8(graph, for_export(graph, fake_quant))
    require_kernel_scales(base)
    if budget is None:
        return Exported(*with_islands(graph, fake_quant, base, ()))
    probe, validation = Probe(graph, fake_quant), work.parts[0]
    chosen = _calibration_pictures(work)[:SENSITIVITY_PICTURES]
    with work.progress.bar("sensitivity", len(probe.roundings)) as advance:
        roundings = sensitivity(probe, chosen, advance)
    right = _share_right(work.logits(work.float_model, validation), validation)

    def drop_of_network(kept: frozenset[str]) -> float:
        return 100 * (right - _share_right(probe.with_float(kept, validation.images), validation))

    def drop_of_file(kept: frozenset[str]) -> float:
        content = package(with_islands(graph, fake_quant, base, kept)[0], _contract(work, recipe))
        with work.progress.bar(f"{recipe}, {len(kept)} layers in float", len(validation.images)) as advance:
            return 100 * (right - _share_right(checks.run_file(content, validation.images, advance), validation))

    choice = choose(graph, roundings, drop_of_network, drop_of_file, budget)
    work.progress.say(
        f"{recipe} drops {choice.drop_points:+.2f} points on {validation.name} (budget {budget:g}) with "
        f"{len(choice.kept)} layers in float" + (f": {', '.join(choice.kept)}" if choice.kept else "")
    )
    facts = {
        "sensitivity": as_table([dataclasses.asdict(rounding) for rounding in roundings]),
        "budget": {"points": budget, "part": validation.name, "sensitivity_pictures": len(chosen)}
        | {"left_out": choice.left_out, "drop_points": choice.drop_points, "tried": list(choice.tried)},
        "kept_in_float": list(choice.kept),
    }
    return Exported(*with_islands(graph, fake_quant, base, choice.kept), frozenset(choice.kept), facts)


def _share_right(rows: np.ndarray, part: Pictures) -> float:
    return float((rows.argmax(axis=1) == part.labels).mean())


def _contract(work: Work, recipe: str, metrics: tuple[dict[str, Any], ...] = ()) -> Contract:
    return report_of.contract(work.source, work.config, recipe, work.facts["versions"], metrics)


def predict(model: Any, graph: Graph, images: np.ndarray) -> np.ndarray:
    """Logits float32 [n, classes] of a tf_keras model for raw uint8 pictures, in batches of one size."""
    import tensorflow as tf

    run = tf.function(lambda batch: model(batch, training=False), jit_compile=False)
    rows = []
    for start in range(0, len(images), EVALUATION_BATCH):
        batch = images[start : start + EVALUATION_BATCH]
        missing = EVALUATION_BATCH - len(batch)
        filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
        rows.append(run(tf.constant(normalize(filled, graph))).numpy()[: len(batch)])
    return np.concatenate(rows)


def _calibrated(work: Work) -> Any:
    """The fake-quant model with its ranges started from training pictures, not augmented."""
    from convert.quantization.fakequant import calibrate, fake_quantize

    start = time.perf_counter()
    chosen = _calibration_pictures(work)
    model = fake_quantize(work.int8_graph)
    batches = range(0, len(chosen), EVALUATION_BATCH)
    calibrate(model, work.int8_graph, (normalize(chosen[i : i + EVALUATION_BATCH], work.graph) for i in batches))
    work.seconds["calibrate"] = time.perf_counter() - start
    return model


def _calibration_pictures(work: Work) -> np.ndarray:
    config = work.config
    return calibration_pictures(work.source, work.dataset, config.calibration, config.seed, config.limit)


def _finetuned(work: Work, model: Any) -> Tuned:
    """Fine-tunes the calibrated model in place; takes up the state of a killed run of the same kind."""
    config = work.config
    batches = TrainingBatches(work.source, work.dataset, config.batch, config.limit, config.seed)
    steps = config.steps if config.steps is not None else math.ceil(config.epochs * batches.per_epoch)
    qat = QatConfig(
        steps=steps,
        batch=batches.batch,
        learning_rate=config.learning_rate,
        hard_share=config.hard_share,
        seed=config.seed,
    )
    validation = work.parts[0]
    goal = probabilities(work.logits(work.float_model, validation))

    def evaluate(candidate: Any) -> dict[str, float]:
        logits = work.logits(candidate, validation)
        return _validation_figures(logits, goal, validation.labels, qat.hard_share)

    work.config.out.mkdir(parents=True, exist_ok=True)
    with work.progress.bar("fine-tuning", steps) as advance:
        tuned = finetune(
            model,
            work.float_model,
            work.int8_graph,
            batches,
            evaluate,
            qat,
            _state_file(work),
            _identity(work, qat),
            advance,
        )
    best = next(row for row in tuned.history if row["step"] == tuned.best_step)
    work.progress.say(f"fine-tuned {steps} steps: fake-quant accuracy {best['accuracy']:.4f} at step {tuned.best_step}")
    return tuned


def _validation_figures(
    logits: np.ndarray, goal: np.ndarray, labels: np.ndarray, hard_share: float = 0.0
) -> dict[str, float]:
    """The least divergence from what was trained for decides; the other figures are there to be looked at.

    Between checks the accuracy moves by a few pictures in a thousand either way: picked by it, a state of four times
    the final divergence was once kept, whose file and network gave other classes for 1.3 % of the pictures.
    """
    rows = probabilities(logits)
    divergence = checks.divergence(goal, rows)
    accuracy = float((rows.argmax(axis=1) == labels).mean())
    wanted = (1 - hard_share) * goal + hard_share * np.eye(rows.shape[1], dtype=rows.dtype)[labels]
    return {"score": -checks.divergence(wanted, rows), "accuracy": accuracy, "divergence": divergence}


def _checked(work: Work, recipe: str, exported: Exported) -> tuple[dict[str, Any], bytes]:
    """The report of one recipe and the whole file, all checks passed."""
    names = work.source.labels
    content = package(exported.flatbuffer, _contract(work, recipe))
    require_kernel_scales(content)
    inspection = inspect(content)
    warnings = checks.require_sound(recipe, work.int8_graph, inspection, exported.kept)
    compared: dict[str, Any] = {}
    integers: IntegerNetwork | None = None
    if recipe in INT8_RECIPES:
        integers = IntegerNetwork(exported.flatbuffer, lay_out(work.int8_graph), exported.reference)

    def steps() -> OwnSteps | None:
        few = work.parts[0].images[:LAYER_PICTURES]
        return None if integers is None else own_steps(exported.flatbuffer, integers, few)

    for part in work.parts:
        with work.progress.bar(f"{recipe} on {part.name}", len(part.images)) as advance:
            came = checks.run_file(content, part.images, advance)
        compared[part.name] = checks.compare(
            probabilities(work.logits(work.float_model, part)), came, part.labels, names
        )
        logits = work.logits(exported.reference, part)
        share = _agreement(logits if integers is None else integers(part.images), recipe, came)
        if recipe in (*INT8_RECIPES, "float32"):
            warnings += checks.require_agreement(
                recipe, part.name, share, len(part.images), decides=part is work.parts[0], steps=steps
            )
        if compared[part.name]["ties"] > TIES_WARNED:
            ties = f"{compared[part.name]['ties']:.1%} of {part.name}"
            warnings.append(f"several classes tie for the highest on {ties}: its agreement says little")
        compared[part.name]["agreement_with_network"] = share
        if integers is not None:
            compared[part.name]["agreement_with_network_in_float32"] = _agreement(logits, recipe, came)
        compared[part.name]["ece"] = calibration_error(checks.as_device(came), part.labels)
        work.progress.say(report_of.line(recipe, part.name, compared[part.name]))
    rows = tuple(report_of.metric(work.dataset, work.config, name, compared[name]["file"]) for name in compared)
    content = package(exported.flatbuffer, _contract(work, recipe, rows))
    parse_model(content)
    report = {
        "schema": SCHEMA,
        "kind": "conversion",
        "recipe": recipe,
        "file": f"{work.source.name}-{recipe}.tflite",
        "sha256": sha256_of(content),
        "size_bytes": len(content),
        **work.facts,
        "inspection": dataclasses.asdict(inspection),
        "delegation": report_of.placed(as_json(delegation(content))),
        **({"layers": as_table(report_of.brief(_layers(work, content)))} if recipe in INT8_RECIPES else {}),
        "parts": compared,
        **exported.facts,
        "warnings": warnings,
    }
    return report, content


def _agreement(logits: np.ndarray, recipe: str, came: np.ndarray) -> float:
    """Of a file's probabilities [n, classes] with its network's logits [n, classes]."""
    expected = probabilities(logits)
    return checks.agreement(checks.as_uint8_output(expected) if recipe in INT8_RECIPES else expected, came)


def _layers(work: Work, content: bytes) -> list[dict[str, Any]]:
    """The error of each layer of an int8 file against the float network, on pictures of the validation part."""
    chosen = work.parts[0].images[:LAYER_PICTURES]
    model = emit(work.int8_graph)
    with work.progress.bar("layers", len(chosen)) as advance:
        return [dataclasses.asdict(error) for error in layer_errors(content, work.int8_graph, model, chosen, advance)]


def _digest(graph: Graph) -> str:
    """sha256 of a network's weights, in order."""
    digest = hashlib.sha256()
    for node in graph:
        for name in sorted(node.weights):
            digest.update(np.ascontiguousarray(node.weights[name]).tobytes())
    return digest.hexdigest()


def _state_file(work: Work) -> Path:
    return work.config.out / f".{work.source.name}-qat-int8.state.npz"


def _identity(work: Work, qat: QatConfig) -> str:
    """Of everything that decides the fine-tuning, so that another run's state is not taken up."""
    config, source = work.config, work.source
    shape = [(node.name, node.kind, node.inputs, node.shape, repr(node.attributes)) for node in work.int8_graph]
    facts = [dataclasses.asdict(qat), work.dataset.fingerprint, work.dataset.protocol, config.limit, config.calibration]
    facts += [shape, dataclasses.asdict(source.augment), source.colour, _digest(work.int8_graph)]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
