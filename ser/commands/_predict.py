"""What ``ser predict`` calls and prints, without its options, so that its help appears at once."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, track
from rich.table import Table

from ser.commands.cli import INTERRUPTED
from ser.data.audio import MIN_SECONDS, AudioError, SoundStream, is_pipe, kind_of
from ser.errors import Screen, UserError, escape, is_unread, table_of
from ser.evaluation.calibration import UNCALIBRATED
from ser.features import Moments, Voice
from ser.files import refuse_overwriting, replacing
from ser.inference.adapt import LEAST_CLIPS, LEAST_DISTANCE, distance_of
from ser.inference.microphone import Microphone, listen, lost_sound
from ser.inference.recordings import enrol_each, find, speakers_of
from ser.inference.rows import ANSWER_VALUES, SEGMENT_VALUES, RowWriter, confident_emotion, write_each
from ser.inference.timeline import OWN, Listener, Segment, Timeline, bands, own_voice
from ser.recognizer import NO_VOICES, Answer, JointRecognizer, JointVoice, Recognizer, checkpoints_beside
from ser.results.figures import timeline_figure

SHOWN = 50
"""Answers that the table on screen has at most; files have all."""

SHIPPED_ANSWERS = (
    "No model was named, so the package's own answers: trained on acted English (CREMA-D), six emotions; see "
    "docs/model.md"
)

NAMED = 3
"""Files that a remark names on screen."""

console = Screen()


def predict(options: argparse.Namespace) -> int:
    """Answer all, and return the exit status.

    Raises:
        UserError: The checkpoint can't be used, there is nothing to answer, no threshold reaches the risk, the window
            does not fit the network, or there is no microphone that can be used.
    """
    recognizer = Recognizer.load(options.checkpoint, options.device)
    if options.checkpoint is None:
        console.print(SHIPPED_ANSWERS, soft_wrap=True)
    if not recognizer.calibration.known:
        console.print(UNCALIBRATED, soft_wrap=True)
    paths = [] if options.microphone else find(options.paths, sys.stdin)
    if not paths and not options.microphone:
        raise UserError("no file to answer: give files, folders, globs, or - and a list on standard input")
    least = 0.0 if options.abstain is None else recognizer.calibration.threshold(options.abstain)
    long = options.timeline or options.microphone
    if long:
        listener_of(options, recognizer, "", 1)  # refuses what does not fit the network before a file is opened
    if options.picture is not None and len(paths) > 1:
        raise UserError(f"--picture draws one recording; {len(paths)} were given")
    options.enrol = None if options.enrol is None else find(options.enrol)
    check_outputs(options, paths)
    if long:
        # Few windows go through at once: threads would wait for each other longer than they compute.
        torch.set_num_threads(1)
    voices = voices_of(options, recognizer, paths)  # before a file is written to
    with ExitStack() as stack:
        microphone = stack.enter_context(Microphone(recognizer.sample_rate)) if options.microphone else None
        files = [(kind, path) for kind, path in (("csv", options.csv), ("jsonl", options.jsonl)) if path is not None]
        values = SEGMENT_VALUES if long else ANSWER_VALUES
        tables = [
            stack.enter_context(closing(RowWriter(path, kind, values, recognizer.labels))) for kind, path in files
        ]
        enrolled = voices if isinstance(voices, Voice | JointVoice) else None
        if microphone is not None:
            return hear(options, recognizer, microphone, least, tables, enrolled)
        if long:
            return follow(options, recognizer, paths, least, tables, enrolled)
        sums: list[Moments] | None = [] if can_tell_unlike(recognizer) else None
        answers = write_each(recognizer.answer(paths, options.batch_size or 32, voices, sums), tables, least)
        progress = Screen(stderr=True)
        done: list[Answer] = []
        interrupted = False
        try:
            done.extend(track(answers, total=len(paths), console=progress, disable=not progress.is_terminal))
        except KeyboardInterrupt:
            interrupted = True
    show(done, recognizer.labels, least, files=bool(tables))
    if sums and (remark := unlike(recognizer, Moments.join(sums))):
        console.print(remark, soft_wrap=True, highlight=False)
    if interrupted:
        console.print(f"interrupted: {len(paths) - len(done):,} files are not answered")
        return INTERRUPTED
    return 1 if any(answer.error for answer in done) else 0


def can_tell_unlike(recognizer: Recognizer) -> bool:
    """Return whether ``LEAST_DISTANCE`` holds for a recognizer, which was measured with log-mels."""
    return not isinstance(recognizer, JointRecognizer) and recognizer.frontend.config.names == ["logmel"]


def unlike(recognizer: Recognizer, sums: Moments) -> str | None:
    """Return a remark about recordings that sound unlike those of the training, where they are enough to say so."""
    if len(sums) < LEAST_CLIPS:
        return None
    distance = distance_of(recognizer, sums)
    if distance is None or distance < LEAST_DISTANCE:
        return None
    return (
        f"These recordings sound unlike those of the training: {distance:.2f} standard deviations away, where the "
        f"training's own speakers are below {LEAST_DISTANCE}. Expect poor answers; ser adapt makes better ones without "
        "labels, see docs/voices.md"
    )


def voices_of(
    options: argparse.Namespace, recognizer: Recognizer, paths: Sequence[Path]
) -> Voice | list[Voice | None] | None:
    """Return the voices that the options name, None where nobody is known, and say on screen what is known.

    Raises:
        UserError: The network knows nothing of voices, or no voice can be enrolled.
    """
    if options.enrol is not None:
        left_out: list[str] = []
        voice = recognizer.enrol(options.enrol, neutral=options.enrol_neutral, left_out=left_out)
        neutral = " neutral" if options.enrol_neutral else ""
        show_voices(f"One voice is known from {voice.clips:,}{neutral} recordings", left_out)
        return voice
    if options.voices is not None:
        if recognizer.prior is None:
            raise UserError(NO_VOICES)
        if pipes := [path for path in paths if is_pipe(path)]:
            raise UserError(f"--voices hears each recording twice, and {pipes[0]} is a pipe: write it to a file first")
        speakers = speakers_of(paths, options.voices)
        voices, left_out = enrol_each(recognizer, paths, speakers)
        unknown = sum(speaker is None for speaker in speakers)
        count = len({name for name, voice in zip(speakers, voices, strict=True) if voice is not None})
        known = f"{count:,} voices are known, each from its own recordings among these"
        show_voices(known + (f"; {unknown:,} recordings are of unknown voices" if unknown else ""), left_out)
        return voices
    if recognizer.prior is not None and not (options.timeline or options.microphone):
        console.print("No voice is known: --voices or --enrol makes better answers, see docs/voices.md", soft_wrap=True)
    return None


def show_voices(known: str, left_out: Sequence[str]) -> None:
    """Print what voices were enrolled with, and which recordings were of no use for that."""
    console.print(f"{known}; answers use their sound, no labels", soft_wrap=True, highlight=False)
    for reason in left_out:
        console.print(f"not used for its voice: {shown(reason)}", soft_wrap=True, highlight=False)


def check_outputs(options: argparse.Namespace, paths: Sequence[Path]) -> None:
    """Check that no file to write is one to read, before any is opened.

    Raises:
        UserError: One is, or two are the same, or there is no folder for the picture.
    """
    outputs = [("--csv", options.csv), ("--jsonl", options.jsonl), ("--picture", options.picture)]
    listed = [Path("/dev/stdin")] if "-" in options.paths else []
    voices = [] if options.voices in (None, "folder", "all") else [Path(options.voices)]
    refuse_overwriting(
        outputs, [*paths, *listed, *voices, *(options.enrol or ()), *checkpoints_beside(options.checkpoint)]
    )
    if options.picture is not None and not options.picture.parent.is_dir():
        raise UserError(f"--picture {options.picture}: there is no folder {options.picture.parent}")


def follow(
    options: argparse.Namespace, recognizer: Recognizer, paths: Sequence[Path], least: float,
    tables: Sequence[RowWriter], enrolled: Voice | None,
) -> int:  # fmt: skip
    """Answer one recording after the other as timelines, and return the exit status."""
    screen = Screen(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[time]}")
    errors = 0
    for path in paths:
        if is_unread() and not tables and options.picture is None:
            break  # nobody reads the rest
        listener = listener_of(options, recognizer, str(path), options.batch_size or 4, enrolled)
        stream = SoundStream(path, recognizer.sample_rate)
        try:
            if listener.own and path.is_file():
                listener = listener_of(
                    options, recognizer, str(path), options.batch_size or 4, own_voice(listener, stream)
                )
            with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as progress:
                task = progress.add_task(shown(path.name), total=None, time="")
                for block in stream:
                    listener.push(block)
                    time = f"{clock(listener.seconds)} of {clock(stream.seconds or 0.0)}"
                    progress.update(task, completed=listener.seconds, total=stream.seconds, time=time)
                timeline = listener.finish()
        except AudioError as error:
            show_error(str(error), path, listener.seconds, tables)
            errors += 1
            continue
        report(timeline, shown(path), least, tables, str(path), options.picture)
        if stream.remarks:
            console.print(f"{shown(path)}: {'; '.join(stream.remarks)}", soft_wrap=True, highlight=False)
        if stream.broken is not None:
            show_error(stream.broken, path, timeline.seconds, tables)
            errors += 1
    return 1 if errors else 0


def hear(
    options: argparse.Namespace, recognizer: Recognizer, microphone: Microphone, least: float,
    tables: Sequence[RowWriter], enrolled: Voice | None,
) -> int:  # fmt: skip
    """Show live answers until Ctrl-C, then the timeline of the sound, and return the exit status."""
    listener = listener_of(options, recognizer, "the microphone", 1, enrolled)
    listen(microphone, listener, console, least)
    if listener.seconds >= MIN_SECONDS:
        report(listener.finish(), "what was heard", least, tables, "", options.picture)
    if microphone.lost:
        console.print(lost_sound(microphone.lost))
    return 0


def listener_of(
    options: argparse.Namespace, recognizer: Recognizer, name: str, batch_size: int, voice: Voice | None = None
) -> Listener:
    """Make a listener as the options say; without a ``voice`` that is known, the recording is its own."""
    known = voice or (None if options.no_own_voice else OWN)
    return Listener(recognizer, name, options.window, options.hop, options.silence_db, batch_size, known)


def report(timeline: Timeline, title: str, least: float, tables: Sequence[RowWriter], path: str,
         picture: Path | None) -> None:  # fmt: skip
    """Write the segments, draw them, and print them where they are not written."""
    segments = timeline.segments(least)
    for segment in segments:
        values = {name: getattr(segment, name) for name in SEGMENT_VALUES if name != "path"}
        for table in tables:
            table.write_row({"path": path, **values}, segment.probabilities, None)
    if picture is not None:
        figure = timeline_figure(
            timeline.outline, bands(segments), timeline.probabilities, timeline.labels, timeline.seconds, timeline.hop
        )
        with replacing(picture) as unfinished:
            figure.savefig(unfinished, format="png", dpi=100)
    if not tables:
        show_segments(segments, title)
    console.print(f"{title}: {clock(timeline.seconds)}, {len(segments):,} segments", highlight=False)


def show_error(error: str, path: Path, seconds: float, tables: Sequence[RowWriter]) -> None:
    """Print and write why there is no answer from ``seconds`` on."""
    for table in tables:
        table.write_row({"path": str(path), "start": seconds}, {}, error)
    console.print(f"[red]no answer[/red] {shown(error)}", soft_wrap=True, highlight=False)


def show_segments(segments: Sequence[Segment], title: str) -> None:
    """Print a table of the first segments."""
    rows = [
        (
            clock(one.start),
            clock(one.end),
            one.emotion or "–",
            "" if one.probability is None else f"{one.probability:.3f}",
        )
        for one in segments[:SHOWN]
    ]
    table = table_of("", ("start", "end", "emotion", "probability"), rows, ("emotion",))
    table.title = title
    console.print(table)
    if len(segments) > SHOWN:
        console.print(f"and {len(segments) - SHOWN:,} more: --csv FILE or --jsonl FILE has all")


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds: ``61:02.5``."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def shown(text: object) -> str:
    """Make text fit for the screen, even where a file's name is not UTF-8."""
    return escape(str(text).encode("utf-8", "replace").decode())


