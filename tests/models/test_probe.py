from typing import Any

import pytest
import torch
from torch import nn

from ser.errors import UserError
from ser.models.probe import LayerSum, Probe, Tuned
from tests.helpers import TINY_WAV2VEC2


def tuned(**options: Any) -> Probe:
    torch.manual_seed(0)
    pretrained = {"kind": "Wav2Vec2", "params": TINY_WAV2VEC2, "normalize_waveform": False}
    return Probe((1, 2, 16, 3), 6, pretrained=pretrained, **options)


def test_layers_are_weighed_by_a_softmax() -> None:
    layers = LayerSum(3)
    states = torch.randn(5, 1, 2, 4, 3)
    torch.testing.assert_close(layers(states), states.mean(4))
    layers.scores.data = torch.tensor([0.0, 1.0, -2.0])
    weights = torch.tensor([1.0, 2.718281828, 0.135335283])
    expected = (states * weights / weights.sum()).sum(4)
    torch.testing.assert_close(layers(states), expected)


def test_a_probe_is_linear_in_what_it_reads() -> None:
    torch.manual_seed(0)
    probe = Probe((1, 2, 16, 3), 6).eval()
    one, other = torch.randn(2, 4, 1, 2, 16, 3)
    with torch.no_grad():
        torch.testing.assert_close(probe((one + other) / 2), (probe(one) + probe(other)) / 2)


def test_it_has_the_parameters_that_its_docstring_says() -> None:
    assert sum(weight.numel() for weight in Probe((1, 2, 768, 12), 6).parameters()) == 9_234
    assert "9,234" in (Probe.__doc__ or "")


def test_layers_that_are_concatenated_have_weights_of_their_own() -> None:
    torch.manual_seed(0)
    probe = Probe((1, 2, 16, 3), 6, combine="concatenate").eval()
    states = torch.randn(4, 1, 2, 16, 3)
    (dense,) = (layer for layer in probe.layers if isinstance(layer, nn.Linear))
    with torch.no_grad():
        torch.testing.assert_close(probe(states), states.flatten(1) @ dense.weight.T + dense.bias)
    assert dense.in_features == 2 * 16 * 3


def test_a_hidden_layer_comes_between() -> None:
    probe = Probe((1, 2, 16, 3), 6, hidden=10)
    shapes = [(layer.in_features, layer.out_features) for layer in probe.layers if isinstance(layer, nn.Linear)]
    assert shapes == [(32, 10), (10, 6)]


def test_the_pretrained_network_learns_at_its_own_rate_and_its_convolutions_not_at_all() -> None:
    probe = tuned(learning_rate=1e-2, pretrained_learning_rate=1e-4)
    optimizer = probe.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    head, body = optimizer.param_groups
    assert (head["lr"], body["lr"]) == (1e-2, 1e-4)
    assert len(head["params"]) == 3
    assert probe.states is not None
    assert {id(w) for w in body["params"]} == {id(w) for w in probe.states.model.encoder.parameters()}


def test_hidden_states_that_are_tuned_have_mean_0_and_deviation_1_and_no_padding_in_them() -> None:
    probe = tuned().eval()
    first = probe.layers[0]
    assert isinstance(first, Tuned)
    samples = 0.1 * torch.randn(2, 3_000)
    with torch.no_grad():
        states = first(samples)
        padded = probe(torch.cat([samples, torch.zeros(2, 1_000)], 1), torch.tensor([3_000, 3_000]))
        torch.testing.assert_close(padded, probe(samples), rtol=1e-4, atol=1e-5)
    assert states.shape == (2, 1, 2, 16, 3)
    torch.testing.assert_close(states.mean(3), torch.zeros(2, 1, 2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(states.var(3, correction=0), torch.ones(2, 1, 2, 3), atol=1e-2, rtol=0)


def test_zeros_at_the_end_of_a_clip_are_part_of_it() -> None:
    probe = tuned().eval()
    inputs = 0.1 * torch.randn(1, 3_000)
    inputs[:, 2_000:] = 0
    with torch.no_grad():
        assert not torch.allclose(probe(inputs), probe(inputs, torch.tensor([2_000])), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"combine": "mean"}, "must be sum or concatenate"),
        ({"hidden": -1}, "hidden=-1 must be 0 or more"),
        ({"pretrained_learning_rate": 0.0}, "must be above 0"),
    ],
)
def test_a_number_out_of_its_range_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Probe((1, 2, 16, 3), 6, **options)
