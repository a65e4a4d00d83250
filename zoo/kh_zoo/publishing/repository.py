"""The files of a model's repository on the Hub: building them, and checking a folder of them."""

import dataclasses
import json
import re
import tempfile
from pathlib import Path
from typing import Any

# Before Keras: it says what is missing where there is no backend.
import keras_hypercolumns  # noqa: F401

# isort: split
import keras
import numpy as np
from safetensors.numpy import load_file

from keras_hypercolumns.training.recipe import known_part
from kh_zoo.catalog.find import MODEL, Source, find, find_source, open_source, pull_source
from kh_zoo.catalog.records import Variant, find_variant, list_variants
from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import ModelError, ZooError
from kh_zoo.files.plain_files import plain_path, read_plain
from kh_zoo.hub.card import END, EXAMPLE, Facts, card_license, card_problems, write_card
from kh_zoo.hub.store import CARD, file_digest, open_any, read_card, read_license
from kh_zoo.networks.keras_folder import check_keras_folder
from kh_zoo.networks.model_folder import (
    CONFIG,
    KERAS,
    KERAS_FILES,
    MAX_HEADER,
    TENSORS,
    ModelFolder,
    open_model_folder,
    read_json,
    read_table,
    scale_of,
)
from kh_zoo.networks.network import Node
from kh_zoo.networks.onnx_graph import GRAPH, onnx_graph, write_graph
from kh_zoo.networks.tensors import expand, quantize, write_model_folder
from kh_zoo.with_keras.keras_model import (
    add_table,
    build_keras_model,
    build_model,
    save_model,
    write_keras,
)
from kh_zoo.with_keras.to_network import to_network

FILES = (*KERAS_FILES, TENSORS, GRAPH, CARD, EXAMPLE)
"""All that is published; a folder may also have `.gitattributes`, which the Hub adds."""
_MOST_GRAPH = 16_000_000
"""Bytes; what describes a network of 5000 nodes has a tenth of them."""
_PICTURE = Path(__file__).parent / "example.jpg"
"""Chelsea the cat, by Stéfan van der Walt (CC0)."""


