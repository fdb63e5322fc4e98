from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ser.models import NETWORKS, Batch, EmotionNetwork, ShapeError

LEAST = {
    "cnn1d": (49,),
    "wide1d": (49,),
    "cnn2d": (46, 46),
    "paper2d": (45, 55),
    "paper2d_original": (49, 69),
}
"""What the chains of valid convolutions and poolings leave exactly 1 of."""

CHAINS = tuple(LEAST)
"""Of valid convolutions and poolings, and so with a least input; the others have tests of their own."""


def least_shape(name: str) -> tuple[int, ...]:
    return (1, 2, 128, 3) if NETWORKS[name].dimensions == 3 else (1, *LEAST.get(name, (46, 46)))


def make(name: str, shape: Sequence[int] | None = None, classes: int = 6, **options: Any) -> EmotionNetwork:
    torch.manual_seed(0)
    return NETWORKS[name](shape or least_shape(name), classes, **options)


def trainable(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def running(network: nn.Module) -> int:
    return sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "parameters", "statistics"),
    [
        ("cnn1d", (1, 157), 6, 28_166, 0),
        ("cnn1d", (1, 314), 6, 58_886, 0),
        ("cnn1d", (1, 471), 6, 88_070, 0),
        ("wide1d", (1, 314), 6, 446_470, 128),
        ("cnn2d", (1, 128, 157), 6, 951_718, 208),
        ("paper2d", (1, 128, 157), 6, 897_350, 0),
        ("paper2d_original", (1, 200, 300), 4, 906_820, 0),
    ],
)
def test_every_network_has_the_published_number_of_parameters(
    name: str, shape: tuple[int, ...], classes: int, parameters: int, statistics: int
) -> None:
    network = make(name, shape, classes)
    assert trainable(network) == parameters
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert running(network) == statistics


SHAPES: dict[str, tuple[tuple[int, ...], int, list[tuple[int, ...]]]] = {
    # Lengths: 157 - 11 = 146, halved 73; - 7 = 66, halved 33; - 4 = 29, halved 14.
    "cnn1d": ((1, 157), 6, [(16, 146), (16, 73), (24, 66), (24, 33), (24, 29), (24, 14), (336,), (64,), (6,)]),
    # 314 - 11 = 303, halved 151; - 7 = 144, halved 72; - 4 = 68, halved 34.
    "wide1d": ((1, 314), 6, [(256, 303), (256, 151), (128, 144), (128, 72), (64, 68), (64, 34), (2176,), (64,), (6,)]),
    # Every convolution takes 6 off both axes.
    "cnn2d": (
        (1, 128, 157),
        6,
        [(16, 122, 151), (16, 61, 75), (24, 55, 69), (24, 27, 34), (24, 21, 28), (14112,), (64,), (6,)],
    ),
    # 12×6 takes 11 and 5 off, 8×12 takes 7 and 11, 5×7 takes 4 and 6.
    "paper2d": (
        (1, 128, 157),
        6,
        [(16, 117, 152), (16, 58, 76), (24, 51, 65), (24, 25, 32), (24, 21, 26), (13104,), (64,), (6,)],
    ),
    # The first kernel is 12×16 here, and a third pooling follows.
    "paper2d_original": (
        (1, 200, 300),
        4,
        [
            (16, 189, 285),
            (16, 94, 142),
            (24, 87, 131),
            (24, 43, 65),
            (24, 39, 59),
            (24, 19, 29),
            (13224,),
            (64,),
            (4,),
        ],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_every_layer_gives_the_shape_that_was_worked_out_by_hand(name: str) -> None:
    shape, classes, expected = SHAPES[name]
    network = make(name, shape, classes).eval()
    seen: list[tuple[int, ...]] = []
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Flatten | nn.Linear):
            layer.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape[1:])))
    with torch.no_grad():
        assert network(torch.randn(3, *shape)).shape == (3, classes)
    if NETWORKS[name].dimensions == 1:  # one row
        assert all(size[1] == 1 for size in seen if len(size) == 3)
        seen = [(size[0], size[2]) if len(size) == 3 else size for size in seen]
    assert seen == expected


@pytest.mark.parametrize("name", CHAINS)
def test_the_least_input_works(name: str) -> None:
    network = make(name).eval()
    with torch.no_grad():
        assert network(torch.randn(2, *least_shape(name))).isfinite().all()
    flat = next(layer for layer in network.layers if isinstance(layer, nn.Linear)).in_features
    assert flat == (64 if name == "wide1d" else 24), "one place of each channel is left"


