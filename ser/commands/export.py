"""Export a model as one file that runs without this project, or as a page that answers in the browser.

``model.onnx`` runs in onnxruntime, ``model.pt2`` in torch.export.load. Waveforms go in and probabilities come out:
features, normaliser, network and temperature are inside. ``page/``, or any other name without a suffix, becomes a
folder with a page that any server of static files can serve; ``ser demo`` serves it on this machine.
"""

from pathlib import Path

from ser.commands.cli import add_checkpoint, command_parser, errors_in_words


def main() -> None:
    """Read the options, export and check."""
    parser = command_parser(__doc__, "outputs/RUN page/")
    add_checkpoint(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="to write: NAME.onnx, NAME.pt2, or a folder for a page")
    parser.add_argument(
        "--runtime", type=Path, metavar="FOLDER",
        help="that holds the files of onnxruntime-web for a page, which are downloaded otherwise",
    )  # fmt: skip
    options = parser.parse_args()
    as_page = options.file.is_dir() or not options.file.suffix
    if options.runtime is not None and not as_page:
        parser.error(f"--runtime is for a page, and {options.file} is none: give a folder")
    with errors_in_words():
        from ser.errors import Screen, escape
        from ser.evaluation.calibration import UNCALIBRATED
        from ser.files import refuse_overwriting
        from ser.inference.export import export
        from ser.inference.page import PAGE_FILES, write_page
        from ser.recognizer import Recognizer, checkpoints_beside

        paths = [options.file / name for name in PAGE_FILES] if as_page else [options.file]
        refuse_overwriting([("the file to write,", path) for path in paths], checkpoints_beside(options.checkpoint))
        recognizer = Recognizer.load(options.checkpoint)
        if as_page:
            difference = write_page(recognizer, options.file, options.runtime)
        else:
            options.file.parent.mkdir(parents=True, exist_ok=True)
            difference = export(recognizer, options.file)
    size = sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
    if as_page:
        what = f"{size:.1f} MB; serve the folder with ser demo {escape(options.file)}, or any server of static files"
    else:
        what = (
            f"{size:.1f} MB, waveforms (batch, time) at {recognizer.sample_rate} Hz and lengths (batch,) → "
            f"probabilities of {escape(', '.join(recognizer.labels))}; of longer ones {recognizer.seconds:g} s about "
            "the middle are heard"
        )
    note = "" if recognizer.calibration.known else f"\n{UNCALIBRATED}"
    Screen().print(
        f"{escape(options.file)}: {what}.\n"
        f"Checked against the checkpoint: probabilities differ by {difference:.1g} at most."
        f"{note}",
        soft_wrap=True,
        highlight=False,
    )
