import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio import pipelines
from torchaudio.pipelines._wav2vec2.utils import _extend_model

import ser.commands.predict
from ser.config import ConfigError, check_choices, compose_words
from ser.data.cache import contents, entries
from ser.errors import UserError
from ser.features import (
    FeatureConfig,
    Frontend,
    HiddenStates,
    Pretrained,
    WeightsError,
    features_of,
    pretrained_network,
)
from ser.features.bundles import fetched
from ser.inference.evaluate import evaluate
from ser.inference.export import export
from ser.recognizer import Recognizer
from ser.train import run
from tests.helpers import TINY_WAV2VEC2, struck_down

BUCKETS = {"encoder_num_buckets": 32, "encoder_max_distance": 80}

KINDS: dict[str, dict[str, Any]] = {
    "wav2vec2": {"kind": "Wav2Vec2", "params": TINY_WAV2VEC2, "normalize_waveform": False},
    "wavlm": {"kind": "WavLM", "params": {**TINY_WAV2VEC2, **BUCKETS}, "normalize_waveform": False},
    "large": {
        "kind": "Wav2Vec2",
        "params": {
            **TINY_WAV2VEC2,
            "extractor_mode": "layer_norm",
            "extractor_conv_bias": True,
            "encoder_layer_norm_first": True,
        },
        "normalize_waveform": True,
    },
}


def made(kind: str, seed: int = 0) -> HiddenStates:
    torch.manual_seed(seed)
    return pretrained_network(**KINDS[kind])


def written(path: Path, kind: str = "wavlm", seed: int = 0) -> Path:
    """A file of random weights with its sizes."""
    torch.save({**KINDS[kind], "state_dict": made(kind, seed).model.state_dict()}, path)
    return path


def config(weights: Path, **options: Any) -> FeatureConfig:
    return FeatureConfig(**{"names": ["wavlm"], "weights": str(weights), **options})