@pytest.mark.parametrize(("name", "axis"), [(name, axis) for name in CHAINS for axis in range(len(LEAST[name]))])
def test_one_less_than_the_least_input_is_refused_on_each_axis(name: str, axis: int) -> None:
    shape = list(least_shape(name))
    shape[axis + 1] -= 1
    with pytest.raises(ShapeError, match=rf"needs at least {LEAST[name][axis]} .*have {shape[axis + 1]}\b"):
        make(name, shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_input_of_another_dimension_is_refused(name: str) -> None:
    other = (1, 200, 300) if NETWORKS[name].dimensions == 1 else (1, 300)
    with pytest.raises(ShapeError, match=f"reads {NETWORKS[name].dimensions}D features"):
        make(name, other)


def first_relu(layers: nn.Sequential) -> list[nn.Module]:
    """The same layers, with every ReLU that follows a pooling put before it."""
    swapped = list(layers)
    for i, (layer, following) in enumerate(pairwise(layers)):
        if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d) and isinstance(following, nn.ReLU):
            swapped[i], swapped[i + 1] = following, layer
    return swapped


@pytest.mark.parametrize("name", CHAINS)
def test_pooling_before_relu_gives_exactly_what_relu_before_pooling_gives(name: str) -> None:
    shape = (1, 80) if NETWORKS[name].dimensions == 1 else (1, 60, 80)
    network = make(name, shape).eval()
    swapped = first_relu(network.layers)
    assert [type(layer) for layer in swapped] != [type(layer) for layer in network.layers]
    inputs = torch.randn(4, *shape)
    with torch.no_grad():
        expected = network(inputs)
        network.layers = nn.Sequential(*swapped)
        assert torch.equal(network(inputs), expected)


@pytest.mark.parametrize("name", CHAINS)
def test_weights_start_glorot_uniform_and_biases_at_zero(name: str) -> None:
    network = make(name, SHAPES[name][0])
    weighted = [layer for layer in network.layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 5
    for layer in weighted:
        field = layer.weight[0, 0].numel() if layer.weight.ndim > 2 else 1
        bound = (6 / (field * (layer.weight.shape[0] + layer.weight.shape[1]))) ** 0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.9 * bound
        # A uniform distribution's deviation; the allowance is four standard errors and more.
        assert layer.weight.std().item() == pytest.approx(
            bound / 3**0.5, rel=max(0.02, 3 / layer.weight.numel() ** 0.5)
        )
        assert layer.bias is not None
        assert not layer.bias.any()


@pytest.mark.parametrize(("name", "norms"), [("wide1d", 1), ("cnn2d", 3)])
def test_batch_norms_have_the_numbers_of_keras(name: str, norms: int) -> None:
    found = [layer for layer in make(name).modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(found) == norms
    assert {(layer.eps, layer.momentum) for layer in found} == {(1e-3, 0.01)}


@pytest.mark.parametrize("name", ["cnn1d", "paper2d", "paper2d_original"])
def test_the_other_networks_have_no_batch_norm(name: str) -> None:
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in make(name).modules())


@pytest.mark.parametrize(
    ("name", "probability"), [("wide1d", 0.5), *((name, 0.2) for name in CHAINS if name != "wide1d")]
)
def test_dropout_is_the_reports_unless_told_otherwise(name: str, probability: float) -> None:
    assert [layer.p for layer in make(name).modules() if isinstance(layer, nn.Dropout)] == [probability]
    assert [layer.p for layer in make(name, dropout=0.7).modules() if isinstance(layer, nn.Dropout)] == [0.7]


def test_adam_has_the_epsilon_of_keras_and_what_the_options_say() -> None:
    optimizer = make("cnn1d", learning_rate=3e-4, weight_decay=0.1).configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [(group["eps"], group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [
        (1e-7, 3e-4, 0.1)
    ]


def test_without_decay_a_step_is_adams_by_its_published_formula() -> None:
    network = make("cnn1d", learning_rate=1e-3)
    weight = network.layers[0].weight
    assert isinstance(weight, nn.Parameter)
    before = weight.detach().clone()
    optimizer = network.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    F.cross_entropy(network(torch.randn(8, 1, 49)), torch.arange(8) % 6).backward()
    gradient = weight.grad
    assert gradient is not None
    optimizer.step()
    # After the first step both moments are the gradient's own, so Adam goes by its sign, but for epsilon.
    expected = before - 1e-3 * gradient / (gradient.abs() + 1e-7)
    torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-7)


class LearningRates(Callback):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def join(batches: list[Batch]) -> Batch:
    return batches[0]


def rates_of_training(network: EmotionNetwork, epochs: int, steps: int) -> list[float]:
    batch = Batch(torch.randn(4, *least_shape("cnn1d")), torch.arange(4), torch.arange(4))
    recorder = LearningRates()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[recorder],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(network, DataLoader([batch] * steps, batch_size=1, collate_fn=join))  # type: ignore[arg-type]
    return recorder.rates


def test_a_constant_schedule_never_changes_the_learning_rate() -> None:
    assert rates_of_training(make("cnn1d", learning_rate=2e-3), epochs=2, steps=5) == [2e-3] * 10


def test_onecycle_rises_and_falls_once_over_the_whole_training() -> None:
    rates = rates_of_training(make("cnn1d", learning_rate=2e-3, schedule="onecycle"), epochs=4, steps=5)
    assert len(rates) == 20
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert max(rates) == pytest.approx(2e-3)
    top = rates.index(max(rates))
    assert top == 5, "the top lies at 30 % of the 20 steps"
    assert all(later > earlier for earlier, later in pairwise(rates[: top + 1]))
    assert all(later < earlier for earlier, later in pairwise(rates[top:]))
    assert rates[-1] == pytest.approx(2e-3 / 25 / 1e4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "cosine"}, "model.schedule='cosine' must be one of constant, onecycle"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 must lie between 0 and 1"),
        ({"label_smoothing": -0.1}, "label_smoothing=-0.1 must lie between 0 and 1"),
        ({"learning_rate": -1.0}, "model.learning_rate=-1.0 must be 0 or more"),
        ({"weight_decay": -1.0}, "model.weight_decay=-1.0 must be 0 or more"),
        ({"classes": 1}, "num_classes=1: there must be at least two emotions"),
    ],
)
def test_a_number_out_of_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("cnn1d", **options)


