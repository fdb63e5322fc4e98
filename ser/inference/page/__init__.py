"""A recognizer → a folder with a page that answers recordings in the browser, where they stay.

``index.html`` is the page, with what it must know of the model filled in. ``model.onnx`` is the exported graph and, for
a network that knows voices, ``voice.onnx`` the features that a voice is enrolled by. onnxruntime-web runs both. Any
server of static files will do.
"""

import json
import shutil
import sys
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pooch
import requests
import torch
from torch import Tensor, nn

from ser import __version__
from ser.data.audio import LOUDEST, MIN_SECONDS, RATES, SILENCE_PEAK
from ser.data.bank import gather
from ser.data.corpora.sources import File
from ser.data.download import Client
from ser.errors import UserError
from ser.features.voices import LEAST_DEVIATION, NEUTRAL, VoicePrior
from ser.files import replacing
from ser.inference.export import CHATTER, TOLERANCE, export, require_onnx, run_onnx, sounds, write_onnx
from ser.inference.timeline import (
    FRAMES,
    HOP_SECONDS,
    LEAST_RANGE_DB,
    NOISE_DB,
    PIECES,
    QUIETEST_DB,
    SILENCE,
    SILENCE_DB,
    SPEECH_SHARE,
    WINDOW_SECONDS,
)
from ser.recognizer import ENROL_SECONDS, Recognizer

RUNTIME = "onnxruntime-web-1.30.0"
"""Package and version that runs the model in the browser."""

RUNTIME_FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Files that the page needs of the package's folder ``dist``, and their SHA-256."""

RUNTIME_ADDRESS = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist"

RUNTIME_BYTES = 1 << 25
"""Most bytes of a file of the runtime; the largest has 14 million."""

PAGE_FILES = ("index.html", "model.onnx", "voice.onnx", *RUNTIME_FILES)
"""Files of a page; only networks that know voices have ``voice.onnx``."""

UNSURE = 0.5
"""The page says that it is not sure where the most probable emotion has less; whoever uses it can change that."""

FACTS = "{/* what the model is */}"
"""What the facts stand for in ``index.html``."""


class Server(ThreadingHTTPServer):
    """Serves the files of a folder to this machine only.

    Attributes:
        folder: What is served.
    """

    folder: Path

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, unless the browser has only hung up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    # Not those of the system, which may be wrong or missing.
    extensions_map = {  # noqa: RUF012
        ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", "": "application/octet-stream",
    }  # fmt: skip

    def __init__(self, request: Any, address: Any, server: Server) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # the next page may come from the same address
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


class FeatureGraph(nn.Module):
    """Does what a recognizer does to measure a voice: pad or crop about the middle, features without a normaliser.

    Args:
        recognizer: A recognizer whose frontend is shared, not copied.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.frontend = recognizer.frontend

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Measure clips.

        Args:
            waveforms: ``(batch, time)`` float32 at the recognizer's rate, with full scale at ±1.
            lengths: Samples of each clip that are its own, ``(batch,)`` int64.

        Returns:
            Features ``(batch, row, frame)``, and how many frames of each clip are real ``(batch,)`` int64.
        """
        batch, time = waveforms.shape
        starts = torch.arange(batch, device=waveforms.device) * time
        clips, lengths = gather(waveforms.flatten(), starts, lengths.clamp(0, time), self.frontend.length)
        return self.frontend.extract(clips, lengths), self.frontend.real_frames(lengths)


def write_page(recognizer: Recognizer, folder: Path, runtime: Path | None = None) -> float:
    """Write a page about ``recognizer`` to ``folder``, which is made if it is missing.

    Args:
        recognizer: What answers, on the CPU.
        folder: Files of ``PAGE_FILES`` in it are replaced, and others are left.
        runtime: Folder that holds ``RUNTIME_FILES``; None to download them, once for all pages.

    Returns:
        The largest difference between a probability of the exported graph and one of the recognizer.

    Raises:
        UserError: The model can't be exported, a file of the runtime is missing or another one, or a file can't be
            written.
        DownloadError: The runtime can't be downloaded.
    """
    require_onnx()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and the page is a folder: give another name")
    found = runtime_files(runtime)
    folder.mkdir(parents=True, exist_ok=True)
    difference = export(recognizer, folder / "model.onnx")
    if recognizer.prior is None:
        (folder / "voice.onnx").unlink(missing_ok=True)  # of an earlier page
    else:
        _export_features(recognizer, folder / "voice.onnx")
    for path in found:
        with replacing(folder / path.name) as unfinished:
            shutil.copyfile(path, unfinished)
    template = (files("ser.inference.page") / "index.html").read_text(encoding="utf-8")
    assert template.count(FACTS) == 1
    facts = json.dumps(facts_of(recognizer), allow_nan=False).replace("<", "\\u003c")  # a label can't end the script
    with replacing(folder / "index.html") as unfinished:
        unfinished.write_text(template.replace(FACTS, facts), encoding="utf-8")
    return difference


