"""Scores of trained models on corpora that they have not seen, and what adapting to these is worth."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser.checkpoint import find_checkpoint
from ser.config import compose_words
from ser.data.cache import contents
from ser.errors import UserError, escape
from ser.evaluation import SCORES, Answers, compare, summary
from ser.files import check_out, write_json, write_text
from ser.inference.enrolment import Enrolment, ExtractedClips, Knowledge, adapted_answers
from ser.inference.scoring import describe_checkpoint, describe_clips, trial_of
from ser.recognizer import Recognizer
from ser.results import console, git_revision, versions
from ser.results.page import markdown_table

AS_IT_IS = "as it is"

CONDITIONS = {
    AS_IT_IS: Knowledge(),
    "10 other clips of each voice": Knowledge(Enrolment(10)),
    "all clips of each voice": Knowledge(Enrolment(None)),
    "adapted": Knowledge(adapt=True),
    "adapted, balanced": Knowledge(adapt=True, balanced=True),
    "adapted, all clips of each voice": Knowledge(Enrolment(None), adapt=True),
    "adapted, balanced, all clips of each voice": Knowledge(Enrolment(None), adapt=True, balanced=True),
}
"""What is known, in words and in detail."""

COLUMNS = ("run", "corpus", "what is known, without labels", "UAR", "95 %", "against as it is", "p")

LEFT = COLUMNS[:3]


def measure(run: Path, corpus: str, words: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Score one model on one corpus under all conditions that the model allows.

    Args:
        run: A run's folder, for the checkpoint that it tested, or a checkpoint.
        corpus: As ``dataset=`` names it.
        words: Further words of ``train.py`` for the corpus.
        device: Where the network answers.

    Raises:
        UserError: The model or the corpus can't be used.
    """
    checkpoint = find_checkpoint(run)
    recognizer = Recognizer.load(checkpoint, device)
    cfg = compose_words([f"dataset={corpus}", *words])
    trial = trial_of(cfg, "all", [recognizer])
    extracted = ExtractedClips.of(recognizer, trial)
    found: dict[str, Answers] = {}
    left_out: dict[str, str] = {}
    for name, knowledge in CONDITIONS.items():
        try:
            if knowledge.adapt:
                found[name], _ = adapted_answers(recognizer, trial, knowledge)
            else:
                found[name] = extracted.answers(knowledge.enrolment)
        except UserError as error:
            left_out[name] = str(error)
            console.print(f"left out, {escape(name)}: {escape(error)}", soft_wrap=True)
    plain = found[AS_IT_IS]
    places = {clip: i for i, clip in enumerate(plain.clips)}
    return {
        "run": str(run),
        **{key: value for key, value in describe_checkpoint(checkpoint, trial.clips).items() if key != "split"},
        **describe_clips(cfg, "all", trial),
        "conditions": {
            name: {
                **summary(answers),
                "clips": len(answers.clips),
                # Clips that were enrolled are not scored, so only the others can be compared in pairs.
                "against": compare(plain.of(np.array([places[clip] for clip in answers.clips])), answers)["uar"]
                if name != AS_IT_IS
                else None,
            }
            for name, answers in found.items()
        },
        "left_out": left_out,
        "versions": versions(),
        "git": git_revision(),
    }


def rows(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return the lines of the table, one per model, corpus and condition."""
    lines = []
    for result in results:
        for name, scored in result["conditions"].items():
            against = scored["against"]
            low, high = against["interval"] if against else (0.0, 0.0)
            lines.append(
                [
                    result["run"],
                    result["dataset"]["name"],
                    name,
                    f"{scored['uar']:.3f}",
                    "{:.3f} to {:.3f}".format(*scored["intervals"]["uar"]),
                    f"{against['difference']:+.3f} ({low:+.3f} to {high:+.3f})" if against else "",
                    f"{against['p']:.4f}" if against else "",
                ]
            )
    return lines


def transfer(
    runs: Sequence[Path], corpora: Sequence[str], words: Sequence[str], folder: Path, command: list[str],
    device: str = "cpu",
) -> list[dict[str, Any]]:  # fmt: skip
    """Score each run on each corpus and write the folder; what it holds of the same question is not computed again.

    Args:
        runs: Run folders, or checkpoints.
        corpora: As ``dataset=`` names them.
        words: Further words of ``train.py`` for the corpora.
        folder: What is left goes there.
        command: What was typed.
        device: Where the networks answer.

    Returns:
        What ``measure`` gives for each run and corpus.

    Raises:
        UserError: A run or a corpus can't be used, or a file in the folder is broken.
    """
    check_out(folder)
    results = []
    for number, run in enumerate(runs):
        for corpus in corpora:
            kept = folder / f"{number:02}_{corpus}.json"
            asked = [str(run), *contents([find_checkpoint(run)]), corpus, *words]
            known = _read(kept)
            if known.get("asked") != asked:
                console.print(f"{escape(str(run))} on {escape(corpus)}", soft_wrap=True)
                known = {**measure(run, corpus, words, device), "asked": asked}
                write_json(kept, known)
            results.append(known)
    write_text(folder / "transfer.md", markdown_table(COLUMNS, rows(results), LEFT) + "\n")
    write_json(folder / "transfer.json", {"command": command, "scores": list(SCORES), "results": results})
    return results


def _read(kept: Path) -> dict[str, Any]:
    """Read what an earlier call left in a file; nothing where it left none."""
    if not kept.is_file():
        return {}
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{kept} is broken: {error}; delete it, and the same command makes it again") from error
    return known if isinstance(known, dict) else {}
