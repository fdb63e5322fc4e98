"""What emotion is it? ``python scripts/predict.py outputs/RUN my_clips/ another.wav``.

Answers every sound file that is given, in folders too. Files that can't be read are listed with the reason, the others
are answered all the same, and the exit status is 1 then.

A network that was trained with features.normalize=speaker answers better about voices that it knows: --voices says
whose recordings are whose, and --enrol gives other recordings of the one who speaks; docs/voices.md tells how.

--timeline says what is heard when in recordings of any length, --microphone what is heard right now; docs/timeline.md
tells how.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, track
from rich.table import Table

from ser.audio import MIN_SECONDS, AudioError, is_pipe, kind_of
from ser.calibration import UNCALIBRATED
from ser.cli import suit_terminal
from ser.errors import UserError
from ser.features import Voice
from ser.files import refuse_overwriting, replacing
from ser.microphone import Microphone, listen, lost_sound
from ser.recognizer import NO_VOICES, Answer, Recognizer, checkpoints_beside
from ser.recordings import find
from ser.results.figures import timeline_figure
from ser.rows import RowWriter
from ser.screen import Screen, escape
from ser.speakers import enrol_each, speakers_of
from ser.timeline import OWN, SILENCE_DB, WINDOW_SECONDS, Listener, Segment, SoundStream, Timeline, bands, in_frames

SHOWN = 50
"""Answers that the table on screen has at most; files have all."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

NAMED = 3
"""Files that a remark names on screen."""


