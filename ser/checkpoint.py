"""The checkpoint file: what it holds, and how it is read and written. No other module spells a key of it.

A file is a table of plain data and tensors. The keys of Lightning stand at its top, where resuming a training needs
them. Everything else lies in one table under ``ser``, by the names of the attributes of ``Checkpoint``.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from torch import Tensor

from ser import __version__
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.features import FeatureConfig, WeightsError
from ser.features.config import converted
from ser.files import replacing

FORMAT = 3
"""The number of the layout that is written; raised when versions before or after could not read one another's."""

FORMAT_BEFORE = 2
"""The earlier layout that is also read."""

SHIPPED = "pretrained"
"""What stands for the folder of the model that comes with the package, wherever a run's folder is asked for."""

SHIPPED_FOLDER = Path(__file__).with_name(SHIPPED)
SHIPPED_SHA256 = "76bc9e5750db6b994caf8242c777b96c325df35c4524348a297eba8af54db4f3"

SHOWN = 80
"""Characters of a value that messages show."""

_OWN, _DATA = "ser", "EmotionDataModule"
_ADAPTATION = {"to": str, "clips": int, "seconds": float, "normalizer": float, "batch_norm": float, "balanced": bool}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Holds a trained network with everything that prediction needs, on the host.

    Attributes:
        network: Name of the network's class.
        parameters: The arguments that the network is built with.
        weights: Name → tensor of the network.
        labels: Emotions, in the order of the network's answers.
        features: The features that the network reads.
        length: Samples that each clip is padded or cropped to.
        normalizer: Name → statistic of the normaliser.
        epoch: The last epoch of training, from 0.
        voices: What training knows of how voices differ, as ``VoicePrior.state_dict`` gives it; None without
            ``features.normalize=speaker``.
        seen: People in the clips of training or validation, also of a training that this one started from, as
            ``ser.data.corpora.clip.person`` names them; ``""`` among them stands for speakers who are not known.
        seen_elsewhere: Those of them who were seen in the training that this one started from.
        calibration: What validation said about the probabilities; None for a checkpoint that its run has not tested.
        adapted: What each adaptation to other recordings was, in order.
        history: What ``ser.training.callbacks.History`` keeps; None for a checkpoint that no training can resume from.
        parts: Where several networks with features of their own answer as one, their checkpoints; ``parameters`` has
            their ``weights`` then, and ``weights`` and ``normalizer`` are empty.
        version: The version of ser that has trained the network.
        training: What Lightning needs to resume the training, by its own keys.

    Raises:
        UserError: A value is not of its type, or out of its range.
    """

    network: str
    parameters: dict[str, Any]
    weights: dict[str, Tensor]
    labels: list[str]
    features: FeatureConfig
    length: int
    normalizer: dict[str, Tensor]
    epoch: int
    voices: dict[str, Any] | None = None
    seen: list[str] = field(default_factory=lambda: [""])
    seen_elsewhere: list[str] = field(default_factory=list)
    calibration: Calibration | None = None
    adapted: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, Any] | None = None
    parts: list["Checkpoint"] = field(default_factory=list)
    version: str = __version__
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("parameters", "weights", "normalizer"):
            if not isinstance(getattr(self, name), dict):
                raise UserError(f"its {name} are {str(getattr(self, name))[:SHOWN]}, and must be a table")
        if not isinstance(self.labels, list) or not all(isinstance(one, str) and one.strip() for one in self.labels):
            raise UserError(f"its labels are {str(self.labels)[:SHOWN]}, and must be a list of words")
        for people in (self.seen, self.seen_elsewhere):
            if not isinstance(people, list) or not all(isinstance(person, str) for person in people):
                raise UserError("what it says of the people that it has seen is no list of names")
        if not isinstance(self.adapted, list) or not all(map(_is_adaptation, self.adapted)):
            raise UserError(f"what it says of its adaptations is {str(self.adapted)[:SHOWN]}, and must be a list")
        if self.calibration is not None:
            self.calibration.check()

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint that a run has written.

        Raises:
            UserError: It is not such a checkpoint, is broken, or was written by a version that is too new or too old.
        """
        held = _read(path)
        with checked(path):
            own, epoch, weights = held.pop(_OWN), held.pop("epoch"), held.pop("state_dict")
            if own.get("parts"):
                own["parts"] = [cls._of(part) for part in own["parts"]]
            return cls._of({**own, "epoch": epoch, "weights": weights, "training": held})

    @classmethod
    def _of(cls, own: dict[str, Any]) -> "Checkpoint":
        own["features"] = FeatureConfig(**own["features"])
        if own.get("calibration") is not None:
            own["calibration"] = Calibration(**own["calibration"])
        return cls(**{part.name: own[part.name] for part in fields(cls) if part.name in own})

    def write(self, path: Path) -> None:
        """Write the checkpoint in one step, and its folder where there is none.

        Raises:
            WriteError: It can't be written; what was there is still there.
        """
        own = self._table()
        held = {**own.pop("training"), "epoch": own.pop("epoch"), "state_dict": own.pop("weights")}
        _write(path, {**held, _OWN: {"format": FORMAT, **own}})

    def _table(self) -> dict[str, Any]:
        own = {part.name: getattr(self, part.name) for part in fields(self)}
        own["features"] = dict(vars(self.features))
        own["calibration"] = None if self.calibration is None else self.calibration.state_dict()
        own["parts"] = [part._table() for part in self.parts]
        if not self.parts:
            del own["parts"]
        return own

    def with_calibration(self, calibration: Calibration | None) -> "Checkpoint":
        """Return the checkpoint with another calibration; with None for one that no run stands for."""
        return replace(self, calibration=calibration)


