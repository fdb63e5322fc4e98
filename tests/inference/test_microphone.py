import builtins
import importlib
import io
import signal
import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

import ser.inference.microphone
from ser.data.audio import Recording, from_samples
from ser.errors import UserError
from ser.inference.microphone import Microphone, listen
from ser.inference.timeline import Listener

RATE = 8_000


class PortAudioError(Exception):
    pass


class Status:
    def __init__(self, input_overflow: bool = False) -> None:
        self.input_overflow = input_overflow


class Device(types.ModuleType):
    """A sounddevice module with one input device, which plays what a test gives it."""

    PortAudioError = PortAudioError
    opened: ClassVar[list[dict[str, Any]]]

    def __init__(self, rates: tuple[int, ...] = (RATE,), own_rate: float = 48_000.0) -> None:
        super().__init__("sounddevice")
        self.rates, self.own_rate = rates, own_rate
        self.options: dict[str, Any] = {}
        self.running = False
        self.refuses: str | None = None

    def query_devices(self, kind: str) -> dict[str, Any]:
        assert kind == "input"
        return {"index": 3, "name": "a microphone", "default_samplerate": self.own_rate}

    def check_input_settings(self, **options: Any) -> None:
        assert (options["device"], options["channels"], options["dtype"]) == (3, 1, "float32")
        if options["samplerate"] not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def InputStream(self, **options: Any) -> "Device":  # noqa: N802
        if self.refuses:
            raise PortAudioError(self.refuses)
        self.options = options
        return self

    def start(self) -> None:
        self.running = True

    def close(self) -> None:
        self.running = False

    def send(self, samples: NDArray[np.float32], overflow: bool = False) -> None:
        """As PortAudio does: one memory for all blocks."""
        size = self.options["blocksize"]
        memory = np.empty((size, 1), np.float32)
        for start in range(0, len(samples), size):
            block = samples[start : start + size]
            memory[: len(block), 0] = block
            self.options["callback"](memory[: len(block)], len(block), None, Status(overflow and start == 0))


class ByLoudness:
    labels: ClassVar[list[str]] = ["quiet", "[loud]"]
    prior = None
    sample_rate = RATE
    seconds = 4.0

    def probabilities(self, recordings: list[Recording], voices: None) -> torch.Tensor:
        loud = torch.tensor([float(np.abs(recording.samples).max()) for recording in recordings])
        return torch.stack([1 - loud, loud], dim=1)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    return device