def build_repository(
    model: str | Path | keras.Model,
    repository: str,
    folder: Path,
    *,
    license: str | None = None,
    size: int | None = None,
    before: str | None = None,
) -> None:
    """Write the files of a repository to an empty folder.

    The weights for `kh` are int8 where they are those of a trunk with heads; those for Keras are in
    full precision where the model has it. The same model gives the same bytes.

    Args:
        model: As for `load_model`; or a Keras model.
        repository: `owner/repo`, for the card.
        folder: The folder.
        license: Of the weights. Defaults to `None`: what the catalogue or the card says.
        size: Of a Keras model, as for `save_model`.
        before: The card that is on the Hub, of which a person's part is kept.

    Raises:
        VariantError, ModelError: There is no such model, it is not sound, there are unknown files
            with it, or no licence is known.
    """
    if isinstance(model, keras.Model):
        with tempfile.TemporaryDirectory() as own:
            save_model(model, own, size)
            build_repository(Path(own), repository, folder, license=license, before=before)
        return
    source = _find(model)
    path = Path(source.folder or "")
    facts = _facts(source, path)
    known = license or facts.get("license") or (card_license(before) if before else None)
    if not known or not known.strip():
        raise ModelError(
            "`license` should be given, such as Apache-2.0: neither the catalogue nor a card says "
            f"under which licence these weights are. Received: {license!r}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    taps: tuple[str, ...] = ()
    if read_table(path / CONFIG)["architecture"] == KERAS:
        own_model = check_keras_folder(path)
        size, precision = own_model.size, "as Keras saved them."
        save_model(build_keras_model(own_model), folder, size)
    else:
        opened, head = open_source(source)
        taps, size = opened.config.heads[head], opened.config.size
        precision = _write_variant(opened, head, folder)
    if size is not None:
        Colorizer(folder).colorize_file(_PICTURE, folder / EXAMPLE, compare=True, quality=90)
    card = Facts(
        repository=repository,
        title=repository.split("/")[1],
        description=facts.get("description", "A model with a hypercolumn."),
        license=known,
        colors=size is not None,
        precision=precision,
        origin=facts.get("origin", "not stated"),
        taps=taps,
        size=size,
        training_data=facts.get("training_data", ()),
        metrics=facts.get("metrics", {}),
        details=facts.get("details", ""),
    )
    (folder / CARD).write_text(write_card(card, before), encoding="utf-8")


def check_repository(folder: Path) -> list[str]:
    """Return what is wrong with the files of a repository; nothing of it needs a network.

    Its model is opened, but nothing of it is run: the weights for `kh` and those for Keras are
    compared, and the graph with the one that the configuration gives.
    """
    if not folder.is_dir():
        return [f"{folder}: should be a folder"]
    problems = [
        f"{name}: should not be there; known are {', '.join(FILES)}" for name in _unknown(folder)
    ]
    try:
        for path in folder.iterdir():
            if not path.is_dir():
                plain_path(path)
        open_any(folder)
        architecture = read_table(folder / CONFIG)["architecture"]
        needed = (*KERAS_FILES, CARD) if architecture == KERAS else FILES
        missing = [name for name in needed if not (folder / name).is_file()]
        problems += [f"{name}: is missing" for name in missing]
        if architecture != KERAS and not missing:
            problems += _differences(open_model_folder(folder))
        if CARD not in missing:
            text = read_plain(folder / CARD, MAX_HEADER).decode("utf-8")
            problems += [f"{CARD}: {problem}" for problem in card_problems(text)]
    except UnicodeDecodeError as error:
        problems.append(f"{CARD}: is no text in UTF-8 ({error.reason})")
    except ZooError as error:
        problems.append(str(error))
    return problems


def _unknown(folder: Path) -> list[str]:
    """Names of what is in a folder, and in no repository of ours."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in (*FILES, ".gitattributes") or path.is_dir()
    )


def _find(model: str | Path) -> Source:
    """Find what is to be published; it is on the disk then."""
    source = find(model)
    if source.where == "path" and source.folder is not None:
        copied = _copied(source)
        if copied is not None:
            return _find(copied.name)
        unknown = _unknown(source.folder)
        if unknown:
            raise ModelError(
                f"`model` should be a folder of nothing but a model, {', '.join(FILES)}; move what "
                f"else is in {source.folder} elsewhere. Received: {', '.join(unknown[:3])}"
            )
    elif source.variant is not None:
        variant = find_variant(source.variant)
        if variant.folder is not None:
            # What came with its package, not what was published of it before, and pulled.
            source = find_source(dataclasses.replace(variant, repository=None))
    return pull_source(source)


def _copied(source: Source) -> Variant | None:
    """The variant of the catalogue that a folder is a copy of, file by file."""
    folder = Path(source.folder or "")
    copies = [
        variant
        for variant in list_variants()
        if variant.folder is not None
        and variant.files
        and all((folder / name).is_file() for name in variant.files)
        and all(file_digest(folder / n) == file["sha256"] for n, file in variant.files.items())
    ]
    head = open_source(source)[1] if copies else None
    return next((variant for variant in copies if variant.name == head), None)


def _write_variant(opened: ModelFolder, head: str, folder: Path) -> str:
    """Write the files of one variant of a model folder; return what its weights are.

    A vivid head that it has beside its own is among those for `kh`.
    """
    vivid = opened.config.vivid_head(head)
    config = opened.config.part((head, *([vivid] if vivid and vivid != head else [])))
    stored = load_file(opened.tensors_path)
    tensors = {name: stored[name] for name in config.tensor_shapes(config.int8(stored))}
    write_model_folder(folder, config, tensors if opened.quantized else quantize(tensors))
    write_graph(open_model_folder(folder), head)
    # Keras's files from the weights in full precision, where there are such.
    write_keras(build_model(opened, head), folder)
    add_table(folder, config.to_table())
    if opened.quantized:
        return "int8, also those for Keras, which are expanded from them."
    return "int8 for `kh`, float32 for Keras, as they were trained."


def _facts(source: Source, path: Path) -> dict[str, Any]:
    """What the catalogue, the run or the card beside a model say of it."""
    if source.where != "path" and source.variant is not None:
        record = find_variant(source.variant)
        card = path / CARD
        return {
            "description": f"{record.description}.",
            "license": record.license,
            "origin": record.origin,
            "training_data": record.training_data,
            "metrics": record.metrics,
            "details": _sections(read_card(card)),
        }
    facts: dict[str, Any] = {}
    if source.repository:
        facts["origin"] = f"`{source.repository}` on the Hub, at {path.name}"
    if (path / CARD).is_file():
        facts["license"] = read_license(path / CARD)
    table = _recipe(path)
    if table:
        text = json.dumps(table, indent=2)
        facts["origin"] = "`kh train`, by the recipe below"
        facts["details"] = f"## Recipe\n\n```json\n{text}\n```"
    return facts


def _recipe(path: Path) -> dict[str, Any]:
    """What the recipe of the run that a model folder is of says; nothing else that may be there."""
    file = path.parent / "recipe.json"
    if path.name != MODEL or not file.is_file():
        return {}
    table = read_json(file)
    table = known_part(table) if isinstance(table, dict) else {}
    for key in ("init", "trunk"):
        given = Path(table.get(key, ""))
        if given.is_absolute() or ".." in given.parts or str(given).startswith("~"):
            # Where it lay on this disk is nobody's business.
            table[key] = given.name
    return table


def _sections(card: str) -> str:
    """Of the card of a generation, what it can't do, and how it was made."""
    start = re.search(r"^## What it does badly$", card, re.MULTILINE)
    return card[start.start() :].partition(END)[0] if start else ""


def _differences(folder: ModelFolder) -> list[str]:
    """What the files of one model say differently."""
    variants = folder.config.variants
    if len(variants) > 1:
        return [f"{CONFIG}: should have one variant. Received: {', '.join(variants)}"]
    [head] = variants
    problems = []
    try:
        graph = read_plain(folder.path / GRAPH, _MOST_GRAPH)
    except ModelError as error:
        return [str(error)]
    if graph != onnx_graph(folder, head).to_bytes():
        problems.append(f"{GRAPH}: is not the graph that `{CONFIG}` gives")
    try:
        written = to_network(build_keras_model(check_keras_folder(folder.path)), head)
    except ModelError as error:
        return [*problems, str(error)]
    ours = {node.name: node for node in folder.config.network.part([head]).nodes}
    theirs = {node.name: node for node in written.network.nodes}
    if {one: _untensored(node) for one, node in ours.items()} != {
        one: _untensored(node) for one, node in theirs.items()
    }:
        return [*problems, f"{CONFIG}: describes another network to Keras than to `kh`"]
    stored = load_file(folder.tensors_path)
    tensors = expand(stored)
    for one, node in ours.items():
        for role, name in node.tensors.items():
            # A step of int8, where that is what differs: see `quantize`.
            scale = stored.get(scale_of(name))
            step = 1e-5 if scale is None else scale[:, None, None, None] * 1.001
            difference = np.abs(written.tensors[theirs[one].tensors[role]] - tensors[name])
            if np.any(difference > step + 1e-6):
                return [*problems, f"{KERAS_FILES[2]}: its weights are not those of `{TENSORS}`"]
    return problems


def _untensored(node: Node) -> tuple[Any, ...]:
    """All of a node but its name and those of its tensors."""
    return node.op, node.inputs, dict(node.attributes), sorted(node.tensors)