@pytest.mark.parametrize("dropout", [-0.1, 1.5])
def test_a_dropout_that_is_no_probability_is_refused(dropout: float) -> None:
    with pytest.raises(ValueError, match="dropout"):
        make("cnn1d", dropout=dropout)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_a_handful_of_clips_by_heart(name: str) -> None:
    shape = least_shape(name)
    network = make(name, shape, dropout=0.0, learning_rate=3e-3)
    optimizer = network.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    inputs, targets = torch.randn(12, *shape), torch.arange(12) % 6
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert torch.equal(network(inputs).argmax(1), targets)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_clips_logits_do_not_depend_on_the_clips_beside_it(name: str) -> None:
    network = make(name).eval()
    inputs: Tensor = torch.randn(5, *least_shape(name))
    with torch.no_grad():
        torch.testing.assert_close(network(inputs)[2:3], network(inputs[2:3]), rtol=1e-4, atol=1e-5)


def test_label_smoothing_raises_the_training_loss_of_sure_answers_and_leaves_validation_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make("cnn1d", classes=3, label_smoothing=0.3).eval()
    logits = torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    monkeypatch.setattr(network, "forward", lambda logits, lengths: logits)
    batch = Batch(logits, torch.tensor([0, 1]), torch.arange(2))
    plain = -torch.tensor([4.0, 0.0, 0.0]).log_softmax(0)
    assert network.training_step(batch).item() == pytest.approx((0.7 * plain[0] + 0.3 * plain.mean()).item(), rel=1e-6)
    network.validation_step(batch)
    assert network.val_loss.compute() == pytest.approx(plain[0].item(), rel=1e-6)
    assert torch.equal(network.test_step(batch)["logits"], logits)


def test_the_loss_is_against_soft_targets_where_there_are_any_and_reads_real_frames() -> None:
    network = make("cnn1d", classes=3, label_smoothing=0.3).eval()
    inputs, targets, lengths = torch.randn(2, *least_shape("cnn1d")), torch.tensor([0, 1]), torch.tensor([3, 4])
    soft = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    logits = network(inputs)
    for given, wanted in ((None, targets), (soft, soft)):
        batch = Batch(inputs, targets, torch.arange(2), given, lengths)
        expected = F.cross_entropy(logits, wanted, label_smoothing=0.3)
        assert torch.equal(network.loss(batch), expected)
        assert torch.equal(network.loss(batch, logits), expected)