def answers_table(answers: Sequence[Answer], labels: Sequence[str], least: float) -> Table:
    """Tabulate answers: one column per class, or all classes in one where the screen is too narrow for that."""
    table = Table()
    table.add_column("file", overflow="fold", min_width=24)
    width = 24 + sum(max(len(heading), 5) + 3 for heading in ("emotion", "confidence", *labels)) + 4
    wide = width <= console.width
    for heading in ("emotion", "confidence", *(labels if wide else ["probabilities"])):
        table.add_column(escape(heading), overflow="fold")
    for answer in answers:
        numbers = [f"{answer.probabilities[label]:.3f}" for label in labels]
        if not wide:
            numbers = [" ".join(f"{escape(label)}={number}" for label, number in zip(labels, numbers, strict=True))]
        emotion = escape(confident_emotion(answer, least) or "–")
        table.add_row(shown(answer.path), emotion, f"{answer.confidence:.3f}", *numbers)
    return table


def show_remarks(answers: Sequence[Answer]) -> None:
    """Print what is odd about files that were answered: of each kind how many, and the first of them."""
    kinds: dict[str, list[str]] = {}
    for answer in answers:
        for remark in answer.remarks:
            kind = kind_of(remark)
            kinds.setdefault(kind, []).append(f"{shown(answer.path)}{escape(remark.removeprefix(kind))}")
    for kind, names in kinds.items():
        if len(names) == len(answers) > NAMED:
            listing = f"all {len(names):,} files"
        else:
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            listing = ", ".join(names[:NAMED]) + more
        console.print(f"{kind}: {listing}", soft_wrap=True, highlight=False)


def show(answers: Sequence[Answer], labels: Sequence[str], least: float, files: bool) -> None:
    """Print a table of the first answers, and every error."""
    good = [answer for answer in answers if answer.error is None]
    if not files:
        table = answers_table(good[:SHOWN], labels, least)
        if good:
            console.print(table)
        if len(good) > SHOWN:
            console.print(f"and {len(good) - SHOWN:,} more: --csv FILE or --jsonl FILE has all")
    bad = [answer for answer in answers if answer.error is not None]
    unsure = sum(confident_emotion(answer, least) is None for answer in good)
    for answer in bad:
        console.print(f"[red]no answer[/red] {shown(answer.error)}", soft_wrap=True, highlight=False)
    abstained = f", of these {unsure:,} left unanswered, less sure than {least:.3f}" if least else ""
    show_remarks(good)
    console.print(f"{len(good):,} of {len(answers):,} files read{abstained}")