def clips(*lengths: int) -> tuple[Tensor, Tensor]:
    """Noise of some lengths, and zeros after it."""
    waveforms = 0.1 * torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(1))
    real = torch.tensor(lengths)
    return waveforms * (torch.arange(max(lengths)) < real.unsqueeze(1)), real


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_statistics_are_those_of_torchaudios_hidden_states_of_the_clip_alone(kind: str) -> None:
    states = made(kind).eval()
    waveforms, lengths = clips(9_000, 4_321, 9_000, 400)
    found = states(waveforms, lengths)
    assert found.shape == (4, *states.shape) == (4, 2, 16, 3)
    model = _extend_model(states.model, KINDS[kind]["normalize_waveform"])
    for clip, waveform, length in zip(found, waveforms, lengths.tolist(), strict=True):
        for layer, hidden in enumerate(model.extract_features(waveform[None, :length])[0]):
            values = hidden[0].double().numpy()
            np.testing.assert_allclose(clip[0, :, layer], values.mean(0), atol=2e-5)
            np.testing.assert_allclose(clip[1, :, layer], values.std(0), atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_clips_padding_and_neighbours_change_nothing(kind: str) -> None:
    states = made(kind).eval()
    waveforms, lengths = clips(9_000, 4_321, *[6_000] * 9, 1_600)
    together = states(waveforms, lengths)
    torch.testing.assert_close(states(F.pad(waveforms, (0, 5_000)), lengths), together)
    for row, length in enumerate(lengths.tolist()):
        alone = states(waveforms[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_why_padded_clips_are_not_handed_over_with_their_lengths() -> None:
    waveforms, lengths = clips(9_000, 2_000)
    hidden, frames = made("wav2vec2").eval().model.extract_features(waveforms, lengths)
    alone = made("wav2vec2").eval()(waveforms[1:], lengths[1:])
    assert frames is not None
    assert (hidden[-1][1, : frames[1]].mean(0) - alone[0, 0, :, -1]).abs().max() > 0.01, "group norm hears the padding"
    with pytest.raises(AssertionError):
        made("wavlm").eval().model.extract_features(waveforms, lengths)


@torch.no_grad()
def test_a_clip_that_is_too_short_for_a_frame_is_heard_with_silence_behind_it() -> None:
    states = made("wavlm").eval()
    assert states.least == 400
    short, _ = clips(200)
    torch.testing.assert_close(states(short, torch.tensor([200])), states(F.pad(short, (0, 200)), torch.tensor([400])))


def test_only_what_the_hidden_states_depend_on_is_trained() -> None:
    for kind in KINDS:
        states = made(kind).train()
        states(*clips(2_000, 3_000)).square().sum().backward()
        for name, weight in states.named_parameters():
            assert weight.requires_grad == (weight.grad is not None), name
            assert not weight.requires_grad or "feature_extractor" not in name, name


def test_a_frontend_gives_frozen_statistics_in_use(tmp_path: Path) -> None:
    file = written(tmp_path / "tiny.pt")
    frontend = Frontend(config(file), 9_000).train()
    assert frontend.config.digest == contents([file])[0]
    waveforms, lengths = clips(9_000, 5_000)
    inputs = frontend(waveforms, lengths)
    assert inputs.shape == (2, *frontend.input_shape) == (2, 1, 2, 16, 3)
    assert not inputs.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(inputs[:, 0], made("wavlm").eval()(waveforms, lengths))
    frontend.normalizer.fit([(frontend.extract(waveforms, lengths), frontend.real_frames(lengths))])
    scaled = frontend(waveforms, lengths)
    # Single precision rounds the mean by up to half its eps, and that is then divided by a far smaller deviation.
    mean, std = (frontend.arrange(held[None]) for held in (frontend.normalizer.mean, frontend.normalizer.std))
    rounding = torch.finfo(torch.float32).eps * (2 + mean.abs() / std)
    assert (scaled.mean(0, keepdim=True).abs() <= rounding).all()
    assert ((scaled.abs() - 1).abs() <= rounding).all(), "of two clips, each is one deviation from their mean"


def test_a_frontend_to_fine_tune_gives_waveforms_and_reads_no_weights(tmp_path: Path) -> None:
    frontend = Frontend(config(tmp_path / "gone.pt", fine_tune=True, normalize="none"), 9_000)
    waveforms, lengths = clips(9_000, 5_000)
    inputs = frontend(waveforms, lengths)
    assert torch.equal(inputs, waveforms)
    assert torch.equal(frontend.real_frames(lengths), lengths)
    two_rows = {"mean": torch.zeros(2, 1), "std": torch.ones(2, 1)}  # as in checkpoints of earlier versions
    frontend.normalizer.load_state_dict(two_rows)
    assert not list(frontend.parameters())


def test_torchaudios_own_file_is_read_by_its_bundles_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.HUBERT_BASE, "_params", {**TINY_WAV2VEC2, "aux_num_out": None})
    model = made("wav2vec2").model
    old = {name.replace("parametrizations.weight.original0", "weight_g"): w for name, w in model.state_dict().items()}
    old = {name.replace("parametrizations.weight.original1", "weight_v"): w for name, w in old.items()}
    torch.save({**old, "aux.weight": torch.zeros(29, 16), "aux.bias": torch.zeros(29)}, tmp_path / "plain.pth")
    found = Frontend(config(tmp_path / "plain.pth", names=["hubert"]), 9_000).features.states
    assert isinstance(found, HiddenStates)
    for name, weight in found.model.state_dict().items():
        torch.testing.assert_close(weight, model.state_dict()[name])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder of weights, empty, and a network of which there is none."""

    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    return tmp_path / "torch/hub/checkpoints"


def test_weights_that_can_not_be_downloaded_are_named_and_where_they_belong(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError) as caught:
        Frontend(FeatureConfig(names=["wavlm"]), 16_000)
    assert "no route to host" in str(caught.value)
    assert f"get wavlm_base_plus.pth elsewhere and put it into {hub}, or set features.weights=FILE" in str(caught.value)
    told = capsys.readouterr().err
    assert "Downloads the weights of WAVLM_BASE_PLUS, about 378 MB" in told
    assert str(hub / "wavlm_base_plus.pth") in told


def test_what_is_downloaded_once_is_not_downloaded_again(
    hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = []

    def download(url: str, file: str, *args: Any, **kwargs: Any) -> None:
        urls.append(url)
        torch.save(made("wav2vec2").model.state_dict(), file)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    monkeypatch.setattr(pipelines.WAV2VEC2_BASE, "_params", TINY_WAV2VEC2 | {"aux_num_out": None})
    for _ in range(2):
        assert fetched("WAV2VEC2_BASE") == hub / "wav2vec2_fairseq_base_ls960.pth"
        assert isinstance(Frontend(FeatureConfig(names=["wav2vec2"]), 16_000).features.states, HiddenStates)
    assert [Path(url).name for url in urls] == ["wav2vec2_fairseq_base_ls960.pth"]
    assert capsys.readouterr().err.count("Downloads the weights of WAV2VEC2_BASE") == 1


def test_a_file_that_was_moved_is_found_in_torch_hubs_folder_or_told(hub: Path, tmp_path: Path) -> None:
    gone = config(tmp_path / "elsewhere/tiny.pt")
    with pytest.raises(WeightsError, match=rf"tiny\.pt is not there: put the file there, or at {hub}/tiny\.pt"):
        Frontend(gone, 16_000)
    hub.mkdir(parents=True)
    written(hub / "tiny.pt")
    assert Frontend(gone, 16_000).config.digest == contents([hub / "tiny.pt"])[0]


def test_other_weights_than_the_digests_are_refused(tmp_path: Path) -> None:
    known = Frontend(config(written(tmp_path / "tiny.pt")), 16_000).config
    written(tmp_path / "tiny.pt", seed=1)
    with pytest.raises(WeightsError, match=rf"has the digest \w+, and {known.digest} is wanted"):
        Frontend(known, 16_000)


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (b"no weights", "is not a file of weights, or broken"),
        (b"", "is not a file of weights, or broken"),
        ([1], "must hold a state dict, or a dictionary of kind"),
        ({"a": torch.zeros(1)}, "does not hold the weights of WAVLM_BASE_PLUS"),
        ({**KINDS["wavlm"], "state_dict": {}}, "does not hold the weights"),
        ({**KINDS["wav2vec2"], "state_dict": {}}, "holds no wavlm: Wav2Vec2"),
        ({**KINDS["wavlm"], "kind": "Whisper", "state_dict": {}}, "holds no wavlm: Whisper"),
        ({**KINDS["wavlm"], "params": {}, "state_dict": {}}, "can be built with these sizes"),
        (
            {**KINDS["wavlm"], "params": {**TINY_WAV2VEC2, **BUCKETS, "encoder_num_layers": "3"}, "state_dict": {}},
            "these sizes",
        ),
        (
            {**KINDS["wavlm"], "params": {**TINY_WAV2VEC2, **BUCKETS, "encoder_num_heads": 0}, "state_dict": {}},
            "these sizes",
        ),
        (
            {**KINDS["wavlm"], "params": {**TINY_WAV2VEC2, **BUCKETS, "encoder_embed_dim": -16}, "state_dict": {}},
            "these sizes",
        ),
        ({**KINDS["wavlm"], "params": 3, "state_dict": {}}, "must hold a state dict, or a dictionary of kind"),
        ({**KINDS["wavlm"], "kind": ["WavLM"], "state_dict": {}}, "must hold a state dict, or a dictionary of kind"),
        ({**KINDS["wavlm"], "state_dict": [1]}, "must hold a state dict, or a dictionary of kind"),
        ({1: torch.zeros(1)}, "must hold a state dict, or a dictionary of kind"),
    ],
)
def test_a_file_of_something_else_is_refused(held: Any, told: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    if isinstance(held, bytes):
        file.write_bytes(held)
    else:
        torch.save(held, file)
    with pytest.raises(WeightsError, match=told):
        Frontend(config(file), 16_000)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names": ["wavlm", "zcr"]}, "can't be joined"),
        ({"bundle": "HUBERT_BASE"}, "with features=wavlm go WAVLM_BASE, WAVLM_BASE_PLUS, WAVLM_LARGE"),
        ({"sample_rate": 8_000}, "was trained on 16000 Hz"),
        ({"normalize": "clip"}, "must be standard or speaker or none with features=wavlm and features.fine_tune=false"),
        ({"fine_tune": True}, "features.normalize=standard must be none with features=wavlm and features.fine_tune=tr"),
        ({"names": ["mel"], "fine_tune": True}, r"are for pretrained features, and features\.names=\['mel'\]"),
        ({"names": ["mel"], "weights": "a.pt"}, "are for pretrained features"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        features_of(FeatureConfig(**{"names": ["wavlm"], **options}))


def test_every_bundle_of_a_base_network_has_its_shape_without_its_weights(hub: Path) -> None:
    for name in ("wav2vec2", "hubert", "wavlm"):
        features = features_of(FeatureConfig(names=[name]))
        assert isinstance(features, Pretrained)
        assert features.shape == (1, 2, 768, 12)
    assert not hub.exists()


def test_spectrogram_augmentation_of_waveforms_is_refused(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=r"augment\.spec changes features, and with features\.fine_tune=true"):
        trained(corpus, tmp_path, *FROZEN, f"features.weights={written(tmp_path / 'a.pt')}", *TUNED, "augment=light")


FROZEN = (
    "dataset=folder",
    "split.val=0.2",
    "features=wavlm",
    "model=probe",
    "datamodule.batch_size=8",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "figure_every_n_epochs=1",
)
TUNED = ("features.fine_tune=true", "features.normalize=none", "augment=none")


def trained(corpus: Path, folder: Path, *words: str) -> dict[str, Any]:
    cfg = compose_words([*words, f"dataset.root={corpus}"])
    folder.mkdir(parents=True, exist_ok=True)
    return run(cfg, folder, ["python", "train.py", *words])


def same_answers(checkpoint: Path, folder: Path, corpus: Path, tested: dict[str, Any]) -> None:
    cfg = compose_words(["dataset=folder", f"dataset.root={corpus}", "split.val=0.2"])
    found = evaluate(checkpoint, cfg, "test", folder, []).as_dict()
    assert found["test"]["macro_f1"] == pytest.approx(tested["test"]["macro_f1"], abs=1e-6)
    assert found["test"]["loss"] == pytest.approx(tested["test"]["loss"], rel=1e-3)


def test_a_probe_trains_is_scored_and_answers_with_weights_that_are_not_in_its_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = written(tmp_path / "tiny.pt")
    words = (*FROZEN, f"features.weights={weights}", f"datamodule.cache={tmp_path}/cache")
    tested = trained(corpus, tmp_path / "run", *words)
    assert tested["features"] == "wavlm"
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    held = torch.load(checkpoint, weights_only=True)
    assert set(held["state_dict"]) == {"layers.0.scores", "layers.3.weight", "layers.3.bias"}
    assert held["ser"]["features"]["digest"] == contents([weights])[0]
    same_answers(checkpoint, tmp_path / "scores", corpus, tested)

    sound = next((corpus / "sad").glob("*.wav"))
    monkeypatch.setattr(sys, "argv", ["predict.py", str(checkpoint), str(sound), f"--csv={tmp_path}/answers.csv"])
    with pytest.raises(SystemExit) as ended:
        ser.commands.predict.main()
    assert ended.value.code == 0
    assert str(sound) in (tmp_path / "answers.csv").read_text()
    recognizer = Recognizer.load(checkpoint)
    assert sum(recognizer(sound).values()) == pytest.approx(1)
    with pytest.raises(UserError, match=r"wavlm can't be exported: each clip goes through it at its own length"):
        export(recognizer, tmp_path / "a.onnx")

    # A run from the cache asks the network nothing, wherever the weights lie; other weights are another entry.
    monkeypatch.setattr(HiddenStates, "forward", None)
    shutil.copy(weights, tmp_path / "copy.pt")
    for place in (weights, tmp_path / "copy.pt"):
        there = (f"features.weights={place}", "figure_every_n_epochs=0")
        again = trained(corpus, tmp_path / f"again/{place.name}", *words, *there)
        assert again["test"] == pytest.approx(tested["test"])
    monkeypatch.undo()
    others = (f"features.weights={written(tmp_path / 'others.pt', seed=1)}", f"init_from={checkpoint}")
    with pytest.raises(ConfigError, match=r"reads what weights with the digest \w+ give, and those of this run have"):
        trained(corpus, tmp_path / "started", *words, *others)
    known = {entry.path.name for entry in entries(tmp_path / "cache")}
    written(weights, seed=1)
    trained(corpus, tmp_path / "other", *words, "figure_every_n_epochs=0", "trainer.max_epochs=1")
    (new,) = {entry.path.name for entry in entries(tmp_path / "cache")} - known
    assert new.startswith("features-")

    with pytest.raises(
        WeightsError, match=rf"best\.ckpt answers with pretrained weights, and {weights} has the digest"
    ):
        Recognizer.load(checkpoint)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"answers with pretrained weights, and features\.weights=.* is not there"):
        Recognizer.load(checkpoint)


def test_a_fine_tuned_network_answers_by_its_checkpoint_alone(corpus: Path, tmp_path: Path) -> None:
    weights = written(tmp_path / "tiny.pt")
    words = (*FROZEN, f"features.weights={weights}", *TUNED, "model.pretrained_learning_rate=1e-3")
    tested = trained(corpus, tmp_path / "run", *words)
    shutil.move(weights, tmp_path / "away.pt")
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    same_answers(checkpoint, tmp_path / "scores", corpus, tested)
    first, last = torch.load(tmp_path / "away.pt")["state_dict"], torch.load(checkpoint)["state_dict"]
    for name, before in first.items():
        after = last[f"layers.0.states.model.{name}"]
        assert torch.equal(before, after) == name.startswith("feature_extractor"), name
        assert (before - after).abs().max() < 0.1, "it began with the pretrained weights"
    frozen = [weight.numel() for name, weight in first.items() if name.startswith("feature_extractor")]
    assert tested["parameters"]["total"] - tested["parameters"]["trainable"] == sum(frozen)

    # A run that starts from it takes its weights, too, in place of the file's.
    still = ("model.learning_rate=0", "model.pretrained_learning_rate=1e-20", "figure_every_n_epochs=0")
    shutil.move(tmp_path / "away.pt", weights)
    trained(corpus, tmp_path / "started", *words, *still, f"init_from={checkpoint}")
    begun = torch.load(tmp_path / "started/checkpoints/best.ckpt")["state_dict"]
    assert all(torch.allclose(weight, last[name], atol=1e-12) for name, weight in begun.items())


def test_a_fine_tuning_that_was_stopped_goes_on_as_if_it_had_not(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*FROZEN, f"features.weights={written(tmp_path / 'tiny.pt')}", *TUNED, "figure_every_n_epochs=0")
    unbroken = trained(corpus, tmp_path / "whole", *words)
    with struck_down(epoch=1):
        trained(corpus, tmp_path / "run", *words)
    monkeypatch.setattr(Pretrained, "load_into", None)  # it goes on with its own weights
    assert trained(corpus, tmp_path / "run", *words)["test"] == unbroken["test"]
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "run")
    )
    for name, weight in whole.items():
        torch.testing.assert_close(resumed[name], weight, msg=name)


def test_a_network_for_pictures_with_hidden_states_is_refused_and_told_what_goes() -> None:
    with pytest.raises(
        UserError, match=r"features=wavlm is 3D: with it go model=probe; .* features=mel, logmel, mfcc2d"
    ):
        check_choices(compose_words(["features=wavlm"]))
    with pytest.raises(
        UserError, match=r"model=probe reads 3D .* with the network go features=wav2vec2, hubert, wavlm"
    ):
        check_choices(compose_words(["model=probe"]))