def find_checkpoint(path: str | Path) -> Path:
    """Find the checkpoint that a run tested and calibrated, where ``path`` is its folder; else ``path`` itself.

    ``pretrained`` is the model that comes with the package, unless a file or folder of that name is here.

    Raises:
        UserError: It is a folder without such a checkpoint, or the package's own model is missing or damaged.
    """
    path = Path(path)
    if str(path) == SHIPPED and not path.exists():
        return shipped_checkpoint()
    if not path.is_dir():
        return path
    kept = sorted((path / "checkpoints").glob("[!.]*.ckpt"))
    tested = [checkpoint for checkpoint in kept if Checkpoint.read(checkpoint).calibration is not None]
    if len(tested) == 1:
        return tested[0]
    if tested:
        raise UserError(f"{path} has several tested checkpoints: give one of {', '.join(map(str, tested))}")
    then = (
        f"its run has not come to its test: let it end, or give {' or '.join(map(str, kept))}"
        if kept
        else "give a run's folder, such as outputs/DATE/TIME, or a checkpoint of one"
    )
    raise UserError(f"{path} has no tested checkpoint in checkpoints/: {then}")


def shipped_checkpoint() -> Path:
    """Return the checkpoint of the model that comes with the package.

    Raises:
        UserError: It is missing or damaged.
    """
    path = SHIPPED_FOLDER / "checkpoints" / "final.ckpt"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"the model of this package can't be read: {error}; install the package again") from error
    if digest != SHIPPED_SHA256:
        raise UserError(
            f"the model of this package is damaged: {path} has the sha256 {digest[:12]}…, and not "
            f"{SHIPPED_SHA256[:12]}…; install the package again"
        )
    return path


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Report whatever goes wrong inside as a fault of the checkpoint at ``path``, whose parts are put together there.

    Raises:
        WeightsError: The pretrained weights that it was trained with are missing, or are others now.
        UserError: Something else has gone wrong.
    """
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path} answers with pretrained weights, and {error}") from error
    except (
        LookupError, TypeError, RuntimeError, ValueError, AttributeError, ArithmeticError, MemoryError
    ) as error:  # fmt: skip
        why = str(error) if isinstance(error, UserError) else repr(error)
        raise UserError(f"{path} does not hold what a run's checkpoint holds: {why}") from error


def own_parts(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return ser's own table of a checkpoint that Lightning is about to write or has read; hooks add to it."""
    own: dict[str, Any] = checkpoint.setdefault(_OWN, {})
    return own


