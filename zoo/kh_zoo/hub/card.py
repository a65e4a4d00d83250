"""The card of a published model: `README.md`, of which a person may write any part.

What is written here stands between two marks, and is replaced when the model is published again.
All else in the file, and all other metadata, is left as it is.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from kh_zoo.errors import ModelError

BEGIN = "<!-- written by kh publish: what is between these marks is replaced -->"
END = "<!-- end of what kh publish writes -->"
EXAMPLE = "example.jpg"
_OURS = re.compile(f"{re.escape(BEGIN)}(?:(?!{re.escape(BEGIN)}).)*?{re.escape(END)}", re.DOTALL)
_TAGS = ("keras-hypercolumns", "hypercolumns")
_KNOWN_LICENSES = re.compile(
    r"apache-2\.0|mit|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[34]\.0|(l|a)?gpl-[23](\.[01])?|bsd(-[23]-clause)?"
    r"|unlicense|mpl-2\.0|other|unknown"
)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_METADATA = 100_000
_MOST_DEPTH = 20
_OPEN = re.compile(r"\ufeff?\s*---[ \t]*(?=(\r\n|\r|\n))")
_CLOSE = re.compile(r"(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|$)")
_METRICS = {
    "psnr": "PSNR of 8-bit sRGB with the input's lightness, dB",
    "rmse_ab": "RMSE of A and B, CIELAB units",
    "explained_variance": "Variance of A and B explained over the mean colour",
    "colorfulness": "Colourfulness (Hasler and Süsstrunk)",
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a card says of a model."""

    repository: str
    title: str
    description: str
    license: str
    colors: bool
    """Whether it predicts colour from lightness, so that `kh colorize` runs it."""
    precision: str
    """A sentence on what the weights are stored in."""
    origin: str
    taps: tuple[str, ...] = ()
    size: int | None = None
    training_data: tuple[str, ...] = ()
    metrics: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    """Figures of the test split, by kind of picture."""
    details: str = ""
    """More, in Markdown, from second-level headings on."""


def license_id(license: str) -> str:
    """Return the id that a licence has on the Hub, `apache-2.0` for `Apache-2.0`; else `other`."""
    plain = license.strip().lower()
    return plain if _KNOWN_LICENSES.fullmatch(plain) else "other"


def card_license(text: str) -> str | None:
    """Return the licence in the metadata of a card, by its name where the Hub has no id for it."""
    return _license_of(_read(text)[0])


def write_card(facts: Facts, before: str | None = None) -> str:
    """Return the text of the card.

    Args:
        facts: What is known of the model.
        before: The card that is there, of which a person's part is kept; None if there is none.
    """
    text = f"{BEGIN}\n\n{_body(facts)}\n\n{END}"
    kept: dict[str, Any] = {}
    if before is None:
        content = text + "\n"
    else:
        kept, content = _read(before)
        if _license_of(kept) != _license_of(_metadata(facts)):
            # They are about the licence that it had.
            kept = {key: kept[key] for key in kept if key not in ("license_name", "license_link")}
        ours = _OURS.search(content)
        if ours:
            above, below = content[: ours.start()], content[ours.end() :]
            content = _without_marks(above) + text + _without_marks(below)
        else:
            content = f"{_without_marks(content).rstrip()}\n\n{text}\n"
    metadata = {**kept, **_metadata(facts)}
    tags = kept.get("tags")
    kept_tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    metadata["tags"] = list(dict.fromkeys([*metadata["tags"], *kept_tags]))
    metadata = {key: value for key, value in metadata.items() if value is not None}
    block = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    content = content.lstrip("\r\n").rstrip()
    return f"---\n{block}---\n\n{content}\n"


def _without_marks(text: str) -> str:
    """A person's part, from which an edit may have left one mark without the other."""
    return text.replace(BEGIN, "\n").replace(END, "\n")


def card_problems(text: str) -> list[str]:
    """Return what the Hub, or a reader, would have against a card; without a network."""
    problems = []
    try:
        data, _ = _read(text)
    except ModelError as error:
        return [str(error)]
    license = data.get("license")
    if not isinstance(license, str) or not license:
        problems.append("its metadata should have a `license`")
    elif not _KNOWN_LICENSES.fullmatch(license):
        problems.append(
            f"`license` should be an id of the Hub, or 'other' with `license_name`. Received: "
            f"{license!r}"
        )
    elif license == "other" and not data.get("license_name"):
        problems.append("`license` 'other' should have a `license_name` beside it")
    if data.get("library_name") != "keras":
        problems.append("`library_name` should be 'keras'")
    for key in ("tags", "datasets", "metrics"):
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            problems.append(f"`{key}` should be a list of words")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.find(BEGIN) > text.find(END):
        problems.append("the two marks of what `kh publish` writes should be there once")
    return problems


