from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ser.checkpoint import CheckpointFiles
from ser.config import compose_words
from ser.errors import UserError
from ser.evaluation import read_answers
from ser.features import FeatureConfig, Frontend
from ser.models.ensemble import Ensemble
from ser.models.seresnet import AttentiveStatistics, BiGRU, SeResNet, at_speed
from ser.recognizer import Recognizer
from ser.train import run
from tests.helpers import DEVICES, struck_down


def make(rows: int = 64, frames: int = 100, **options: Any) -> SeResNet:
    torch.manual_seed(0)
    return SeResNet((1, rows, frames), 6, **options).eval()


def moved(network: SeResNet) -> SeResNet:
    """The same, after a step of training has moved its statistics, so that zeros don't stay zeros by chance."""
    network.train()
    with torch.no_grad():
        for _ in range(5):
            network(3 + 2 * torch.randn(8, 1, 64, 100))
    return network.eval()


def test_it_has_the_parameters_that_its_docstring_says() -> None:
    assert sum(parameter.numel() for parameter in make().parameters()) == 572_419
    assert "572,419" in (SeResNet.__doc__ or "")
    assert sum(parameter.numel() for parameter in make(recurrent=0).parameters()) == 478_467


def test_the_weights_do_not_depend_on_the_frames() -> None:
    assert [weight.shape for weight in make(frames=3).parameters()] == [weight.shape for weight in make().parameters()]


@pytest.mark.parametrize("recurrent", [0, 64])
@pytest.mark.parametrize("frames", [1, 7, 8, 9, 63, 100])
def test_padding_changes_no_answer(frames: int, recurrent: int) -> None:
    network = moved(make(recurrent=recurrent))
    inputs, lengths = torch.randn(3, 1, 64, frames), torch.full((3,), frames)
    with torch.no_grad():
        alone = network(inputs)
        for padding in (1, 5, 8, 90):
            for value in (0.0, -80.0):
                padded = F.pad(inputs, (0, padding), value=value)
                torch.testing.assert_close(network(padded, lengths), alone, rtol=1e-4, atol=1e-5)


def test_clips_of_several_lengths_in_a_batch_are_answered_as_alone() -> None:
    network = moved(make())
    lengths = [100, 37, 8, 1]
    inputs = torch.randn(4, 1, 64, 100) * (torch.arange(100) < torch.tensor(lengths).view(-1, 1, 1, 1))
    with torch.no_grad():
        together = network(inputs, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            alone = network(inputs[row : row + 1, :, :, :length])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_step_reaches_every_weight_in_either_precision(device: str, precision: torch.dtype) -> None:
    network = make().train().to(device)
    inputs = torch.randn(4, 1, 64, 100, device=device)
    seen: list[torch.dtype] = []
    hook = network.layers[1].register_forward_hook(lambda _layer, _inputs, outputs: seen.append(outputs[0].dtype))
    with torch.autocast(device, precision, enabled=precision != torch.float32):
        loss = F.cross_entropy(network(inputs).float(), torch.arange(4, device=device))
    loss.backward()
    hook.remove()
    assert seen == [torch.float32], "the recurrent layer never runs in half precision"
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def test_silence_within_a_clip_is_part_of_it() -> None:
    network = moved(make())
    inputs = torch.randn(1, 1, 64, 80)
    inputs[..., 30:60] = 0
    without = torch.cat([inputs[..., :30], inputs[..., 60:]], 3)
    with torch.no_grad():
        assert not torch.allclose(network(inputs), network(without), atol=1e-3)


def test_a_clip_of_nothing_but_zeros_is_answered() -> None:
    with torch.no_grad():
        assert moved(make())(torch.zeros(2, 1, 64, 50)).isfinite().all()


def test_features_that_are_not_normalised_are_answered_whatever_their_padding() -> None:
    config = FeatureConfig(n_mels=64, normalize="none")
    network, samples = moved(make()), 0.1 * torch.randn(2, 16_000)
    lengths = torch.tensor([9_000, 16_000])
    samples[0, 9_000:] = 0
    with torch.no_grad():
        answers = []
        for length in (16_000, 40_000):
            frontend = Frontend(config, length)
            inputs = frontend(F.pad(samples, (0, length - 16_000)), lengths)
            answers.append(network(inputs, frontend.real_frames(lengths)))
            assert inputs[0, 0, :, -1].eq(-80).all(), "padding is not 0"
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


def test_weights_of_earlier_versions_are_read_with_an_ensembles_too() -> None:
    network = make()
    old = {
        name.replace(".shortcut.", ".past.").replace(".projection.", ".vector."): value
        for name, value in network.state_dict().items()
    }
    assert sum(name not in network.state_dict() for name in old) == 4 * 6 + 2
    other = SeResNet((1, 64, 100), 6)
    other.load_state_dict(old)
    inputs = torch.randn(2, 1, 64, 50)
    with torch.no_grad():
        assert torch.equal(other.eval()(inputs), network(inputs))
        member = {"network": "SeResNet", "hyper_parameters": dict(network.hparams), "temperature": 1.0}
        ensemble = Ensemble((1, 64, 100), 6, [member]).eval()
        ensemble.load_state_dict({f"members.0.{name}": value for name, value in old.items()})
        torch.testing.assert_close(ensemble(inputs).softmax(1), network(inputs).softmax(1))


@pytest.mark.parametrize("rows", [1, 2, 13, 128])
def test_any_number_of_rows_will_do(rows: int) -> None:
    with torch.no_grad():
        assert make(rows)(torch.randn(2, 1, rows, 9)).shape == (2, 6)


def test_attention_weighs_mean_and_deviation() -> None:
    torch.manual_seed(0)
    pooling = AttentiveStatistics(3)
    columns = torch.randn(2, 5, 3)
    real = torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).unsqueeze(2)
    with torch.no_grad():
        found = pooling((columns, real))
        for clip, length in enumerate((5, 3)):
            weight = pooling.score(columns[clip, :length]).softmax(0)
            mean = (weight * columns[clip, :length]).sum(0)
            deviation = ((weight * columns[clip, :length] ** 2).sum(0) - mean**2).sqrt()
            torch.testing.assert_close(found[clip], torch.cat([mean, deviation]), rtol=1e-4, atol=1e-5)