class CheckpointFiles(TorchCheckpointIO):
    """Writes and reads what Lightning has gathered of a training as a checkpoint's file, in one step."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write ``checkpoint``.

        Raises:
            WriteError: It can't be written; what was there is still there.
        """
        held = dict(checkpoint)
        held.pop("hparams_name", None)
        own = {"parameters": held.pop("hyper_parameters", {}), **held.pop(_DATA, {}), **own_parts(held)}
        _write(Path(path), {**held, _OWN: {"format": FORMAT, "version": __version__, **own}})

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:  # noqa: ARG002
        """Read a checkpoint for resuming and testing, on the host and as plain data, whatever is asked for.

        Raises:
            UserError: It is not a checkpoint of a run, is broken, or of a version that is too new or too old.
        """
        held = _read(Path(path))
        return {**held, _DATA: held[_OWN]}


def _is_adaptation(one: object) -> bool:
    return isinstance(one, dict) and all(type(one.get(name)) is kind for name, kind in _ADAPTATION.items())


def _write(path: Path, held: dict[str, Any]) -> None:
    into = io.BytesIO()  # torch's own writer of files has no words for a full disk
    torch.save(held, into)
    with replacing(path) as unfinished:
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(into.getbuffer())


def _read(path: Path) -> dict[str, Any]:
    """Read what a file holds, in the present format."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a checkpoint of a run, because it is no file")
    try:
        if is_zipfile(path) and any(part.compress_type for part in ZipFile(path).infolist()):
            raise UserError(f"{path} is not a checkpoint of a run: it is packed, and may unpack to any size")
        held = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} is not a checkpoint of a run, or broken: {error}") from error
    except UserError:
        raise
    except (
        RuntimeError, EOFError, UnpicklingError, LookupError, ValueError, AttributeError, TypeError, ArithmeticError,
        AssertionError, MemoryError, BadZipFile,
    ) as error:  # fmt: skip
        # What torch says of these is long, and advises to load with pickle, which can run what is in the file.
        raise UserError(f"{path} is not a checkpoint of a run, or broken ({type(error).__name__})") from error
    if not isinstance(held, dict) or "epoch" not in held:
        raise UserError(f"{path} is not a checkpoint of a run: it does not say how many epochs it has seen")
    if type(held["epoch"]) is not int:
        raise UserError(f"{path} is not a checkpoint of a run: its epoch is no whole number")
    own = held.get(_OWN, held)
    about = own if isinstance(own, dict) else {}
    number = about.get("format", 0)
    if type(number) is not int or number != (FORMAT_BEFORE if about is held else FORMAT):
        remedy = "install a newer one" if isinstance(number, int) and number > FORMAT else "train it again"
        raise UserError(
            f"{path} was written by ser {about.get('version', about.get('ser_version'))}, in format {number}; this "
            f"version reads {FORMAT} and {FORMAT_BEFORE}: {remedy}"
        )
    if about is not held:
        return held
    with checked(path):
        return _converted(held)


def _converted(held: dict[str, Any]) -> dict[str, Any]:
    """Convert format 2, where everything lay at the top or in the data module's state, to the present format."""
    held = {name: value for name, value in held.items() if name not in ("format", "max_epochs", "hparams_name")}
    own = {
        "format": FORMAT, "version": held.pop("ser_version", None), "network": held.pop("network"),
        "parameters": held.pop("hyper_parameters"), **held.pop(_DATA),
        **{name: held.pop(name) for name in ("history", "calibration", "adapted") if name in held},
    }  # fmt: skip
    for name, before in (("seen", "heard"), ("seen_elsewhere", "heard_elsewhere")):
        if before in own:
            own[name] = own.pop(before)
    if isinstance(own.get("features"), dict):
        own["features"] = converted(own["features"])
    if "callbacks" in held:
        held["callbacks"] = {
            name.replace("Checkpoint{", "EpochCheckpoint{", 1): state for name, state in held["callbacks"].items()
        }
    return {**held, _OWN: own}