class LastingScreen(Screen):
    """Is quiet once nobody reads on, as in ``… | head -1``, so that files are still written to their end."""

    def on_broken_pipe(self) -> None:
        """Print to nowhere from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


console = LastingScreen()


def write_each(answers: Iterable[Answer], tables: Sequence["Writer"]) -> Iterator[Answer]:
    """Pass answers on, writing each as it comes, so that what was answered is kept whatever comes after."""
    for answer in answers:
        for table in tables:
            table.write(answer)
        yield answer


class Writer(RowWriter):
    """Writes answers to a CSV or a JSON Lines file, one at a time."""

    def __init__(self, path: Path, labels: Sequence[str], kind: str, least: float) -> None:
        super().__init__(path, kind, ["path", "emotion", "confidence", "remarks"], labels)
        self.least = least

    def write(self, answer: Answer) -> None:
        """Write one answer."""
        values: dict[str, str | float | None] = {"path": str(answer.path)}
        if answer.error is None:
            values |= {"emotion": told(answer, self.least), "confidence": answer.confidence}
            values["remarks"] = "; ".join(answer.remarks)
        self.write_row(values, answer.probabilities, answer.error)


def told(answer: Answer, least: float) -> str | None:
    """The emotion, or None where there is none or it is less sure than ``least``."""
    return answer.emotion if answer.probabilities and answer.confidence >= least else None


def predict(options: argparse.Namespace) -> int:
    """Answer all; the exit status.

    Raises:
        UserError: The checkpoint can't be used, there is nothing to answer, no threshold reaches the risk, the window
            does not fit the network, or there is no microphone that can be used.
    """
    recognizer = Recognizer.load(options.checkpoint, options.device)
    if not recognizer.calibration.known:
        console.print(UNCALIBRATED, soft_wrap=True)
    paths = [] if options.microphone else find(options.paths, sys.stdin)
    if not paths and not options.microphone:
        raise UserError("no file to answer: give files, folders, globs, or - and a list on standard input")
    least = 0.0 if options.abstain is None else recognizer.calibration.threshold(options.abstain)
    if options.timeline or options.microphone:
        listener_of(options, recognizer, "", 1)  # refuses what does not fit the network before a file is opened
    if options.picture is not None and len(paths) > 1:
        raise UserError(f"--picture draws one recording; {len(paths)} were given")
    options.enrol = None if options.enrol is None else find(options.enrol)
    check_outputs(options, paths)
    long = options.timeline or options.microphone
    voices = None if long else voices_of(options, recognizer, paths)  # before a file is written to
    with ExitStack() as stack:
        microphone = stack.enter_context(Microphone(recognizer.sample_rate)) if options.microphone else None
        files = [(kind, path) for kind, path in (("csv", options.csv), ("jsonl", options.jsonl)) if path is not None]
        if options.timeline or options.microphone:
            names = ["path", "start", "end", "emotion", "probability"]
            tables = [
                stack.enter_context(closing(RowWriter(path, kind, names, recognizer.labels))) for kind, path in files
            ]
            # Few windows go through at once: threads would wait for each other longer than they compute.
            torch.set_num_threads(1)
            if microphone is not None:
                return hear(options, recognizer, microphone, least, tables)
            return follow(options, recognizer, paths, least, tables)
        writers = [stack.enter_context(closing(Writer(path, recognizer.labels, kind, least))) for kind, path in files]
        answers = write_each(recognizer.answer(paths, options.batch_size or 32, voices), writers)
        progress = Screen(stderr=True)
        done: list[Answer] = []
        interrupted = False
        try:
            done.extend(track(answers, total=len(paths), console=progress, disable=not progress.is_terminal))
        except KeyboardInterrupt:
            interrupted = True
    show(done, recognizer.labels, least, files=bool(writers))
    if interrupted:
        console.print(f"interrupted: {len(paths) - len(done):,} files are not answered")
        return INTERRUPTED
    return 1 if any(answer.error for answer in done) else 0


def voices_of(
    options: argparse.Namespace, recognizer: Recognizer, paths: Sequence[Path]
) -> Voice | list[Voice | None] | None:
    """The voices that the options name, or None where nobody is known; says on screen what is known.

    Raises:
        UserError: The network knows nothing of voices, or no voice can be had.
    """
    if options.enrol is not None:
        return enrolled_voice(options, recognizer)
    if options.voices is not None:
        if recognizer.prior is None:
            raise UserError(NO_VOICES)
        if pipes := [path for path in paths if is_pipe(path)]:
            raise UserError(f"--voices hears each recording twice, and {pipes[0]} is a pipe: write it to a file first")
        speakers = speakers_of(paths, options.voices)
        enrolled = enrol_each(recognizer, paths, speakers)
        unknown = sum(speaker is None for speaker in speakers)
        told = f"{len(enrolled.names):,} voices are known, each from its own recordings among these"
        tell_voices(told + (f"; {unknown:,} recordings are of unknown voices" if unknown else ""), enrolled.left_out)
        return enrolled.voices
    if recognizer.prior is not None:
        console.print("No voice is known: --voices or --enrol makes better answers, see docs/voices.md", soft_wrap=True)
    return None


def enrolled_voice(options: argparse.Namespace, recognizer: Recognizer) -> Voice:
    """The voice of ``--enrol``.

    Raises:
        UserError: The network knows nothing of voices, or none of the recordings can be used.
    """
    left_out: list[str] = []
    voice = recognizer.enrol(options.enrol, neutral=options.enrol_neutral, left_out=left_out)
    neutral = " neutral" if options.enrol_neutral else ""
    tell_voices(f"One voice is known from {voice.clips:,}{neutral} recordings", left_out)
    return voice


def tell_voices(told: str, left_out: Sequence[str]) -> None:
    """Print what voices were enrolled with, and which recordings were of no use for that."""
    console.print(f"{told}; answers use their sound, no labels", soft_wrap=True, highlight=False)
    for reason in left_out:
        console.print(f"not used for its voice: {shown(reason)}", soft_wrap=True, highlight=False)


def check_outputs(options: argparse.Namespace, paths: Sequence[Path]) -> None:
    """See that no file to write is one to read, before any is opened.

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
    tables: Sequence[RowWriter],
) -> int:  # fmt: skip
    """Tell the timeline of one recording after the other; the exit status."""
    enrolled = None if options.enrol is None else enrolled_voice(options, recognizer)
    screen = Screen(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[time]}")
    errors = 0
    for path in paths:
        if console.quiet and not tables and options.picture is None:
            break  # nobody reads on
        listener = listener_of(options, recognizer, str(path), options.batch_size or 4, enrolled)
        stream = SoundStream(path, recognizer.sample_rate)
        try:
            if listener.own and path.is_file():
                listener = listener_of(
                    options, recognizer, str(path), options.batch_size or 4, heard_voice(listener, stream)
                )
            with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as progress:
                task = progress.add_task(shown(path.name), total=None, time="")
                for block in stream:
                    listener.push(block)
                    time = f"{clock(listener.seconds)} of {clock(stream.seconds or 0.0)}"
                    progress.update(task, completed=listener.seconds, total=stream.seconds, time=time)
                timeline = listener.finish()
        except AudioError as error:
            tell_error(str(error), path, listener.seconds, tables)
            errors += 1
            continue
        tell(timeline, shown(path), least, tables, str(path), options.picture)
        if stream.remarks:
            console.print(f"{shown(path)}: {'; '.join(stream.remarks)}", soft_wrap=True, highlight=False)
        if stream.broken is not None:
            tell_error(stream.broken, path, timeline.seconds, tables)
            errors += 1
    return 1 if errors else 0


