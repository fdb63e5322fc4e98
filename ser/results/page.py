"""The page of a run, ``page.html``: a single file that opens without a network."""

import base64
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import OmegaConf

from ser.data.audio import AudioError, read_audio
from ser.evaluation import SCORES, Answers, enrolment_line
from ser.results.figures import curves_figure, groups_figure, reliability_figure
from ser.results.record import RunRecord

WORST, BEST = 8, 6
"""Clips to play: the surest wrong answers, and the surest right ones."""

PLAYED_RATE = 16_000
PLAYED_SECONDS = 10
"""Seconds that are played of a clip; a page holds its sounds."""

pages = Environment(loader=PackageLoader("ser.results"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@rc_context({"svg.fonttype": "none"})
def run_page(cfg: Mapping[str, Any], record: RunRecord, answers: Answers, sounds: Mapping[str, Path]) -> str:
    """The page of a run, as HTML.

    Args:
        cfg: The composed choices.
        record: What ``metrics.json`` holds.
        answers: What the network said of each test clip.
        sounds: Where the test clips lie, by name; one that is not there or can't be read is not played.
    """
    labels = record.confusion_matrix["labels"]
    counts = np.array(record.confusion_matrix["counts"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return pages.get_template("page.html").render(
        r=record,
        command=shlex.join(record.command or []),
        scores=[name for name in SCORES if name in record.test],
        enrolment=enrolment_line(record.enrolment) if record.enrolment else None,
        labels=labels,
        rows=[
            (label, list(zip(row.tolist(), part.tolist(), strict=True)))
            for label, row, part in zip(labels, counts, shares, strict=True)
        ],
        curves=drawn(curves_figure(record.history), "curves") if record.history else None,
        reliability=drawn(reliability_figure(answers.probabilities, answers.true), "reliability"),
        groups=drawn(groups_figure(record.groups, record.test["uar"]), "groups") if record.groups else None,
        played=_played(answers, sounds),
        config=OmegaConf.to_yaml(OmegaConf.create(dict(cfg))),
    )


def drawn(figure: Figure, name: str = "figure") -> Markup:
    """A figure as SVG in the page's own colour of text, so that it can be read in light and dark.

    Its ids begin with ``name``, so that those of two figures on a page differ.
    """
    into = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "ser"}):
        figure.savefig(
            into, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    svg = into.getvalue()
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg[svg.index("<svg") :])
    return Markup(svg.replace("#000000", "currentColor").replace("<svg ", '<svg fill="currentColor" ', 1))


def _played(answers: Answers, sounds: Mapping[str, Path]) -> list[tuple[str, list[dict[str, Any]]]]:
    sure = answers.probabilities.max(1)
    right = answers.predicted == answers.true
    order = np.argsort(-sure, kind="stable")
    chosen = (
        ("The surest mistakes", order[~right[order]][:WORST]),
        ("The surest right answers", order[right[order]][:BEST]),
    )
    return [(title, [_clip(answers, int(i), sounds) for i in rows]) for title, rows in chosen]


def _clip(answers: Answers, row: int, sounds: Mapping[str, Path]) -> dict[str, Any]:
    name = answers.clips[row]
    return {
        "name": name,
        "true": answers.labels[answers.true[row]],
        "answer": answers.labels[answers.predicted[row]],
        "probability": answers.probabilities[row].max(),
        "sound": _sound(sounds[name]) if name in sounds else None,
        "named": name in sounds,
    }


def _sound(path: Path) -> str | None:
    """A FLAC in a data URL, or None where the file is gone, as on a drive that was taken out since."""
    try:
        samples = read_audio(path, PLAYED_RATE).samples[: PLAYED_SECONDS * PLAYED_RATE]
    except (AudioError, OSError):
        return None
    return flac_url(samples, PLAYED_RATE)


def flac_url(samples: NDArray[Any], sample_rate: int) -> str:
    """Samples ``(time,)`` at a rate in hertz as a FLAC in a data URL."""
    into = io.BytesIO()
    soundfile.write(into, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(into.getvalue()).decode()


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str]) -> str:
    """A table in Markdown; the columns headed ``left`` are text, the others numbers and on the right."""
    sides = ["---" if head in left else "---:" for head in heads]
    plain = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, sides, *plain))