def is_page(folder: Path) -> bool:
    """Return whether ``folder`` holds a page that ``write_page`` has written."""
    return (folder / "index.html").is_file() and (folder / "model.onnx").is_file()


def server(port: int) -> Server:
    """Open a port of this machine, where a folder can be served.

    Args:
        port: Its number; 0 for any that is free.

    Raises:
        UserError: The port can't be used.
    """
    try:
        return Server(("127.0.0.1", port), _Handler)
    except OSError as error:
        raise UserError(
            f"port {port} can't be used ({error.strerror}): give another with --port, or --port 0 for a free one"
        ) from error


def runtime_files(given: Path | None) -> list[Path]:
    """Return the files of onnxruntime-web, which are downloaded if no folder is given.

    Raises:
        UserError: A file of the folder is missing, or of another version.
        DownloadError: They can't be downloaded.
    """
    if given is None:
        kept = Path(pooch.os_cache("ser")) / RUNTIME
        kept.mkdir(parents=True, exist_ok=True)
        with requests.Session() as session:
            client = Client(session, kept)
            return [
                client.fetch(File(name, f"{RUNTIME_ADDRESS}/{name}", digest), largest=RUNTIME_BYTES)
                for name, digest in RUNTIME_FILES.items()
            ]
    for name, digest in RUNTIME_FILES.items():
        if not (given / name).is_file():
            raise UserError(f"{given} has no {name}: give the folder dist of the npm package {RUNTIME}")
        if pooch.file_hash(given / name) != digest:
            raise UserError(f"{given / name} is not the one of {RUNTIME}: give that version's folder dist")
    return [given / name for name in RUNTIME_FILES]


def _export_features(recognizer: Recognizer, path: Path) -> None:
    """Write ``FeatureGraph`` to ``path``, and check the file against the recognizer.

    Raises:
        UserError: It gives other features.
    """
    waveforms, lengths = sounds(recognizer)
    batch, time = torch.export.Dim("batch", min=1), torch.export.Dim("time", min=1)
    graph = FeatureGraph(recognizer).eval()
    with replacing(path) as unfinished, warnings.catch_warnings(), torch.no_grad():
        for chatter in CHATTER:
            warnings.filterwarnings("ignore", chatter)
        program = torch.export.export(graph, (waveforms, lengths), dynamic_shapes=({0: batch, 1: time}, {0: batch}))
        write_onnx(program, unfinished, ["waveforms", "lengths"], ["features", "frames"], {})
        features, real = run_onnx(unfinished, {"waveforms": waveforms, "lengths": lengths})
        expected, frames = graph(waveforms, lengths)
        # What counts is the difference in deviations, which is what the network reads.
        difference = float(((features - expected) / recognizer.frontend.normalizer.std).abs().max())
        if not (difference <= 10 * TOLERANCE and torch.equal(real, frames)):
            raise UserError(
                f"{path} was not written: its features would differ by {difference:.2g} deviations from the "
                f"checkpoint's, and {10 * TOLERANCE:g} is allowed; see whether other export libraries do better"
            )


def facts_of(recognizer: Recognizer) -> dict[str, Any]:
    """Return what the page must know beside the graphs, as plain data."""
    most = int(recognizer.seconds * FRAMES)
    window = min(round(WINDOW_SECONDS * FRAMES), most)
    hop = min(round(HOP_SECONDS * FRAMES), window)
    return {
        "labels": recognizer.labels,
        "rate": recognizer.sample_rate,
        "length": recognizer.frontend.length,
        "network": type(recognizer.network).__name__,
        "version": __version__,
        "calibrated": recognizer.calibration.known,
        "unsure": UNSURE,
        "sound": {"seconds": MIN_SECONDS, "silent": SILENCE_PEAK, "loudest": LOUDEST, "rates": RATES},
        "timeline": {
            "window": window, "hop": hop, "frames": FRAMES, "pieces": PIECES, "silence": SILENCE,
            "silence_db": SILENCE_DB, "quietest_db": QUIETEST_DB, "noise_db": NOISE_DB, "range_db": LEAST_RANGE_DB,
            "speech_share": SPEECH_SHARE,
        },
        "voice": None if recognizer.prior is None else _voice_facts(recognizer, recognizer.prior, window, hop),
    }  # fmt: skip


def _voice_facts(recognizer: Recognizer, prior: VoicePrior, window: int, hop: int) -> dict[str, Any]:
    neutral = prior.labels.index(NEUTRAL) if NEUTRAL in prior.labels else None
    step = hop * recognizer.sample_rate // FRAMES
    edges = torch.arange(0, -(-window // hop) + 1) * step
    return {
        "mean": prior.mean.tolist(),
        "deviation": prior.std.tolist(),
        "frames": prior.frames,
        "least_deviation": LEAST_DEVIATION,
        "neutral": neutral
        if neutral is None
        else {"shift": prior.shift[neutral].tolist(), "log_ratio": prior.log_ratio[neutral].tolist()},
        "seconds": ENROL_SECONDS,
        # Frames of a window before each of its steps.
        "edges": [0, *recognizer.frontend.real_frames(edges[1:]).tolist()],
    }