def hear(
    options: argparse.Namespace, recognizer: Recognizer, microphone: Microphone, least: float,
    tables: Sequence[RowWriter],
) -> int:  # fmt: skip
    """Show live answers until Ctrl-C, then the timeline of what was heard; the exit status."""
    enrolled = None if options.enrol is None else enrolled_voice(options, recognizer)
    listener = listener_of(options, recognizer, "the microphone", 1, enrolled)
    listen(microphone, listener, console, least)
    if listener.seconds >= MIN_SECONDS:
        tell(listener.finish(), "what was heard", least, tables, "", options.picture)
    if microphone.lost:
        console.print(lost_sound(microphone.lost))
    return 0


def listener_of(
    options: argparse.Namespace, recognizer: Recognizer, name: str, batch_size: int, voice: Voice | None = None
) -> Listener:
    """As the options say; ``voice`` is one that is known, and without one the recording is its own."""
    known = voice or (None if options.no_own_voice else OWN)
    return Listener(recognizer, name, options.window, options.hop, options.silence_db, batch_size, known)


def heard_voice(listener: Listener, stream: SoundStream) -> Voice | None:
    """The voice of a file's speech, which is heard once more for its answers.

    Raises:
        AudioError: The file can't be read.
    """
    listener.answering = False
    for block in stream:
        listener.push(block)
    listener.finish()
    return listener.voice()


def tell(timeline: Timeline, title: str, least: float, tables: Sequence[RowWriter], path: str,
         picture: Path | None) -> None:  # fmt: skip
    """Write the segments, draw them, and print them where they are not written."""
    segments = timeline.segments(least)
    for table in tables:
        for segment in segments:
            values: dict[str, str | float | None] = {
                "path": path, "start": segment.start, "end": segment.end, "emotion": segment.emotion,
                "probability": segment.probability,
            }  # fmt: skip
            table.write_row(values, segment.probabilities, None)
    if picture is not None:
        figure = timeline_figure(
            timeline.outline, bands(segments), timeline.probabilities, timeline.labels, timeline.seconds, timeline.hop
        )
        with replacing(picture) as unfinished:
            figure.savefig(unfinished, format="png", dpi=100)
    if not tables:
        show_segments(segments, title)
    console.print(f"{title}: {clock(timeline.seconds)}, {len(segments):,} segments", highlight=False)


def tell_error(error: str, path: Path, seconds: float, tables: Sequence[RowWriter]) -> None:
    """Print and write why there is no answer from here on."""
    for table in tables:
        table.write_row({"path": str(path), "start": seconds}, {}, error)
    console.print(f"[red]no answer[/red] {shown(error)}", soft_wrap=True, highlight=False)


def show_segments(segments: Sequence[Segment], title: str) -> None:
    """Print a table of the first segments."""
    table = Table(title=title)
    for heading in ("start", "end", "emotion", "probability"):
        table.add_column(heading, justify="left" if heading == "emotion" else "right")
    for segment in segments[:SHOWN]:
        probability = "" if segment.probability is None else f"{segment.probability:.3f}"
        table.add_row(clock(segment.start), clock(segment.end), escape(segment.emotion or "–"), probability)
    console.print(table)
    if len(segments) > SHOWN:
        console.print(f"and {len(segments) - SHOWN:,} more: --csv FILE or --jsonl FILE has all")


def clock(seconds: float) -> str:
    """As minutes and seconds: ``61:02.5``."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def shown(text: object) -> str:
    """For the screen, even where a file's name is not UTF-8."""
    return escape(str(text).encode("utf-8", "replace").decode())


def answers_table(answers: Sequence[Answer], labels: Sequence[str], least: float) -> Table:
    """A column a class, or all classes in one where the screen is too narrow for that."""
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
        emotion = escape(told(answer, least) or "–")
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
    unsure = sum(told(answer, least) is None for answer in good)
    for answer in bad:
        console.print(f"[red]no answer[/red] {shown(answer.error)}", soft_wrap=True, highlight=False)
    abstained = f", of these {unsure:,} left unanswered, less sure than {least:.3f}" if least else ""
    show_remarks(good)
    console.print(f"{len(good):,} of {len(answers):,} files read{abstained}")


