"""Every network over its features: the exported file answers as the recognizer does."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import ser.inference.export
from ser.config import compose_words, network_settings
from ser.data.audio import Recording
from ser.data.bank import decode
from ser.data.corpora import Clip
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.features import FeatureConfig, Frontend
from ser.inference.export import TOLERANCE, Graph, export
from ser.models import NETWORKS
from ser.recognizer import Recognizer

LABELS = ["anger", "happy", "sad"]

RECIPES = [
    ("cnn1d", "mfcc_energy_zcr"),
    ("wide1d", "rolloff"),
    ("cnn2d", "mfcc2d"),
    ("paper2d", "mel"),
    ("paper2d", "mel features.normalize=clip features.names=[logmel]"),
    ("paper2d_original", "mel"),
    ("seresnet", "logmel"),
    ("seresnet", "logmel model.speeds=[0.9,1.0,1.1]"),
]

ALONE = """
import json, sys
import numpy, onnxruntime, soundfile
session = onnxruntime.InferenceSession(sys.argv[1])
facts = {name: json.loads(fact) for name, fact in session.get_modelmeta().custom_metadata_map.items()}
sounds = [soundfile.read(path, dtype="float32")[0] for path in sys.argv[2:]]
waveforms = numpy.zeros((len(sounds), max(map(len, sounds))), numpy.float32)
for row, sound in zip(waveforms, sounds):
    row[: len(sound)] = sound
lengths = numpy.array([len(sound) for sound in sounds])
(probabilities,) = session.run(None, {"waveforms": waveforms, "lengths": lengths})
print(json.dumps({**facts, "probabilities": probabilities.tolist(), "torch": "torch" in sys.modules}))
"""


def recognizer(model: str, features: str, seconds: float = 2.5) -> Recognizer:
    """Untrained; weights are large enough for the answers to differ from clip to clip."""
    cfg = compose_words([f"model={model}", *f"features={features}".split()])
    config = FeatureConfig(**cfg["features"])
    frontend = Frontend(config, round(seconds * config.sample_rate))
    torch.manual_seed(0)
    frontend.normalizer.mean.normal_()
    frontend.normalizer.std.uniform_(0.5, 2)
    network = NETWORKS[model](frontend.input_shape, len(LABELS), **network_settings(cfg))
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1.5)
    return Recognizer(network, frontend, LABELS, config.sample_rate, Calibration(1.7))


def noises(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    waveforms = 0.1 * torch.randn(len(lengths), max(lengths), generator=generator)
    return waveforms, torch.tensor(lengths)


def by_recognizer(answering: Recognizer, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    sounds = [row[:length].numpy() for row, length in zip(waveforms, lengths.tolist(), strict=True)]
    return answering.probabilities([Recording(sound) for sound in sounds])


@pytest.mark.parametrize(("model", "features"), RECIPES)
def test_graph_answers_as_the_recognizer_whatever_lies_beyond_a_clip(model: str, features: str) -> None:
    answering = recognizer(model, features)
    waveforms, lengths = noises([1_600, 20_000, 40_000, 40_001, 90_000])
    expected = by_recognizer(answering, waveforms, lengths)
    with torch.inference_mode():
        answers = Graph(answering)(waveforms, lengths)
    torch.testing.assert_close(answers, expected, atol=1e-6, rtol=0)
    if features == "mel":
        assert (expected.std(0) > 1e-3).any()


@pytest.mark.parametrize(("model", "features"), [*RECIPES[:3], RECIPES[4], RECIPES[6]])
def test_onnx_file_answers_batches_and_lengths_that_export_did_not_see(
    model: str, features: str, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    answering = recognizer(model, features)
    assert export(answering, tmp_path / "model.onnx") <= TOLERANCE
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for lengths in ([40_000], [1_600, 1_700], [39_999, 8_000, 64_123]):
        waveforms, samples = noises(lengths)
        expected = by_recognizer(answering, waveforms, samples).numpy()
        (answers,) = session.run(None, {"waveforms": waveforms.numpy(), "lengths": samples.numpy()})
        np.testing.assert_allclose(answers, expected, atol=TOLERANCE)


def test_a_recurrent_layer_is_exported_without_a_word(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert export(recognizer("seresnet", "logmel"), tmp_path / "model.pt2") <= TOLERANCE
    assert [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)] == []


def test_pt2_file_answers_and_tells_its_labels(tmp_path: Path) -> None:
    answering = recognizer("paper2d", "mel")
    assert export(answering, tmp_path / "model.pt2") <= TOLERANCE
    kept = {"ser.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=kept)
    waveforms, lengths = noises([24_000, 50_000, 9_000])
    expected = by_recognizer(answering, waveforms, lengths)
    torch.testing.assert_close(program.module()(waveforms, lengths), expected, atol=TOLERANCE, rtol=0)
    facts = json.loads(kept["ser.json"])
    assert (facts["labels"], facts["sample_rate"], facts["seconds"]) == (LABELS, 16_000, 2.5)


def test_onnx_file_runs_on_real_clips_where_there_is_no_torch(real_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    answering = recognizer("paper2d", "mel")
    export(answering, tmp_path / "model.onnx")
    paths = [clip.path for clip in real_clips[::250]]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "model.onnx"), *map(str, paths)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert not told["torch"]
    assert (told["labels"], told["sample_rate"], told["seconds"]) == (LABELS, 16_000, 2.5)
    recordings = [recording for recording in decode(paths, 16_000) if isinstance(recording, Recording)]
    expected = answering.probabilities(recordings).numpy()
    np.testing.assert_allclose(told["probabilities"], expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_file_that_answers_otherwise_is_not_left(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / name).write_text("an earlier one")
    whole = torch.export.export

    def other(graph: Graph, *args: object, **options: object) -> torch.export.ExportedProgram:
        graph.calibration = Calibration(2 * graph.calibration.temperature)
        return whole(graph, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ser.inference.export.torch.export, "export", other)
    with pytest.raises(UserError, match=r"differ by .* 0\.0001 is allowed"):
        export(recognizer("paper2d", "mel"), tmp_path / name)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "an earlier one")]


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.pb must end in \.onnx, or in \.pt2"):
        export(recognizer("cnn1d", "energy"), tmp_path / "model.pb")


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript.*pip install -e '\.\[export\]', or write a \.pt2"):
        export(recognizer("cnn1d", "energy"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
