"""Export a model as one file that runs without this project.

``model.onnx`` runs in onnxruntime, ``model.pt2`` in torch.export.load. Waveforms go in and probabilities come out:
features, normaliser, network and temperature are inside.
"""

from pathlib import Path

from ser.commands.cli import add_checkpoint, command_parser, errors_in_words


def main() -> None:
    """Read the options, export and check."""
    parser = command_parser(__doc__, "outputs/RUN model.onnx")
    add_checkpoint(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="to write, .onnx or .pt2")
    options = parser.parse_args()
    with errors_in_words():
        from ser.errors import Screen, escape
        from ser.evaluation.calibration import UNCALIBRATED
        from ser.files import refuse_overwriting
        from ser.inference.export import export
        from ser.recognizer import Recognizer, checkpoints_beside

        refuse_overwriting([("the file to write,", options.file)], checkpoints_beside(options.checkpoint))
        recognizer = Recognizer.load(options.checkpoint)
        options.file.parent.mkdir(parents=True, exist_ok=True)
        difference = export(recognizer, options.file)
    note = "" if recognizer.calibration.known else f"\n{UNCALIBRATED}"
    Screen().print(
        f"{escape(options.file)}: {options.file.stat().st_size / 1e6:.1f} MB, waveforms (batch, time) at "
        f"{recognizer.sample_rate} Hz and lengths (batch,) → probabilities of {escape(', '.join(recognizer.labels))}; "
        f"of longer ones {recognizer.seconds:g} s about the middle are heard.\n"
        f"Checked against the checkpoint: probabilities differ by {difference:.1g} at most."
        f"{note}",
        soft_wrap=True,
        highlight=False,
    )