def main() -> None:
    """Read the options and answer."""
    suit_terminal()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s outputs/RUN long.wav --timeline --csv timeline.csv --picture timeline.png",
    )
    parser.add_argument("checkpoint", type=Path, help="a run's folder, for the checkpoint it tested, or a checkpoint")
    parser.add_argument("paths", nargs="*", help="files, folders, globs, or - for a list on standard input")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write path, emotion, probabilities, error and more")
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="the same, a JSON object a line")
    parser.add_argument(
        "--abstain", type=float, metavar="RISK",
        help="leave a file unanswered that is less sure than answers that were wrong this often on validation",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, help="files at a time, 32; windows of a timeline at a time, 4")
    parser.add_argument("--device", default="cpu", help="where the network answers, as torch names it")
    voices = parser.add_argument_group("whose voice it is, for networks trained with features.normalize=speaker")
    voices.add_argument(
        "--voices", metavar="folder|all|FILE.csv",
        help="each folder is one person, all recordings are of one, or a CSV with the columns path,speaker says",
    )  # fmt: skip
    voices.add_argument(
        "--enrol", nargs="+", metavar="PATH", help="other recordings of the person who speaks in all of these"
    )
    voices.add_argument("--enrol-neutral", action="store_true", help="those of --enrol are neutral speech")
    voices.add_argument(
        "--no-own-voice", action="store_true", help="a timeline does not take its recording for a voice of its own"
    )
    long = parser.add_argument_group("long recordings and live answers")
    kind = long.add_mutually_exclusive_group()
    kind.add_argument("--timeline", action="store_true", help="say what is heard when in each file, however long")
    kind.add_argument("--microphone", action="store_true", help="say what is heard right now, until Ctrl-C")
    long.add_argument(
        "--window", type=float, metavar="SECONDS", help="what one answer hears; 3 unless the network hears less"
    )
    long.add_argument("--hop", type=float, metavar="SECONDS", help="from one window to the next; 1")
    long.add_argument(
        "--silence-db", type=float, metavar="DB",
        help=f"what is so far below the loud level is silence, whatever the noise; {SILENCE_DB:.0f}",
    )  # fmt: skip
    long.add_argument("--picture", type=Path, metavar="FILE.png", help="draw the timeline of one recording")
    # A file whose name begins with - is no option.
    words = [f"./{w}" if w.startswith("-") and Path(w).suffix and Path(w).is_file() else w for w in sys.argv[1:]]
    options = parser.parse_intermixed_args(words)  # files after options too, though there may be none
    check(parser, options)
    try:
        sys.exit(predict(options) or int(console.quiet))  # 1 where nobody read to the end
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # of a table that goes to a pipe
        sys.exit(1)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


def check_voices(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with what is allowed where the options of voices don't go together."""
    if options.enrol is not None and options.voices is not None:
        parser.error("--enrol and --voices both say whose voice it is: give one")
    if options.enrol_neutral and options.enrol is None:
        parser.error("--enrol-neutral says what the recordings of --enrol are: give --enrol")
    long = options.timeline or options.microphone
    if options.voices is not None and long:
        parser.error(
            "--voices goes by files; in --timeline and --microphone the recording is its own voice, or --enrol"
        )
    if options.no_own_voice and not long:
        parser.error("--no-own-voice belongs to --timeline or --microphone")


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with what is allowed where options are not, and fill in ``silence_db``."""
    if options.batch_size is not None and options.batch_size < 1:
        parser.error(f"--batch-size is {options.batch_size}; it must be 1 or more")
    if options.microphone and options.paths:
        parser.error(f"--microphone takes no files, but {options.paths[0]} was given; --timeline takes them")
    if not options.microphone and not options.paths:
        parser.error("give files, folders, globs, or - for a list on standard input; or --microphone")
    check_voices(parser, options)
    for name in ("window", "hop", "silence_db", "picture"):
        if getattr(options, name) is not None and not (options.timeline or options.microphone):
            parser.error(f"--{name.replace('_', '-')} belongs to --timeline or --microphone")
    try:
        for name in ("window", "hop"):
            if getattr(options, name) is not None:
                in_frames(f"--{name}", getattr(options, name))
    except UserError as error:
        parser.error(str(error))
    widest = options.window or WINDOW_SECONDS
    if options.hop is not None and options.hop > widest:
        parser.error(f"--hop is {options.hop}; it must be at most the window, {widest} s")
    if options.silence_db is None:
        options.silence_db = SILENCE_DB
    elif not 0 < options.silence_db < float("inf"):
        parser.error(f"--silence-db is {options.silence_db}; it must be above 0")
    if options.picture is not None and options.picture.suffix.lower() != ".png":
        parser.error(f"--picture is {options.picture}; its name must end in .png")


if __name__ == "__main__":
    main()
