import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ser.config import compose_words
from ser.errors import UserError
from ser.features import FeatureConfig, Frontend, WeightsError, features_of
from ser.recognizer import Recognizer
from ser.train import run

transformers = pytest.importorskip("transformers", reason="there is no transformers: pip install 'ser[pretrained]'")
from safetensors.torch import load_file, save_file  # noqa: E402

SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [8, 8, 8], "conv_kernel": [10, 8, 8], "conv_stride": [5, 8, 8], "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "vocab_size": 9,
}  # fmt: skip

KINDS: dict[str, dict[str, Any]] = {
    "wav2vec2": {},
    "large": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "hubert": {},
    "wavlm": {"num_buckets": 32, "max_bucket_distance": 80},
}


def written(folder: Path, kind: str = "wav2vec2", seed: int = 0, head: bool = False, **changes: Any) -> Path:
    """A folder as the library saves it, and the network."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model("wav2vec2" if kind == "large" else kind, **SIZES, **KINDS[kind])
    network = (transformers.AutoModelForCTC if head else transformers.AutoModel).from_config(config)
    network.save_pretrained(folder)
    sound = {"do_normalize": kind == "large", "sampling_rate": 16_000, **changes}
    (folder / "preprocessor_config.json").write_text(json.dumps(sound))
    return folder


def config(weights: Path | str, **options: Any) -> FeatureConfig:
    return FeatureConfig(**{"names": ["huggingface"], "weights": str(weights), **options})


def clips(*lengths: int) -> tuple[Tensor, Tensor]:
    """Noise of some lengths, and zeros after it."""
    waveforms = 0.1 * torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(1))
    real = torch.tensor(lengths)
    return waveforms * (torch.arange(max(lengths)) < real.unsqueeze(1)), real


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_statistics_are_those_of_transformers_hidden_states_of_the_clip_alone(
    kind: str, head: bool, tmp_path: Path
) -> None:
    states = Frontend(config(written(tmp_path, kind, head=head)), 9_000).features.states
    theirs = transformers.AutoModel.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True).eval()
    extract = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    waveforms, lengths = clips(9_000, 4_321, 9_000, 3_000)
    found = states(waveforms, lengths)
    assert found.shape == (4, *states.shape) == (4, 2, 16, 4)
    for clip, waveform, length in zip(found, waveforms, lengths.tolist(), strict=True):
        heard = extract(waveform[:length].numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        for layer, hidden in enumerate(theirs(heard, output_hidden_states=True).hidden_states):
            torch.testing.assert_close(clip[0, :, layer], hidden[0].mean(0), atol=2e-5, rtol=1e-4)
            torch.testing.assert_close(clip[1, :, layer], hidden[0].std(0, correction=0), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(states(F.pad(waveforms, (0, 5_000)), lengths), found)
    short, _ = clips(30)
    padded = states(F.pad(short, (0, states.least - 30)), torch.tensor([states.least]))
    torch.testing.assert_close(states(short, torch.tensor([30])), padded)


def changed(folder: Path, **changes: Any) -> None:
    """Other values in ``config.json``."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_what_is_no_encoder_in_safetensors_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    whole = (folder / "config.json").read_text()
    for changes, told in (
        ({"model_type": "bert"}, "model_type=bert is no encoder of waveforms, such as wav2vec2"),
        ({"model_type": "whisper"}, "features=whisper reads it"),
        ({"model_type": "mine"}, "model_type='mine' is no encoder of waveforms that transformers has"),
        ({"model_type": None}, "is no encoder of waveforms that transformers has"),
        ({"model_type": ["a"]}, "is no encoder of waveforms that transformers has"),
        ({"auto_map": {"AutoModel": "mine.Mine"}}, "wants code of its own to be run, which is never done"),
        ({"num_hidden_layers": 1 << 40}, "has fewer tensors than"),
        ({"num_hidden_layers": 2}, r"encoder\.layers\.2\..* has the shape \(.*\), and should have None"),
        ({"num_hidden_layers": "3"}, "can be built with these sizes"),
        ({"hidden_size": 1 << 20}, r"should have \(1048576"),
        ({"hidden_size": -16}, "can be built with these sizes"),
        ({"num_attention_heads": 3}, "can be built with these sizes"),
        ({"conv_kernel": [10, 3]}, "can be built with these sizes"),
        ({"conv_kernel": [1] * 1000}, "has fewer tensors than"),
    ):
        (folder / "config.json").write_text(whole)
        changed(folder, **changes)
        with pytest.raises(WeightsError, match=told) as caught:
            Frontend(config(folder), 16_000)
        assert "\n" not in str(caught.value)
    for text in ("", "[]", "[" * 100_000):
        (folder / "config.json").write_text(text)
        with pytest.raises(WeightsError, match=r"must hold an object|is not there or broken"):
            Frontend(config(folder), 16_000)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json is not there or broken \(FileNotFoundError\)"):
        Frontend(config(folder), 16_000)


