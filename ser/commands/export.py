"""A checkpoint → one file that runs without this project: ``python scripts/export.py outputs/RUN model.onnx``.

``model.onnx`` runs in onnxruntime, ``model.pt2`` in torch.export.load. Waveforms go in and probabilities come out:
features, normaliser, network and temperature are inside.
"""

from pathlib import Path

from ser.calibration import UNCALIBRATED
from ser.cli import command_parser, errors_in_words
from ser.export import export
from ser.files import refuse_overwriting
from ser.recognizer import Recognizer, checkpoints_beside
from ser.screen import Screen, escape


def main() -> None:
    """Read the options, export and check."""
    parser = command_parser(__doc__, "outputs/RUN model.onnx")
    parser.add_argument("checkpoint", type=Path, help="a run's folder, for the checkpoint it tested, or a checkpoint")
    parser.add_argument("file", type=Path, help="to write, .onnx or .pt2")
    options = parser.parse_args()
    with errors_in_words():
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


if __name__ == "__main__":
    main()
