import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser.features import Moments, Normalizer, Scale, Voice, VoiceError, VoicePrior
from ser.features.voices import CANDIDATES, NEUTRAL, PRIOR_FRAMES

ROWS = 3


def ragged(clips: int = 7, seed: int = 0, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features ``(clip, row, frame)`` with junk behind each clip's real frames ``(clip,)``."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(clips, ROWS, 20, generator=generator) * torch.tensor([[1.0], [4.0], [0.2]]) - 40 + shift
    real = torch.randint(3, 20, (clips,), generator=generator)
    return torch.where(torch.arange(20) < real.view(-1, 1, 1), features, 1e6), real


def frames_of(features: torch.Tensor, real: torch.Tensor) -> np.ndarray:
    parts = [clip[:, :n].double().numpy() for clip, n in zip(features, real.tolist(), strict=True)]
    return np.concatenate(parts, axis=1)


def prior(frames: float = 10.0, **options: Any) -> VoicePrior:
    return VoicePrior(torch.full((ROWS,), -40.0).double(), torch.full((ROWS,), 2.0).double(), frames, **options)


@given(st.permutations(range(7)), st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_a_voice_has_the_statistics_of_its_real_frames_in_any_order_and_batch(order: list[int], batch: int) -> None:
    features, real = ragged()
    parts = [Moments.of(features[order[i : i + batch]], real[order[i : i + batch]]) for i in range(0, 7, batch)]
    voice = Voice.of(Moments.join(parts))
    expected = frames_of(features, real)
    assert voice.frames == expected.shape[1]
    np.testing.assert_allclose(voice.mean.numpy(), expected.mean(1), rtol=1e-12)
    np.testing.assert_allclose(voice.deviation.numpy(), expected.std(1), rtol=1e-7)


def test_statistics_of_few_frames_are_drawn_towards_those_of_training() -> None:
    features, real = ragged()
    voice = Voice.of(Moments.of(features, real))
    expected = frames_of(features, real)
    weight = voice.frames / (voice.frames + 10.0)
    mean, deviation = prior().statistics(voice)
    np.testing.assert_allclose(mean.numpy(), weight * expected.mean(1) - 40 * (1 - weight), rtol=1e-9)
    variance = weight * expected.var(1) + (1 - weight) * 4.0
    np.testing.assert_allclose(deviation.numpy(), np.sqrt(variance), rtol=1e-7)
    nobody, spread = prior().statistics(None)
    assert torch.equal(nobody, prior().mean)
    assert torch.equal(spread, prior().std)


def test_emotions_that_are_told_are_corrected_for() -> None:
    shift, log_ratio = torch.ones(1, ROWS).double(), torch.full((1, ROWS), math.log(1.25), dtype=torch.float64)
    corrected = prior(0.0, labels=(NEUTRAL,), shift=shift, log_ratio=log_ratio)
    moments = Moments.of(*ragged())
    plain, told = Voice.of(moments), Voice.of(moments, {NEUTRAL: 0.5, "unheard of": 0.5})
    mean, deviation = corrected.statistics(told)
    np.testing.assert_allclose(mean.numpy(), (plain.mean + 0.5).numpy(), rtol=1e-12)
    np.testing.assert_allclose(deviation.numpy(), (plain.deviation * 1.25**0.5).numpy(), rtol=1e-12)


def test_what_neutral_speech_lacks_is_learnt_from_training_voices() -> None:
    parts, voices, emotions = [], [], []
    for voice in range(4):
        for take in range(6):
            emotion = NEUTRAL if take % 2 else "anger"
            features, real = ragged(1, seed=10 * voice + take, shift=voice + (0.0 if emotion == NEUTRAL else 6.0))
            parts.append(Moments.of(features, real))
            voices.append(f"v{voice}")
            emotions.append(emotion)
    moments = Moments.join(parts)
    _, mean, std = moments.pooled()
    found = VoicePrior.fit(mean, std, moments, voices, emotions)
    assert found.labels == ("anger", NEUTRAL)
    assert found.frames in CANDIDATES
    assert found.speakers == 4
    assert (found.shift[1] > 2).all(), "the mean over both emotions is above that over the lower one"
    assert (found.shift[0] < -2).all()
    own = [i for i, voice in enumerate(voices) if voice == "v2"]
    neutral = [i for i in own if emotions[i] == NEUTRAL]
    _, whole, _ = moments[own].pooled()
    _, part, _ = moments[neutral].pooled()
    shifts = [float(moments[[i for i in range(24) if voices[i] == f"v{v}"]].pooled()[1][0]) for v in range(4)]
    lows = [
        float(moments[[i for i in range(24) if voices[i] == f"v{v}" and emotions[i] == NEUTRAL]].pooled()[1][0])
        for v in range(4)
    ]
    assert float(found.shift[1, 0]) == pytest.approx(np.mean(np.subtract(shifts, lows)))
    assert float(whole[0]) > float(part[0])


def test_a_training_of_few_voices_or_one_emotion_keeps_the_default_weight() -> None:
    moments = Moments.of(*ragged(4))
    _, mean, std = moments.pooled()
    found = VoicePrior.fit(mean, std, moments, ["one"] * 4, ["sad"] * 4)
    assert (found.frames, found.labels) == (PRIOR_FRAMES, ())
    back = VoicePrior.from_state(mean.unsqueeze(1), std.unsqueeze(1), found.state_dict())
    assert back.statistics(None)[0].tolist() == pytest.approx(mean.tolist())


def test_each_clip_is_normalised_by_its_own_voice() -> None:
    features, real = ragged(2)
    voices = [Voice.of(Moments.of(features[:1], real[:1])), Voice.of(Moments.of(features[1:], real[1:]))]
    normalizer = Normalizer("speaker", ROWS)
    together = normalizer(features, real, prior(0.0).scale(voices))
    for i, voice in enumerate(voices):
        mean, deviation = voice.mean.float().unsqueeze(1), voice.deviation.float().unsqueeze(1)
        alone = normalizer(features[[i]], real[[i]], Scale(mean, deviation))
        torch.testing.assert_close(together[[i]], alone, rtol=1e-6, atol=1e-6)
        inside = together[i, :, : int(real[i])].double()
        torch.testing.assert_close(inside.mean(1), torch.zeros(ROWS).double(), rtol=0, atol=1e-4)
    assert not together[0, :, int(real[0]) :].any(), "padding is the mean"


def test_a_voice_is_saved_and_loaded_to_the_last_digit(tmp_path: Path) -> None:
    voice = Voice.of(Moments.of(*ragged()), {NEUTRAL: 1.0}, features={"names": ["mel"], "silence": 1.0})
    voice.save(tmp_path / "ann.json")
    back = Voice.load(tmp_path / "ann.json")
    assert torch.equal(back.mean, voice.mean)
    assert torch.equal(back.deviation, voice.deviation)
    assert (back.frames, back.clips, back.emotions, back.features) == (
        voice.frames, voice.clips, voice.emotions, voice.features,
    )  # fmt: skip


HELD = {
    "ser_voice": 1,
    "features": {},
    "clips": 1,
    "frames": 5.0,
    "emotions": {},
    "mean": [0.0, 1.0],
    "deviation": [1.0, 1.0],
}


@pytest.mark.parametrize(
    "changed",
    [
        {"ser_voice": 2}, {"frames": 0}, {"frames": "many"}, {"frames": math.inf}, {"clips": 0}, {"clips": True},
        {"mean": [0.0]}, {"mean": []}, {"mean": [math.nan, 0.0]}, {"mean": "ab"}, 
        {"deviation": [-1.0, 1.0]}, {"deviation": [[1.0], [1.0]]}, {"emotions": {"sad": 2}}, {"emotions": []},
        {"emotions": {"sad": 0.9, "happy": 0.9}}, {"features": 3}, {"mean": [10**400, 0]}, {"mean": [True, False]},
    ],
)  # fmt: skip
def test_a_broken_voice_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    file = tmp_path / "voice.json"
    file.write_text(json.dumps({**HELD, **changed}))
    with pytest.raises(VoiceError, match="voice"):
        Voice.load(file)


@given(st.binary(max_size=200) | st.sampled_from([json.dumps(HELD)[:i].encode() for i in range(0, 120, 7)]))
@settings(max_examples=60, deadline=None)
def test_any_other_file_is_refused_as_a_voice(tmp_path_factory: pytest.TempPathFactory, held: bytes) -> None:
    file = tmp_path_factory.mktemp("voices") / "voice.json"
    file.write_bytes(held)
    with pytest.raises(VoiceError):
        Voice.load(file)


def test_a_voice_of_other_rows_is_refused() -> None:
    voice = Voice(5.0, torch.zeros(2).double(), torch.ones(2).double())
    with pytest.raises(VoiceError, match="2 rows, and the features have 3"):
        prior().statistics(voice)


def test_a_single_frame_tells_no_deviation_so_the_trainings_stands_for_it() -> None:
    features, real = ragged(1)
    one = Voice.of(Moments.of(features, torch.ones_like(real)))
    mean, deviation = prior(0.0).statistics(one)
    assert torch.equal(mean, one.mean)
    assert deviation.tolist() == [2.0] * ROWS


def test_numbers_that_no_features_have_are_refused() -> None:
    for mean, deviation in ((1e300, 1.0), (0.0, 1e200)):
        voice = Voice(1e9, *(torch.full((ROWS,), value, dtype=torch.float64) for value in (mean, deviation)))
        with pytest.raises(VoiceError, match="out of all range"):
            prior(0.0).scale([voice])
    state = prior(0.0, labels=("sad",), shift=torch.zeros(1, ROWS).double(), log_ratio=torch.zeros(1, ROWS).double())
    held = state.state_dict()
    for changed in (
        {"labels": "s"}, {"labels": ["sad", "sad"]}, {"frames": -1.0}, {"shift": torch.zeros(2, ROWS)},
        {"log_ratio": torch.full((1, ROWS), 1e4)}, {"shift": torch.full((1, ROWS), math.nan)}, {"shift": 3},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"voice"):
            VoicePrior.from_state(torch.zeros(ROWS, 1), torch.ones(ROWS, 1), {**held, **changed})