def test_broken_weights_and_pickles_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = folder / "model.safetensors"
    held = load_file(file)
    for tensors, told in (
        (
            {name: tensor for name, tensor in held.items() if "q_proj" not in name},
            "has the shape None, and should have",
        ),
        ({**held, "more": torch.zeros(1)}, "more has the shape"),
        ({**held, "encoder.layer_norm.bias": torch.full((16,), torch.nan)}, "NaN or infinity"),
    ):
        save_file(tensors, file)
        with pytest.raises(WeightsError, match=told):
            Frontend(config(folder), 16_000)
    save_file(held, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is broken, or no file of safetensors"):
        Frontend(config(folder), 16_000)
    file.unlink()
    torch.save(held, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"has no model\.safetensors but pytorch_model\.bin: pickles and parts"):
        Frontend(config(folder), 16_000)
    for sound in ({"do_normalize": 1}, {"sampling_rate": 8_000}):
        written(folder, **sound)
        with pytest.raises(WeightsError, match=r"must have do_normalize, true or false, and sampling_rate 16000"):
            Frontend(config(folder), 16_000)


@pytest.mark.parametrize("name", ["nobody/nothing", "../../none", "a b", "~nobody/a", "x" * 300])
def test_what_is_neither_a_folder_nor_in_the_cache_is_refused_and_not_downloaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr("socket.socket.connect", asked)
    with pytest.raises(WeightsError, match=r"nothing is downloaded: hf download"):
        Frontend(config(name), 16_000)


def test_an_encoder_in_the_users_cache_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "models--us--tiny"
    written(place / "snapshots/0123")
    (place / "refs").mkdir()
    (place / "refs/main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    named = Frontend(config("us/tiny"), 16_000).config
    assert named.digest == Frontend(config(place / "snapshots/0123"), 16_000).config.digest


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": None}, r"features=huggingface needs features\.weights=FOLDER"),
        ({"bundle": "WAV2VEC2_BASE"}, "is torchaudio's"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        features_of(FeatureConfig(**{"names": ["huggingface"], "weights": "tiny", **options}))


def trained(corpus: Path, folder: Path, *words: str) -> None:
    words = (
        "dataset=folder", f"dataset.root={corpus}", "split.val=0.2", "features=huggingface", "model=probe",
        "datamodule.batch_size=8", "trainer.max_epochs=1", "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false", "figure_every_n_epochs=0", *words,
    )  # fmt: skip
    folder.mkdir()
    run(compose_words(words), folder, ["python", "train.py", *words])


def test_a_probe_answers_with_the_weights_of_its_training_only(corpus: Path, tmp_path: Path) -> None:
    weights = written(tmp_path / "tiny", "wavlm")
    trained(corpus, tmp_path / "run", f"features.weights={weights}")
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    sound = next((corpus / "sad").glob("*.wav"))
    assert sum(Recognizer.load(checkpoint)(sound).values()) == pytest.approx(1)
    written(weights, "wavlm", seed=1)
    with pytest.raises(WeightsError, match=r"best\.ckpt answers with pretrained weights, and .* has the digest"):
        Recognizer.load(checkpoint)


def test_a_fine_tuned_encoder_answers_by_its_checkpoint_alone(corpus: Path, tmp_path: Path) -> None:
    weights = written(tmp_path / "tiny")
    before = load_file(weights / "model.safetensors")
    tuned = ("features.fine_tune=true", "features.normalize=none", "augment=none")
    trained(corpus, tmp_path / "run", f"features.weights={weights}", *tuned, "model.pretrained_learning_rate=1e-3")
    (weights / "model.safetensors").unlink()
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    assert sum(Recognizer.load(checkpoint)(next((corpus / "sad").glob("*.wav"))).values()) == pytest.approx(1)
    last = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name in ("feature_extractor.conv_layers.0.conv.weight", "encoder.layers.0.attention.q_proj.weight"):
        assert torch.equal(before[name], last[f"layers.0.states.model.{name}"]) == name.startswith("feature"), name