def _read(text: str) -> tuple[dict[str, Any], str]:
    """Return the metadata of a card, and what follows them.

    Raises:
        ModelError: If its metadata are none, or are such as could take memory or time without end.
    """
    block, content = _split(text)
    try:
        if len(block) > _MOST_METADATA:
            raise ValueError(f"more than {_MOST_METADATA:,} characters")
        depth = 0
        for event in yaml.parse(block, Loader=_LOADER):
            # A few of them stand for as much as there is memory.
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"an alias, *{event.anchor}; write out what it stands for")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_DEPTH:
                raise ValueError(f"nested more than {_MOST_DEPTH} deep")
        data = yaml.load(block, Loader=_LOADER)
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise ValueError("no keys with values")
        for key in data:
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r}, which is no word")
    # The latter of values that are none of the type that they say they are.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"its metadata can't be read: {reason[:300]}") from None
    return data, content


def _split(text: str) -> tuple[str, str]:
    """Return what stands between the two lines of `---` of a card, and what follows them."""
    start = _OPEN.match(text)
    end = _CLOSE.search(text, start.end()) if start else None
    if start is None or end is None:
        return "", text
    return text[start.end() : end.start()], text[end.end() :]


def _license_of(metadata: Mapping[str, Any]) -> str | None:
    found = metadata.get("license")
    if found == "other":
        found = metadata.get("license_name") or found
    return found if isinstance(found, str) else None


def _metadata(facts: Facts) -> dict[str, Any]:
    metadata: dict[str, Any] = {"license": license_id(facts.license)}
    if metadata["license"] == "other":
        metadata["license_name"] = facts.license
    metadata |= {"library_name": "keras", "tags": list(_TAGS)}
    if facts.colors:
        metadata["pipeline_tag"] = "image-to-image"
        metadata["tags"].append("colorization")
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name="Colorization",
            dataset_type=kind,
            dataset_name=f"{kind}, test split, {figures['pictures']:.0f} pictures",
            metric_type=key,
            metric_value=figures[key],
            metric_name=label,
        )
        for kind, figures in facts.metrics.items()
        for key, label in _METRICS.items()
        if key in figures
    ]
    if results:
        metadata["metrics"] = list(_METRICS)
        data: Any = ModelCardData(model_name=facts.title, eval_results=results)
        metadata["model-index"] = data.to_dict()["model-index"]
    return metadata


def _body(facts: Facts) -> str:
    name = license_id(facts.license)
    parts = [f"# {facts.title}", facts.description]
    if facts.colors:
        parts += [
            "From the lightness of a photograph (CIELAB L) to its colour (A and B): "
            f"`{facts.repository}` is a model of keras-hypercolumns.",
            f"![A grey picture, and what this model makes of it]({EXAMPLE})",
            "(Chelsea the cat, by Stéfan van der Walt, CC0)",
            "## Use",
            "```console\n$ pip install keras-hypercolumns\n"
            f"$ kh colorize photos/ -m {facts.repository}\n```",
            "```python\nfrom kh_zoo import Colorizer\n\n"
            f'Colorizer("{facts.repository}").colorize_file("photo.jpg", "photo.color.jpg")\n```',
        ]
    else:
        parts += [
            f"`{facts.repository}` is a model of keras-hypercolumns.",
            "## Use",
        ]
    parts += [
        'As a Keras model, after `pip install "keras-hypercolumns[tensorflow]"`, or `[jax]`, or '
        "`[torch]`:",
        "```python\nimport keras\nimport keras_hypercolumns  # registers the layers\n\n"
        f'model = keras.saving.load_model("hf://{facts.repository}")\n```',
        "## What it is",
        "\n".join(
            f"- {line}"
            for line in (
                f"Licence: {name if name != 'other' else facts.license}.",
                f"Weights: {facts.precision}",
                f"Origin: {facts.origin.rstrip('.')}.",
                facts.taps and f"Taps of its hypercolumn: {', '.join(facts.taps)}.",
                facts.size and f"Colours are best predicted at a short side of {facts.size} px.",
                facts.training_data and f"Trained on: {'; '.join(facts.training_data)}.",
            )
            if line
        ),
    ]
    if facts.metrics:
        parts += ["## How good it is", _table(facts.metrics)]
    if facts.details:
        parts.append(facts.details.strip())
    return "\n\n".join(parts)


def _table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    rows = [((f"{row['pictures']:.0f} {kind}",), row) for kind, row in metrics.items()]
    beside = "Test split; beside it what predicting grey, and one mean colour, gives."
    return "\n".join([beside, "", *figures(("pictures",), rows)])


def figures(
    names: Sequence[str], rows: Iterable[tuple[Sequence[str], Mapping[str, Any]]]
) -> list[str]:
    """A table of `kh evaluate`'s figures in Markdown, with the baselines beside them.

    Args:
        names: Heads of the columns that say what a row is of.
        rows: What each is of, and its figures.
    """
    heads = (
        *(*names, "PSNR", "gray", "mean colour", "RMSE AB", "gray", "mean colour"),
        *("explained variance", "colourfulness", "truth"),
    )
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for labels, row in rows:
        cells = (
            *(*labels, f"**{row['psnr']:.2f}**", f"{row['psnr_gray']:.2f}"),
            *(f"{row['psnr_mean']:.2f}", f"**{row['rmse_ab']:.2f}**"),
            *(f"{row['rmse_ab_gray']:.2f}", f"{row['rmse_ab_mean']:.2f}"),
            *(f"{row['explained_variance']:.3f}", f"{row['colorfulness']:.1f}"),
            f"{row['colorfulness_truth']:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines
