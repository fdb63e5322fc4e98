"""Scores of checkpoints under noise, in rooms, over a telephone and in other conditions, and the page of them."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.progress import track

from ser.checkpoint import Checkpoint, find_checkpoint
from ser.errors import UserError
from ser.evaluation import answers_about
from ser.evaluation.conditions import CLEAN, COLUMNS, CONDITIONS, LEFT, METHOD, apply, missing, row_of, score
from ser.files import check_out, replacing, write_json, write_text
from ser.inference.scoring import Trial, answer, answered, describe_checkpoint, describe_clips, trial_of
from ser.recognizer import Recognizer
from ser.results import SYNTHETIC_CAUTION, RunRecord, console, made_by
from ser.results.figures import robustness_figure
from ser.results.page import markdown_table

BATCH = 64

SEED = 0
"""Seed of noises and rooms."""

CAUTION = (
    "Clips that it was trained on may be among these: give the words of its run (dataset=, labels=, split=) and --side "
    "test."
)

BRACKETS = "change: UAR against clean; in brackets where its 95 % interval, of the same clips in pairs, includes 0."


def measure(
    checkpoints: Sequence[Path], cfg: dict[str, Any], side: str, folder: Path, command: list[str], device: str = "cpu"
) -> dict[str, Any]:
    """Score the checkpoints under all conditions and write the folder.

    Args:
        checkpoints: Checkpoints of runs, or run folders for those that they tested; one or more.
        cfg: The composed choices; only dataset, labels and split count.
        side: ``all``, or a side of the split.
        folder: What is left goes there.
        command: What was typed.
        device: Where the networks answer.

    Raises:
        UserError: A checkpoint or the corpus can't be used, the checkpoints do not share what the clips show, or the
            folder can't be written to.
    """
    checkpoints = [find_checkpoint(checkpoint) for checkpoint in checkpoints]
    names = short_names(checkpoints)
    recognizers = [Recognizer.load(checkpoint, device) for checkpoint in checkpoints]
    trial = trial_of(cfg, side, recognizers)
    check_out(folder)
    left_out = {rate: missing(CONDITIONS, rate) for rate in trial.recordings}
    answers = answers_under(trial, recognizers, left_out)
    trial, finite = answered(trial, [found for said in answers for found in said.values()])
    clips = trial.clips
    scored = []
    for name, checkpoint, recognizer, found in zip(names, checkpoints, recognizers, answers, strict=True):
        rate = recognizer.sample_rate
        about, recordings = describe_checkpoint(checkpoint, clips), trial.at(rate)
        said = {key: answers_about(clips, trial.labels, values[finite]) for key, values in found.items()}
        scored.append(
            {
                "name": name,
                **about,
                **({} if surely_unseen(checkpoint, about, trial, side) else {"caution": CAUTION}),
                "input": {"sample_rate": rate, "seconds": recognizer.seconds},
                "left_out": left_out[rate],
                "conditions": [
                    score(condition, said[CLEAN.name], said[condition.name], condition.cut_share(recordings, rate))
                    for condition in CONDITIONS
                    if condition.name in said
                ],
            }
        )
    results = {**describe_clips(cfg, side, trial), "checkpoints": scored, "seed": SEED, **made_by(command)}
    results["versions"]["libsndfile"] = soundfile.__libsndfile_version__
    curves = {one["name"]: one["conditions"] for one in scored}
    with replacing(folder / "robustness.png") as file:
        robustness_figure(curves, 1 / len(trial.labels)).savefig(file, format="png", dpi=150)
    write_text(folder / "robustness.md", page(results), errors="replace")
    write_json(folder / "robustness.json", results)
    return results


Found = dict[str, NDArray[np.float64]]
"""Condition → probabilities ``(clip, label)``."""


def answers_under(
    trial: Trial, recognizers: Sequence[Recognizer], left_out: Mapping[int, Mapping[str, str]]
) -> list[Found]:
    """Return each recognizer's answers.

    Args:
        trial: The clips.
        recognizers: At the trial's rates.
        left_out: Conditions that can't be applied, by rate.
    """
    steps = [
        (rate, condition, start)
        for rate in trial.recordings
        for condition in CONDITIONS
        if condition.name not in left_out[rate]
        for start in range(0, len(trial.clips), BATCH)
    ]
    said: list[dict[str, list[NDArray[np.float64]]]] = [defaultdict(list) for _ in recognizers]
    with ThreadPoolExecutor() as pool:  # codecs are most of the work, and don't hold Python's lock
        for rate, condition, start in track(steps, console=console, disable=not console.is_terminal):
            clips = trial.clips[start : start + BATCH]
            recordings = trial.recordings[rate]
            jobs = [pool.submit(apply, condition, recordings[clip.name], rate, clip.name, SEED) for clip in clips]
            after = [job.result() for job in jobs]
            for parts, recognizer in zip(said, recognizers, strict=True):
                if recognizer.sample_rate == rate:
                    parts[condition.name].append(answer(recognizer, after, trial.labels))
    return [{name: np.concatenate(parts) for name, parts in found.items()} for found in said]


def short_names(checkpoints: Sequence[Path]) -> list[str]:
    """Name checkpoints by the parts of their paths that differ; a single one by its run's folder.

    Raises:
        UserError: A checkpoint is given twice.
    """
    paths = [checkpoint.absolute().parts for checkpoint in checkpoints]
    if len(set(paths)) < len(paths):
        twice = next(checkpoint for checkpoint in checkpoints if paths.count(checkpoint.absolute().parts) > 1)
        raise UserError(f"{twice} is given twice: give each checkpoint once")
    if len(paths) == 1:
        return [paths[0][-3] if paths[0][-2:-1] == ("checkpoints",) else checkpoints[0].stem]
    common = os.path.commonprefix  # of parts, not of letters
    first = len(common(paths))
    last = min(len(common([parts[::-1] for parts in paths])), min(map(len, paths)) - first - 1)
    return ["/".join(parts[first : len(parts) - last]) for parts in paths]


def surely_unseen(checkpoint: Path, about: Mapping[str, Any], trial: Trial, side: str) -> bool:
    """Return whether the clips were surely not seen in the checkpoint's training.

    They were not if none of the speakers was, nor if they are the test side of its own run and that run did not
    start from another one.
    """
    speakers = about["split"]
    if speakers["test_speakers"] and speakers["test_speakers_heard_before"] == 0:
        return True
    if Checkpoint.read(checkpoint).seen_elsewhere:
        return False
    try:
        run = RunRecord.read(checkpoint.parent.parent / "metrics.json")
    except UserError:  # it is not in a run's folder, where only its speakers show that
        return False
    return bool(side == "test" and run.split["hash"] == trial.split.hash)


def page(results: dict[str, Any]) -> str:
    """Write the page in Markdown: what was scored and how, the table, the figure."""
    heads, rows = cells(results)
    lines = [
        f"# Robustness: {title_of(results)}",
        "",
        *(f"- {line}" for line in remarks_of(results)),
        "",
        "Each clip was changed in one way at a time, before it was cropped to what a network hears. A clip has the "
        "same noise at each SNR and the same room at each RT60.",
        "",
        *(f"- {line}" for line in METHOD),
        "",
        markdown_table(heads, rows, LEFT),
        "",
        BRACKETS,
        "",
        "![UAR under each condition](robustness.png)",
    ]
    return "\n".join(lines) + "\n"


def title_of(results: dict[str, Any]) -> str:
    """Name corpus, split, clips and speakers."""
    data, split = results["dataset"], results["split"]
    whose = f" of {data['speakers']} speakers" if data["speakers"] else ""
    return f"{data['name']}, split={split['name']} ({split['hash']}): {data['clips']:,} clips{whose}"


def remarks_of(results: dict[str, Any]) -> list[str]:
    """List what a reader must know of the checkpoints and the clips before the scores, in sentences."""
    lines = [
        f"{one['name']}: {one['features']} → {one['model']}, {one['checkpoint']['path']}, epoch "
        f"{one['checkpoint']['epoch']}; hears {one['input']['seconds']:.2f} s. {one['split']['leakage']}"
        + (f" {one['caution']}" if "caution" in one else "")
        for one in results["checkpoints"]
    ]
    lines.append(f"Emotions: {', '.join(results['labels']['classes'])}")
    if left_out := results["labels"]["left_out"]:
        lines.append(f"Clips left out for their emotion: {', '.join(f'{n:,} {name}' for name, n in left_out.items())}")
    if skipped := results["dataset"]["skipped"]:
        lines.append(f"Clips left out that can't be used: {len(skipped):,}; robustness.json says which and why")
    reasons = {(name, why) for one in results["checkpoints"] for name, why in one["left_out"].items()}
    lines += [f"Condition left out: {name}: {why}" for name, why in sorted(reasons)]
    lines.append(
        f"95 % intervals by a bootstrap over {results['checkpoints'][0]['conditions'][0]['intervals']['over']}"
    )
    if results["dataset"]["synthetic"]:
        lines.append(SYNTHETIC_CAUTION)
    return lines


def cells(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows, condition by condition, and in each the checkpoints where there are several."""
    several = len(results["checkpoints"]) > 1
    heads = [COLUMNS[0], *(["checkpoint"] if several else []), *COLUMNS[1:]]
    rows = []
    for condition in CONDITIONS:
        for one in results["checkpoints"]:
            for scored in one["conditions"]:
                if scored["name"] == condition.name:
                    first, *others = row_of(scored)
                    rows.append([first, *([one["name"]] if several else []), *others])
    return heads, rows
