"""What a model is and what it learnt from, each on one Markdown page: ``model_card.md`` and ``data_card.md``.

The sections follow Mitchell et al. (2019), "Model Cards for Model Reporting", and Gebru et al. (2021), "Datasheets for
Datasets". Everything said of a run comes from its results, what is said of a corpus as released from ``FACTS``.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ser.data.corpora import FACTS, SIDES
from ser.errors import visible
from ser.evaluation import MIN_SPEAKERS, SCORES, enrolment_line
from ser.features import PRETRAINED
from ser.features.bundles import BUNDLES
from ser.results.record import RunRecord

MOST_ROWS = 8
"""A group of more values, such as speakers, gets one line."""

LISTED = 20
"""Clips that a list names at most; ``metrics.json`` has all."""

# An underscore between two letters or digits, as in crema_d, emphasises nothing.
_SPECIAL = re.compile(r"[\\`*\[\]<>|$~&]|(?<![^\W_])_|_(?![^\W_])")


def plain(value: object) -> Markup:
    r"""A value as Markdown that shows it letter by letter, in a sentence or in a cell of a table.

    Letters that mean something to Markdown, HTML or TeX get a backslash (CommonMark 0.31, section 2.4), and any white
    space becomes one space: ``a|b`` → ``a\|b``. What is Markdown already passes as it is.
    """
    if isinstance(value, Markup):
        return value
    return Markup(_SPECIAL.sub(r"\\\g<0>", visible(" ".join(str(value).split()))))


def _score(value: float) -> str:
    return f"{value:.3f}"


def _interval(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _count(value: int) -> str:
    return f"{value:,}"


def _code(text: str) -> Markup:
    """A code block by indentation, which nothing in it can end; it must not follow a list."""
    return Markup("\n".join(f"    {line}" for line in text.splitlines()))


# Every value goes through `plain`, so that HTML's escapes are not wanted.
cards = Environment(
    loader=PackageLoader("ser.results"),
    autoescape=False,
    finalize=plain,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
cards.filters |= {"score": _score, "interval": _interval, "count": _count, "code": _code}


def front_matter(record: RunRecord) -> str:
    """The YAML that the Hugging Face Hub reads of a model card, between two lines of dashes.

    Its licence is ``other``, because the licences of the corpora may bind the model; ``data_card.md`` has them.
    """
    named = {"accuracy": "accuracy", "macro_f1": "f1", "weighted_f1": "f1", "uar": "recall"}
    results = {
        "task": {"type": "audio-classification", "name": "speech emotion recognition"},
        "dataset": {"type": record.dataset["name"], "name": record.dataset["name"], "split": record.split["name"]},
        "metrics": [
            {"type": kind, "name": score, "value": round(record.test[score], 4)}
            for score, kind in named.items()
            if score in record.test
        ],
    }
    held = {
        "license": "other",
        "library_name": "ser",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition"],
        "datasets": list(record.data),
        "metrics": sorted(set(named.values())),
        "model-index": [{"name": record.title, "results": [results]}],
    }
    return f"---\n{yaml.safe_dump(held, allow_unicode=True, sort_keys=False)}---\n\n"


def adapted_card(adaptations: Sequence[Mapping[str, Any]], card: str | None) -> str:
    """The card of a model that was adapted without labels, before the card of the run that it comes from.

    Args:
        adaptations: What the checkpoint says of each, ``to``, ``clips``, ``seconds`` and what was adapted.
        card: Card of the run; None where it has none.
    """
    lines = ["# Adapted without labels", ""]
    for entry in adaptations:
        assumed = " The emotions were taken to be about equally frequent there." if entry["balanced"] else ""
        lines.append(
            f"- To {plain(entry['to'])}: {entry['clips']:,} clips, {entry['seconds']:.0f} s. Their statistics weigh "
            f"{entry['normalizer']:.2f} in the features and {entry['batch_norm']:.2f} in the batch norms.{assumed}"
        )
    # The Hub would take the scores in the front matter for those of the adapted model.
    card = card.split("\n---\n\n", 1)[-1] if card is not None and card.startswith("---\n") else card
    lines += ["", "Scores below are of the model before it was adapted; after it, none was measured.", "", card or ""]
    return "\n".join(lines)


def model_card(cfg: Mapping[str, Any], record: RunRecord) -> str:
    """The card of a run's model, as Markdown, which the Hugging Face Hub shows for a folder that is pushed there.

    Args:
        cfg: The composed choices.
        record: Record of a training.
    """
    groups = {name: values for name, values in record.groups.items() if len(values) <= MOST_ROWS}
    ranges = {
        name: (len(values), min(group["uar"] for group in values.values()), max(g["uar"] for g in values.values()))
        for name, values in record.groups.items()
        if name not in groups
    }
    learnt, tested = (
        [name for name, corpus in record.data.items() if corpus["clips"][side]] for side in ("train", "test")
    )
    return front_matter(record) + cards.get_template("model_card.md").render(
        r=record,
        cfg=cfg,
        split=_split(cfg),
        pretrained=_pretrained(cfg["features"]),
        labels=record.confusion_matrix["labels"],
        scores=[name for name in SCORES if name in record.test],
        enrolment=enrolment_line(record.enrolment) if record.enrolment else None,
        groups=groups,
        ranges=ranges,
        min_speakers=MIN_SPEAKERS,
        name=" + ".join(record.data),
        tested=" + ".join(tested),
        learnt=[FACTS[name] for name in learnt],
        meanings=list(dict.fromkeys(FACTS[name].label for name in learnt)),
        silent_classes=[label for label, line in record.classes.items() if not line["predicted"]],
        command=shlex.join(record.command) if record.command else None,
    )


def data_card(cfg: Mapping[str, Any], record: RunRecord) -> str:
    """The card of the clips that a run used, as Markdown.

    Args:
        cfg: The composed choices.
        record: Record of a training.
    """
    labels = record.confusion_matrix["labels"]
    return cards.get_template("data_card.md").render(
        r=record,
        cfg=cfg,
        name=" + ".join(record.data),
        split=_split(cfg),
        unlabelled=_listing({label: _count(clips) for label, clips in record.labels["left_out"].items()}, ", "),
        merged=[f"{emotion} → {label}" for emotion, label in (cfg["labels"]["merge"] or {}).items()],
        corpora=[_corpus(name, data, labels) for name, data in record.data.items()],
        sides=SIDES,
        listed=LISTED,
    )


def _pretrained(features: Mapping[str, Any]) -> str | None:
    """The weights that features are made with: a file of the user's, or torchaudio's by the name of their bundle."""
    (name, *others) = features["names"]
    if others or name not in PRETRAINED:
        return None
    return features["weights"] or features["bundle"] or BUNDLES[name]


def _split(cfg: Mapping[str, Any]) -> str:
    """Name and options of the split."""
    options = ", ".join(f"{option}={value}" for option, value in cfg["split"].items() if option != "name")
    return f"{cfg['split']['name']} ({options})" if options else cfg["split"]["name"]


def _listing(values: Mapping[str, str], between: str) -> str:
    return between.join(f"{name}: {value}" for name, value in values.items())


def _corpus(name: str, data: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Gather what the template asks of a corpus: facts, counts in words, and the rows of its table."""
    counts = [(label, [data["clips"][side].get(label, 0) for side in SIDES]) for label in labels]
    whole = [sum(data["clips"][side].values()) for side in SIDES]
    counts.append((Markup("**all**"), whole))
    rows = [(head, [_count(n) for n in (*ns, sum(ns))]) for head, ns in counts if sum(ns)]
    hours = [data["hours"][side] for side in SIDES]
    speakers = [data["speakers"][side] for side in (*SIDES, "all")]
    rows.append((Markup("**hours**"), [f"{value:.2f}" for value in (*hours, sum(hours))]))
    if speakers[-1]:
        rows.append((Markup("**speakers**"), [_count(n) for n in speakers]))
    return {
        "name": name,
        "facts": FACTS[name],
        "data": data,
        "clips": sum(whole),
        "table": rows,
        "sex": ", ".join(
            f"{_count(own['speakers'])} {sex} ({_count(own['clips'])} clips)"
            if own["speakers"]
            else f"{sex} in {_count(own['clips'])} clips"
            for sex, own in data["sex"].items()
        ),
        "native": sum(whole) - sum(n for remark, n in data["remarks"].items() if remark.startswith("resampled")),
        "remarks": _listing({remark: _count(clips) for remark, clips in data["remarks"].items()}, "; "),
    }
