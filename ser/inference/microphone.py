"""Live answers: the sound of a microphone, and a display of the emotion in it."""

import importlib
import signal
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from ser.data.audio import BlockResampler
from ser.errors import UserError, escape
from ser.inference.timeline import FRAMES, QUIETEST_DB, SILENCE, Listener

PATIENCE_SECONDS = 5.0
"""Seconds without sound after which a microphone counts as disconnected."""

WAITING_SECONDS = 10
"""Seconds of sound that may wait for the network; more is lost."""


class Microphone:
    """Reads the default input device, in blocks of a tenth of a second at the wanted rate.

    A device that can't give that rate is read at its own and resampled.

    Args:
        sample_rate: Wanted rate in hertz.

    Attributes:
        lost: Number of times that sound was lost, because the device's buffer or the one here was full.

    Raises:
        UserError: sounddevice or PortAudio is missing, or there is no input device that can be used.
    """

    def __init__(self, sample_rate: int) -> None:
        sounddevice = _sounddevice()
        try:
            device = sounddevice.query_devices(kind="input")
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UserError(f"no microphone is found: {error}; connect one, or choose it in the system") from error
        options = {"device": device["index"], "channels": 1, "dtype": "float32"}
        try:
            sounddevice.check_input_settings(samplerate=sample_rate, **options)
            self.rate = sample_rate
        except (sounddevice.PortAudioError, ValueError):
            self.rate = round(device["default_samplerate"])
        self.lost = 0
        self._blocks: Queue[NDArray[np.float32]] = Queue(WAITING_SECONDS * FRAMES)
        self._resample = BlockResampler(self.rate, sample_rate)
        try:
            self._stream = sounddevice.InputStream(
                samplerate=self.rate, blocksize=self.rate // FRAMES, callback=self._take, **options
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UserError(f"the microphone {device['name']!r} can't be opened: {error}") from error

    def __enter__(self) -> "Microphone":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def read(self) -> NDArray[np.float32]:
        """Wait for the next samples and return them, ``(time,)``.

        Raises:
            UserError: None came for ``PATIENCE_SECONDS``.
        """
        try:
            return self._resample(self._blocks.get(timeout=PATIENCE_SECONDS))
        except Empty as error:
            raise UserError(
                f"the microphone has sent nothing for {PATIENCE_SECONDS:.0f} s: is it still connected?"
            ) from error

    def _take(self, sound: NDArray[np.float32], frames: int, time: Any, status: Any) -> None:  # noqa: ARG002
        """Take a block ``(time, channel)`` from PortAudio, which calls this in its own thread and reuses the block."""
        self.lost += bool(status.input_overflow)
        try:
            self._blocks.put_nowait(sound[:, 0].copy())
        except Full:
            self.lost += 1


def _sounddevice() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise UserError('the microphone needs sounddevice: pip install -e ".[microphone]"') from error
    except OSError as error:
        raise UserError(
            f"sounddevice can't load PortAudio: {error}; install it, on Debian and Ubuntu: apt install libportaudio2"
        ) from error


def listen(microphone: Microphone, listener: Listener, console: Console, least: float = 0.0) -> None:
    """Show each window's answer until Ctrl-C.

    Args:
        microphone: Where sound comes from.
        listener: What answers it.
        console: Where answers are shown.
        least: No emotion is shown if the largest probability is below it.
    """
    ended = False

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True  # between blocks, so that the listener stays consistent

    before = signal.signal(signal.SIGINT, end)
    try:
        with Live(_display(listener, microphone, QUIETEST_DB, least), console=console, auto_refresh=False) as screen:
            while not ended:
                samples = microphone.read()
                listener.push(samples)
                if len(samples):
                    level = 10 * np.log10(max(float(np.mean(np.square(samples, dtype=np.float64))), 1e-12))
                    screen.update(_display(listener, microphone, level, least), refresh=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _display(listener: Listener, microphone: Microphone, level: float, least: float) -> RenderableType:
    """Draw the level meter, the last window's answer, and a bar for each emotion."""
    table = Table.grid(padding=(0, 1))
    full_scale = max(level - QUIETEST_DB, 0)
    table.add_row("level", ProgressBar(total=-QUIETEST_DB, completed=full_scale, width=40), f"{level:.0f} dB")
    answer = listener.latest(least) if listener.answered else None
    for label in listener.recognizer.labels:
        probability = answer.probabilities.get(label, 0.0) if answer else 0.0
        shown = f"{probability:.3f}" if answer and answer.emotion != SILENCE else ""
        table.add_row(escape(label), ProgressBar(total=1.0, completed=probability, width=40), shown)
    if answer is None:
        status = f"listening: the first answer comes after {listener.window / FRAMES:.1f} s"
    else:
        status = f"{answer.start:.1f} s to {answer.end:.1f} s: [bold]{escape(answer.emotion or '–')}[/bold]"
    lines: list[RenderableType] = [f"{status}   (Ctrl-C ends)", table]
    if microphone.lost:
        lines.append(lost_sound(microphone.lost))
    return Group(*lines)


def lost_sound(times: int) -> str:
    """Say on the screen how often sound was lost."""
    return f"[red]sound was lost {times} times[/red]: this computer is too slow or too busy; times after it are early"
