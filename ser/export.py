"""A recognizer → one graph, waveforms in and probabilities out, that runs without this project.

Features, normaliser, network and temperature are inside. ``.onnx`` runs in onnxruntime and whatever else reads ONNX,
``.pt2`` in ``torch.export.load``.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ser import __version__
from ser.bank import gather
from ser.errors import UserError
from ser.features import Pretrained
from ser.files import replacing
from ser.recognizer import Recognizer

TOLERANCE = 1e-4
"""The most that a probability of the exported graph may differ from this project's."""


_CHATTER = (
    ".*LeafSpec.*deprecated.*",
    "No complete tensor found in the group.*",
    "The given buffer is not writable.*",
    r"The tensor attributes .*\._flat_weights.* were assigned during export",  # of recurrent layers, by themselves
)
"""What torch's own exporter and loader warn of, with nothing that a user could do."""


class Graph(nn.Module):
    """What a recognizer does with waveforms: pad or crop about the middle, features, normaliser, network, softmax.

    Args:
        recognizer: Its parts are shared, not copied.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.frontend = recognizer.frontend
        self.network = recognizer.network
        self.temperature = recognizer.calibration.temperature

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Answer a batch of clips of any lengths.

        Args:
            waveforms: ``(batch, time)`` float32 at the recognizer's rate, with full scale at ±1; what lies beyond a
                clip's own length is not heard.
            lengths: Samples of each clip that are its own, ``(batch,)`` int64.

        Returns:
            Probabilities ``(batch, class)``.
        """
        batch, time = waveforms.shape
        starts = torch.arange(batch, device=waveforms.device) * time
        heard, lengths = gather(waveforms.flatten(), starts, lengths.clamp(0, time), self.frontend.length)
        return (self.network(self.frontend(heard, lengths)) / self.temperature).softmax(1)


def export(recognizer: Recognizer, path: Path) -> float:
    """Write the graph of ``recognizer`` to ``path``, and check the file against the recognizer.

    What a user of the file must know (``labels`` in order, ``sample_rate`` in hertz, ``seconds`` that are heard) lies
    in the metadata of an ``.onnx`` file, each as JSON, and in ``ser.json`` of a ``.pt2`` file.

    Args:
        recognizer: On the CPU.
        path: Ends in ``.onnx`` or ``.pt2``.

    Returns:
        The largest difference between a probability of the file and one of the recognizer, on sounds of many lengths.

    Raises:
        UserError: The features are pretrained, the name ends otherwise, the libraries for ONNX are not installed, or
            the file gives other answers or can't be written; what was there before is still there.
    """
    if isinstance(recognizer.frontend.features, Pretrained):
        raise UserError(
            f"{recognizer.frontend.features.name} can't be exported: each clip goes through it at its own length; "
            "python scripts/predict.py answers with the checkpoint"
        )
    if path.suffix not in (".onnx", ".pt2"):
        raise UserError(f"{path} must end in .onnx, or in .pt2 for torch.export")
    if path.suffix == ".onnx":
        _require_onnx()
    facts: dict[str, Any] = {
        "labels": recognizer.labels,
        "sample_rate": recognizer.sample_rate,
        "seconds": recognizer.seconds,
        "network": type(recognizer.network).__name__,
        "ser_version": __version__,
    }
    waveforms, lengths = _sounds(recognizer)
    batch, time = torch.export.Dim("batch", min=1), torch.export.Dim("time", min=1)
    with replacing(path) as unfinished, warnings.catch_warnings(), torch.no_grad():
        for chatter in _CHATTER:
            warnings.filterwarnings("ignore", chatter)
        expected = Graph(recognizer)(waveforms, lengths)
        shapes = {"waveforms": {0: batch, 1: time}, "lengths": {0: batch}}
        program = torch.export.export(Graph(recognizer).eval(), (waveforms, lengths), dynamic_shapes=shapes)
        if path.suffix == ".onnx":
            _write_onnx(program, unfinished, facts)
            answers = _run_onnx(unfinished, waveforms, lengths)
        else:
            program.example_inputs = None  # several megabytes of noise
            torch.export.save(program, unfinished, extra_files={"ser.json": json.dumps(facts)})
            answers = torch.export.load(unfinished).module()(waveforms, lengths)
        difference = float((answers - expected).abs().max())
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path} was not written: its probabilities would differ by {difference:.2g} from the checkpoint's, "
                f"and {TOLERANCE:g} is allowed; see whether another version of the export libraries does better"
            )
    return difference


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise UserError(
            f"{error}: pip install -e '.[export]', or write a .pt2 file, which needs torch alone"
        ) from error


def _sounds(recognizer: Recognizer) -> tuple[Tensor, Tensor]:
    """Noisy tones, from a tenth of a second to twice what is heard, quiet and loud."""
    longest = 2 * recognizer.frontend.length
    lengths = torch.linspace(recognizer.sample_rate // 10, longest, 8).long()
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(longest) / recognizer.sample_rate
    tones = (2 * torch.pi * time * torch.linspace(80, 2000, len(lengths))[:, None]).sin()
    noise = torch.randn(tones.shape, generator=generator)
    return (tones + 0.1 * noise) * torch.logspace(-3, -0.5, len(lengths))[:, None], lengths


def _write_onnx(program: torch.export.ExportedProgram, path: Path, facts: dict[str, Any]) -> None:
    # Told on every export: that torchvision, of which nothing is used, is not installed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    written = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["waveforms", "lengths"], output_names=["probabilities"]
    )
    assert written is not None
    written.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
    written.save(path, external_data=False)


def _run_onnx(path: Path, waveforms: Tensor, lengths: Tensor) -> Tensor:
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()}
    return torch.from_numpy(np.asarray(session.run(None, inputs)[0]))
