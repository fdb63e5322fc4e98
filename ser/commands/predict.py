"""Answer recordings: an emotion and its probabilities.

The first word may be a run's folder or a checkpoint, whose model answers. Without one the model that comes with the
package does. Answers every sound file that is given, in folders also. Files that can't be read are listed with the
reason, the others are answered all the same, and the exit status is 1 then.

A network that was trained with features.normalize=speaker answers better about voices that it knows: --voices says
whose recordings are whose, and --enrol gives other recordings of the one who speaks; docs/voices.md explains how.

--timeline finds which emotion sounds when in recordings of any length, --microphone which one sounds right now;
docs/timeline.md explains how.
"""

import argparse
import glob
import sys
from pathlib import Path

from ser.commands.cli import INTERRUPTED, add_device, command_parser, errors_in_words
from ser.errors import UserError, is_unread, outlast_readers


def main() -> None:
    """Read the options and answer."""
    parser = command_parser(__doc__, "outputs/RUN long.wav --timeline --csv timeline.csv --picture timeline.png")
    parser.add_argument(
        "paths", nargs="*", metavar="[CHECKPOINT] PATH",
        help="a run's folder or a checkpoint, if need be; then sound files, folders, globs, or - for a list on "
        "standard input",
    )  # fmt: skip
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write path, emotion, probabilities, error and more")
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="write the same, one JSON object per line")
    parser.add_argument(
        "--abstain", type=float, metavar="RISK",
        help="leave a file unanswered that is less sure than answers that were wrong this often on validation, 0 to 1",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size", type=int, metavar="N",
        help="files at a time (default: 32), or windows of a timeline at a time (default: 4)",
    )  # fmt: skip
    add_device(parser)
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
        "--window", type=float, metavar="SECONDS", help="what one answer hears (default: 3, or all a network hears)"
    )
    long.add_argument("--hop", type=float, metavar="SECONDS", help="from one window to the next (default: 1)")
    long.add_argument(
        "--silence-db", type=float, metavar="DB",
        help="what is so far below the loud level is silence, whatever the noise (default: 35)",
    )  # fmt: skip
    long.add_argument("--picture", type=Path, metavar="FILE.png", help="draw the timeline of one recording")
    # A file whose name begins with - is no option.
    words = [f"./{w}" if w.startswith("-") and Path(w).suffix and Path(w).is_file() else w for w in sys.argv[1:]]
    options = parser.parse_intermixed_args(words)  # files after options too, though there may be none
    with errors_in_words():
        named = bool(options.paths) and is_model(options.paths[0])
    options.checkpoint = Path(options.paths.pop(0)) if named else None
    check(parser, options)
    outlast_readers(note="")
    with errors_in_words():
        from ser.commands._predict import predict

        try:
            sys.exit(predict(options) or int(is_unread()))  # 1 where nobody read to the end
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # of a table that goes to a pipe
            sys.exit(1)


def is_model(word: str) -> bool:
    """Whether a word stands for a model: ``pretrained``, a run's folder, or a file that is no sound by its name."""
    from ser.checkpoint import SHIPPED
    from ser.data.corpora.clip import FOREIGN, SUFFIXES

    path = Path(word)
    if path.is_dir():
        of_a_run = any((path / name).exists() for name in ("checkpoints", "config.yaml", "metrics.json"))
        return of_a_run or not any(inside.suffix.lower() in (*SUFFIXES, *FOREIGN) for inside in path.rglob("*"))
    sound = path.suffix.lower() in (*SUFFIXES, *FOREIGN) or word == "-" or (glob.has_magic(word) and not path.exists())
    return word == SHIPPED or not (sound or word.startswith("/dev/") or path.is_fifo())


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
    from ser.inference.timeline import SILENCE_DB, WINDOW_SECONDS, in_frames

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
