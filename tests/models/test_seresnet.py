from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ser.checkpoint import read_lightning
from ser.config import compose_words
from ser.evaluation import read_answers
from ser.models.seresnet import AttentiveStatistics, BothWays, SeResNet
from ser.recognizer import Recognizer
from ser.train import run
from tests.helpers import DEVICES, struck_down


def make(rows: int = 64, frames: int = 100, **options: int) -> SeResNet:
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
    inputs = torch.randn(3, 1, 64, frames)
    with torch.no_grad():
        alone = network(inputs)
        for padding in (1, 5, 8, 90):
            torch.testing.assert_close(network(F.pad(inputs, (0, padding))), alone, rtol=1e-4, atol=1e-5)


def test_clips_of_several_lengths_in_a_batch_are_answered_as_alone() -> None:
    network = moved(make())
    lengths = [100, 37, 8, 1]
    inputs = torch.randn(4, 1, 64, 100) * (torch.arange(100) < torch.tensor(lengths).view(-1, 1, 1, 1))
    with torch.no_grad():
        together = network(inputs)
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
    ours, oracle = BothWays(4, 3), nn.GRU(4, 3, batch_first=True, bidirectional=True)
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
    whole, again = (read_lightning(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "run"))
    for state in ("state_dict", "current_model_state", "averaging_state"):
        torch.testing.assert_close(whole[state], again[state], rtol=0, atol=0)
    apart = [(value - again["current_model_state"][name]).abs().max() for name, value in again["state_dict"].items()]
    assert max(apart) > 1e-4, "the average is not the last step's"
    answers = read_answers(tmp_path / "run/predictions.csv")
    recognizer = Recognizer.load(tmp_path / "run/checkpoints/last.ckpt")
    for clip, expected in zip(answers.clips[:4], answers.probabilities[:4], strict=True):
        assert list(recognizer(corpus / clip).values()) == pytest.approx(expected, abs=1e-4)
