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
from ser.data.bank import gather
from ser.errors import UserError
from ser.features import Pretrained, Scale
from ser.files import replacing
from ser.recognizer import Recognizer

TOLERANCE = 1e-4
"""The most that a probability of the exported graph may differ from this project's."""

CHATTER = (
    ".*LeafSpec.*deprecated.*",
    "No complete tensor found in the group.*",
    "The given buffer is not writable.*",
    r"The tensor attributes .*\._flat_weights.* were assigned during export",  # of recurrent layers, by themselves
)
"""Warnings of torch's own exporter and loader that a user can do nothing about."""


class Graph(nn.Module):
    """Does what a recognizer does with waveforms: pad or crop about the middle, features, normaliser, network, softmax.

    Args:
        recognizer: A recognizer whose parts are shared, not copied.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.frontend = recognizer.frontend
        self.network = recognizer.network
        self.calibration = recognizer.calibration

    def forward(
        self, waveforms: Tensor, lengths: Tensor, mean: Tensor | None = None, deviation: Tensor | None = None
    ) -> Tensor:
        """Answer a batch of clips of any lengths.

        Args:
            waveforms: ``(batch, time)`` float32 at the recognizer's rate, with full scale at ±1; what lies beyond a
                clip's own length is not read.
            lengths: Samples of each clip that are its own, ``(batch,)`` int64.
            mean: Mean of the voice that speaks, ``(row,)`` float32, as ``VoicePrior.statistics`` gives it; None for
                that of the training clips.
            deviation: The voice's standard deviation, ``(row,)``.

        Returns:
            Probabilities ``(batch, class)``.
        """
        batch, time = waveforms.shape
        starts = torch.arange(batch, device=waveforms.device) * time
        clips, lengths = gather(waveforms.flatten(), starts, lengths.clamp(0, time), self.frontend.length)
        voice = None if mean is None or deviation is None else Scale(mean.unsqueeze(1), deviation.unsqueeze(1))
        logits = self.network(self.frontend(clips, lengths, voice), self.frontend.real_frames(lengths))
        return self.calibration.apply(logits).softmax(1)


def export(recognizer: Recognizer, path: Path) -> float:
    """Write the graph of ``recognizer`` to ``path``, and check the file against the recognizer.

    What a user of the file must know (``labels`` in order, ``sample_rate`` in hertz, ``seconds`` that are read) lies
    in the metadata of an ``.onnx`` file, each as JSON, and in ``ser.json`` of a ``.pt2`` file. A network that was
    trained with ``features.normalize=speaker`` has ``mean`` and ``deviation`` as further inputs, ``(row,)`` each, and
    what to give for an unknown voice beside them in the metadata.

    Args:
        recognizer: What to export, on the CPU.
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
        require_onnx()
    facts: dict[str, Any] = {
        "labels": recognizer.labels,
        "sample_rate": recognizer.sample_rate,
        "seconds": recognizer.seconds,
        "network": type(recognizer.network).__name__,
        "ser_version": __version__,
    }
    inputs = _inputs(recognizer)
    if recognizer.prior is not None:
        facts |= {name: inputs[name].tolist() for name in ("mean", "deviation")}
    batch, time = torch.export.Dim("batch", min=1), torch.export.Dim("time", min=1)
    with replacing(path) as unfinished, warnings.catch_warnings(), torch.no_grad():
        for chatter in CHATTER:
            warnings.filterwarnings("ignore", chatter)
        expected = Graph(recognizer)(**inputs)
        shapes = {"waveforms": {0: batch, 1: time}, "lengths": {0: batch}, "mean": None, "deviation": None}
        shapes = {name: shapes[name] for name in inputs}
        program = torch.export.export(Graph(recognizer).eval(), tuple(inputs.values()), dynamic_shapes=shapes)
        if path.suffix == ".onnx":
            write_onnx(program, unfinished, list(inputs), ["probabilities"], facts)
            (answers,) = run_onnx(unfinished, inputs)
        else:
            program.example_inputs = None  # several megabytes of noise
            torch.export.save(program, unfinished, extra_files={"ser.json": json.dumps(facts)})
            answers = torch.export.load(unfinished).module()(*inputs.values())
        difference = float((answers - expected).abs().max())
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path} was not written: its probabilities would differ by {difference:.2g} from the checkpoint's, "
                f"and {TOLERANCE:g} is allowed; see whether another version of the export libraries does better"
            )
    return difference


def require_onnx() -> None:
    """Refuse to write ONNX where a library for it is missing.

    Raises:
        UserError: It is not installed.
    """
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise UserError(f"{error}: pip install -e '.[export]', or write a .pt2 file, which needs only torch") from error


def _inputs(recognizer: Recognizer) -> dict[str, Tensor]:
    """Make inputs of the graph, by name: sounds, and the statistics of an unknown voice if voices count."""
    waveforms, lengths = sounds(recognizer)
    inputs = {"waveforms": waveforms, "lengths": lengths}
    if recognizer.prior is not None:
        normalizer = recognizer.frontend.normalizer
        inputs |= {"mean": normalizer.mean.flatten().clone(), "deviation": normalizer.std.flatten().clone()}
    return inputs


def sounds(recognizer: Recognizer) -> tuple[Tensor, Tensor]:
    """Make noisy tones ``(clip, time)``, quiet and loud, from a tenth of a second to twice what is read.

    Returns:
        Waveforms, and the samples of each that count, ``(clip,)``.
    """
    longest = 2 * recognizer.frontend.length
    lengths = torch.linspace(recognizer.sample_rate // 10, longest, 8).long()
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(longest) / recognizer.sample_rate
    tones = (2 * torch.pi * time * torch.linspace(80, 2000, len(lengths))[:, None]).sin()
    noise = torch.randn(tones.shape, generator=generator)
    return (tones + 0.1 * noise) * torch.logspace(-3, -0.5, len(lengths))[:, None], lengths


def write_onnx(
    program: torch.export.ExportedProgram, path: Path, inputs: list[str], outputs: list[str], facts: dict[str, Any]
) -> None:
    """Write a graph as ONNX.

    Args:
        program: The graph.
        path: File to write.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        facts: Metadata, each written as JSON.
    """
    # Every export warns that torchvision is not installed, though nothing of it is used.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    written = torch.onnx.export(program, dynamo=True, verbose=False, input_names=inputs, output_names=outputs)
    assert written is not None
    written.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
    written.save(path, external_data=False)


def run_onnx(path: Path, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Return the outputs of an ONNX file for ``inputs``, by onnxruntime on the CPU."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return [torch.from_numpy(np.asarray(output)) for output in outputs]