def tone(seconds: float, loud: float, rate: int = RATE) -> NDArray[np.float32]:
    return (loud * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_a_device_is_read_at_the_rate_that_is_wanted(device: Device) -> None:
    sound = tone(0.5, 0.3)
    with Microphone(RATE) as microphone:
        assert device.running
        assert (device.options["samplerate"], device.options["blocksize"]) == (RATE, RATE // 10)
        device.send(sound)
        heard = np.concatenate([microphone.read() for _ in range(5)])
    np.testing.assert_array_equal(heard, sound)
    assert microphone.lost == 0
    assert not device.running


def test_a_device_that_cannot_is_read_at_its_own_rate_and_resampled(device: Device) -> None:
    device.rates = (48_000,)
    sound = tone(1, 0.3, 48_000)
    with Microphone(RATE) as microphone:
        assert (device.options["samplerate"], device.options["blocksize"]) == (48_000, 4_800)
        device.send(sound)
        heard = np.concatenate([microphone.read() for _ in range(10)])
    assert RATE - 100 < len(heard) <= RATE
    expected = from_samples(sound, 48_000, RATE).samples[: len(heard)]
    np.testing.assert_allclose(heard, expected, atol=1e-6)


def test_the_device_is_closed_whatever_happens(device: Device) -> None:
    with pytest.raises(ZeroDivisionError), Microphone(RATE):
        raise ZeroDivisionError
    assert not device.running


def test_lost_sound_is_counted(device: Device) -> None:
    with Microphone(RATE) as microphone:
        device.send(tone(0.2, 0.3), overflow=True)
        assert microphone.lost == 1
        device.send(tone(10, 0.3))
        assert microphone.lost == 3, "ten seconds wait, the rest does not"
        microphone.read()
        device.send(tone(0.1, 0.3))
        assert microphone.lost == 3


def test_a_device_that_falls_silent_for_good_is_told(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ser.inference.microphone, "PATIENCE_SECONDS", 0.01)
    with Microphone(RATE) as microphone, pytest.raises(UserError, match=r"sent nothing for .* still connected"):
        microphone.read()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r'the microphone needs sounddevice: pip install -e "\.\[microphone\]"'):
        Microphone(RATE)


def test_without_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> types.ModuleType:
        assert name == "sounddevice"
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(UserError, match=r"PortAudio library not found; install it.*libportaudio2"):
        Microphone(RATE)


@pytest.mark.parametrize("error", [PortAudioError("Error querying device -1"), ValueError("Not an input device")])
def test_without_a_device(device: Device, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def none(kind: str) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(device, "query_devices", none)
    with pytest.raises(UserError, match=f"no microphone is found: {error}; connect one"):
        Microphone(RATE)


def test_a_device_that_is_taken(device: Device) -> None:
    device.refuses = "Device unavailable"
    with pytest.raises(UserError, match=r"the microphone 'a microphone' can't be opened: Device unavailable"):
        Microphone(RATE)


def test_the_module_needs_no_library_before_a_microphone_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        assert name != "sounddevice"
        return genuine(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    importlib.reload(ser.inference.microphone)


class Screens(Console):
    """What is on screen after each block."""

    def __init__(self) -> None:
        super().__init__(width=100, file=io.StringIO(), force_terminal=True, color_system=None)


@pytest.fixture
def show(device: Device) -> Callable[..., tuple[list[str], Listener]]:
    """``show(sound, least=0.0, overflow=False)`` → what is on screen after each tenth of a second, and the listener."""

    def run(sound: NDArray[np.float32], least: float = 0.0, overflow: bool = False) -> tuple[list[str], Listener]:
        screens: list[str] = []
        listener = Listener(ByLoudness(), "the microphone", batch_size=1)
        console = Screens()
        with Microphone(RATE) as microphone:
            blocks = iter(np.array_split(sound, round(len(sound) / RATE * 10)))
            read = microphone.read

            def next_block() -> NDArray[np.float32]:
                screens.append(console.file.getvalue())
                console.file.truncate(0)
                console.file.seek(0)
                if (block := next(blocks, None)) is None:
                    signal.raise_signal(signal.SIGINT)
                    return np.empty(0, np.float32)
                device.send(block, overflow and len(screens) == 1)
                return read()

            microphone.read = next_block
            listen(microphone, listener, console, least)
        return screens[1:], listener

    return run


def test_every_hop_has_an_answer(show: Callable[..., tuple[list[str], Listener]]) -> None:
    screens, listener = show(np.concatenate([tone(4, 0.8), tone(4, 0.3), np.zeros(3 * RATE, np.float32)]))
    assert len(screens) == 110
    assert "listening: the first answer comes after 3.0 s" in screens[28]
    assert "-5 dB" in screens[28]
    assert "0.0 s to 3.0 s: [loud]" in screens[29]
    assert "0.800" in screens[29]
    assert "0.0 s to 3.0 s" in screens[38]
    assert "1.0 s to 4.0 s: [loud]" in screens[39]
    assert "4.0 s to 7.0 s: quiet" in screens[69]
    assert "0.700" in screens[69]
    assert "7.0 s to 10.0 s: silence" in screens[99]
    assert "-120 dB" in screens[99]
    assert "0.700" not in screens[99]
    assert not any("sound was lost" in screen for screen in screens)
    timeline = listener.finish()
    assert [(segment.end, segment.emotion) for segment in timeline.segments()] == [
        (5, "[loud]"), (8, "quiet"), (11, "silence")
    ]  # fmt: skip


def test_ctrl_c_leaves_the_handler_as_it_was(show: Callable[..., tuple[list[str], Listener]]) -> None:
    before = signal.getsignal(signal.SIGINT)
    show(tone(0.3, 0.5))
    assert signal.getsignal(signal.SIGINT) is before


def test_lost_sound_and_doubt_are_told(show: Callable[..., tuple[list[str], Listener]]) -> None:
    screens, _ = show(tone(3, 0.4), least=0.7, overflow=True)
    assert "0.0 s to 3.0 s: –" in screens[29]
    assert "sound was lost 1 times" in screens[0]