def test_the_recurrent_layer_is_torchs_own_over_the_real_columns() -> None:
    torch.manual_seed(0)
    ours, oracle = BiGRU(4, 3), nn.GRU(4, 3, batch_first=True, bidirectional=True)
    state = dict(ours.forwards.state_dict().items())
    state |= {f"{name}_reverse": value for name, value in ours.backwards.state_dict().items()}
    oracle.load_state_dict(state)
    columns, lengths = torch.randn(3, 6, 4), torch.tensor([6, 2, 1])
    real = (torch.arange(6) < lengths.unsqueeze(1)).float().unsqueeze(2)
    packed = nn.utils.rnn.pack_padded_sequence(columns, lengths, batch_first=True)
    expected: Tensor = nn.utils.rnn.pad_packed_sequence(oracle(packed)[0], batch_first=True)[0]
    torch.testing.assert_close(ours((columns, real))[0] * real, expected)


@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_the_experiment_goes_on_where_it_was_stopped_and_answers_by_the_average_of_its_weights(
    corpus: Path, tmp_path: Path
) -> None:
    cfg = compose_words([
        "experiment=seresnet", "dataset=folder", f"dataset.root={corpus}", "split.val=0.2",
        "datamodule.batch_size=8", "augment.spec.crop_frames=20", "trainer.max_epochs=3", "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false", "trainer.precision=32-true",
    ])  # fmt: skip
    unbroken = run(cfg, tmp_path / "whole", ["python", "train.py"])
    with struck_down(epoch=2):
        run(cfg, tmp_path / "run", ["python", "train.py"])
    resumed = run(cfg, tmp_path / "run", ["python", "train.py"])
    assert resumed["test"] == unbroken["test"]
    assert resumed["checkpoint"]["tested"] == "last"
    whole, again = (
        CheckpointFiles().load_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "run")
    )
    for state in ("state_dict", "current_model_state", "averaging_state"):
        torch.testing.assert_close(whole[state], again[state], rtol=0, atol=0)
    apart = [(value - again["current_model_state"][name]).abs().max() for name, value in again["state_dict"].items()]
    assert max(apart) > 1e-4, "the average is not the last step's"
    answers = read_answers(tmp_path / "run/predictions.csv")
    recognizer = Recognizer.load(tmp_path / "run/checkpoints/last.ckpt")
    for clip, expected in zip(answers.clips[:4], answers.probabilities[:4], strict=True):
        assert list(recognizer(corpus / clip).values()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("speed", [0.7, 0.9, 1.0, 1.15, 2.0])
def test_a_clip_is_played_at_another_speed_as_numpy_interpolates_it(speed: float) -> None:
    lengths = torch.tensor([60, 37, 8, 1, 0])
    images = torch.randn(5, 1, 3, 60) * (torch.arange(60) < lengths.view(-1, 1, 1, 1))
    played, real = at_speed(images, lengths, speed)
    for clip, length in enumerate(lengths.tolist()):
        own = int(real[clip])
        assert own == (int((length - 1) / speed + 1e-9) + 1 if length else 0)
        assert not played[clip, :, :, own:].any()
        for row in range(3):
            expected = np.interp(np.arange(own) * speed, np.arange(60), images[clip, 0, row].numpy())
            np.testing.assert_allclose(played[clip, 0, row, :own].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_several_speeds_answer_with_the_mean_of_their_log_probabilities_whatever_the_padding() -> None:
    network = moved(make(speeds=[0.9, 1.0, 1.1]))
    lengths = torch.tensor([60, 37, 9, 1])
    inputs = torch.randn(4, 1, 64, 60) * (torch.arange(60) < lengths.view(-1, 1, 1, 1))
    with torch.no_grad():
        answers = network(inputs, lengths)
        padded = network(F.pad(inputs, (0, 41)), lengths)
        network.speeds = (1.0,)
        each = [network(*at_speed(inputs, lengths, speed)).log_softmax(1) for speed in (0.9, 1.0, 1.1)]
    torch.testing.assert_close(answers, torch.stack(each).mean(0))
    torch.testing.assert_close(padded, answers, rtol=1e-4, atol=1e-5)


def test_training_reads_a_clip_once_and_as_it_is() -> None:
    inputs, lengths = torch.randn(4, 1, 64, 60), torch.tensor([60, 37, 9, 1])
    found = []
    for speeds in ([1.0], [0.9, 1.1]):
        network = make(speeds=speeds, dropout=0.0).train()
        found.append(network(inputs, lengths))
    assert found[0].equal(found[1])


@pytest.mark.parametrize("speeds", [[], [0.0], [1.0, float("nan")], [3.0]])
def test_speeds_that_cannot_be_played_are_refused(speeds: list[float]) -> None:
    with pytest.raises(UserError, match=r"model\.speeds=.*between 0\.5 and 2"):
        make(speeds=speeds)
