"""The pictures, sounds and texts of a run in TensorBoard."""

import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from omegaconf import OmegaConf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.audio.metadata import Encoding, create_summary_metadata
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import audio

from ser.augment import Augment
from ser.data.corpora import SIDES
from ser.datamodule import EmotionDataModule
from ser.errors import UserError
from ser.evaluation import SCORES, Answers
from ser.evaluation.metrics import by_class
from ser.models import Batch, EmotionNetwork
from ser.results import leakage_line
from ser.results.figures import (
    confusion_figure,
    counts_figure,
    feature_lines_figure,
    filters_figure,
    log_mel_figure,
    saliency_figure,
    waveforms_figure,
)
from ser.results.page import PLAYED_SECONDS, WORST, markdown_table
from ser.training.callbacks import gather

PROJECTED = 2000
"""Most test clips in the projector, evenly spaced in the order of names."""

EXPLAINED = 2
"""Number of classes for which a right and a wrong answer are explained."""

DPI = 75
"""Resolution of the pictures in dots per inch; drawing is most of the cost of TensorBoard."""


class TensorBoard(Callback):
    """Writes pictures, sounds and texts for TensorBoard; it does nothing in a run without its logger.

    It always writes by epoch: F1 of each class, learning rate, clips per second, and charts of training and validation
    together. Unless ``figure_every_n_epochs`` is 0, it also writes choices, split, clips and features before training;
    the confusion matrix of validation and the first convolution's filters every few epochs and at the last one; and of
    the test the confusion matrix, the worst mistakes, what moved some answers, the classes by confusion and the
    embeddings.

    Random state, weights and scores of a run are the same with it and without it.

    Args:
        cfg: The composed choices.
        data: The data module, after ``setup``.

    Raises:
        UserError: ``figure_every_n_epochs`` is negative.
    """

    def __init__(self, cfg: Mapping[str, Any], data: EmotionDataModule) -> None:
        self.every_n_epochs: int = cfg["figure_every_n_epochs"]
        if self.every_n_epochs < 0:
            raise UserError(f"figure_every_n_epochs={self.every_n_epochs} must be 0 or more")
        self.cfg = cfg
        self.data = data
        self.seconds_per_frame = data.config.hop_length / data.config.sample_rate
        self._validated = 0
        self._last = 0
        self._drawn: int | None = None
        self._began = self._seconds = 0.0
        self._clips = 0
        self._embeddings: list[Tensor] = []
        self._hook: RemovableHandle | None = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Remove what a resumed run had written after its checkpoint."""
        if trainer.state.fn == TrainerFn.FITTING and (writer := _writer(trainer)) is not None:
            begun = Event(session_log=SessionLog(status=SessionLog.START))
            writer._get_file_writer().add_event(begun, checkpoint["epoch"] + 1)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Lay out the charts, and show the input; a resumed run has already done so."""
        if (writer := _writer(trainer)) is None or trainer.ckpt_path is not None:
            return
        writer.add_custom_scalars(_layout())
        if not self.every_n_epochs:
            return
        writer.add_text("run/config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(dict(self.cfg)))}```")
        writer.add_text("data/split", self._split())
        self._show_clips(writer)
        inputs = self.data.make_batch(torch.tensor([0])).inputs.to(pl_module.device)
        if not self.data.config.fine_tune:  # what happens there depends on the clips' lengths
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of sizes, which are what they are
                writer.add_graph(pl_module.layers, pl_module.as_images(inputs))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the learning rate at the beginning of the epoch, and start the clock."""
        if (writer := _writer(trainer)) is not None:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            writer.add_scalar("train/learning_rate", rate, trainer.current_epoch)
        self._began, self._clips = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int  # noqa: ARG002
    ) -> None:  # fmt: skip
        """Count the clips."""
        self._clips += len(batch.targets) * trainer.world_size
        if trainer.is_last_batch and pl_module.device.type != "cpu":
            torch.accelerator.synchronize()
        self._seconds = time.perf_counter() - self._began

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write F1 of each class."""
        if not trainer.sanity_checking:
            self._validated = trainer.current_epoch
            self._write_f1(trainer, pl_module, "val")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write F1 of each class and clips per second, and draw every ``figure_every_n_epochs``-th epoch."""
        self._last = trainer.current_epoch
        self._write_f1(trainer, pl_module, "train")
        if (writer := _writer(trainer)) is not None:
            writer.add_scalar("train/clips_per_second", self._clips / self._seconds, trainer.current_epoch)
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw_epoch(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw the last epoch, wherever training stopped."""
        if self.every_n_epochs and self._drawn != self._last:
            self._draw_epoch(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin to record the input of the last layer."""
        self._embeddings.clear()
        # On every process, because each has some of the clips.
        if self.every_n_epochs and any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
            last = [layer for layer in pl_module.layers.modules() if isinstance(layer, nn.Linear)][-1]
            self._hook = last.register_forward_pre_hook(lambda _, inputs: self._embeddings.append(inputs[0].cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Put together what the last layer read in all processes."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            embeddings = torch.cat(self._embeddings)
            clips = torch.tensor(list(trainer.test_dataloaders.dataset))[: len(embeddings)]  # type: ignore[union-attr]
            self._embeddings = [gather({"clips": clips, "embeddings": embeddings})["embeddings"]]

    def show_answers(self, network: EmotionNetwork, answers: Answers) -> None:
        """Write what the test found: confusion, worst mistakes, what moved some answers, embeddings.

        Args:
            network: The network after the test, on the data module's device.
            answers: What it said of each test clip, in the order of the test.
        """
        writer = _writer(network.trainer)
        if writer is None or not self.every_n_epochs:
            return
        epoch = network.current_epoch
        positions = {clip.name: position for position, clip in enumerate(self.data.clips)}
        clips = [positions[name] for name in answers.clips]
        figure = confusion_figure(answers.confusion, answers.labels, "test", write_shares=True)
        _add_figure(writer, "test/confusion_matrix", figure, epoch)
        writer.add_text("test/most_confusing", _ranking(answers), epoch)
        surest_first = np.argsort(-answers.probabilities.max(1), kind="stable")
        wrong = (answers.predicted != answers.true)[surest_first]
        for place, row in enumerate(surest_first[wrong][:WORST].tolist(), 1):
            tag, about = f"test/mistake_{place}", f"{_verdict(answers, row)}, {answers.clips[row]}"
            self._write_sound(writer, tag, self._sound(clips[row]), about, epoch)
        if explained := _to_explain(answers, surest_first):
            titles = [f"{_verdict(answers, row)}, {answers.clips[row]}" for row in explained]
            self._explain(writer, network.eval(), [clips[row] for row in explained], titles, epoch)
        self._project(writer, answers, epoch)

    def _split(self) -> str:
        """Return a table of clips by emotion and side, and what a reader must know about the split."""
        split, data = self.cfg["split"]["name"], self.data
        counts = {side: Counter(clip.emotion for clip in data.side(side)) for side in SIDES}
        lines = [[label, *(str(counts[side][label]) for side in SIDES)] for label in data.labels]
        lines.append(["**all**", *(f"**{counts[side].total()}**" for side in SIDES)])
        people = [{(clip.corpus, clip.speaker) for clip in data.side(side) if clip.speaker} for side in SIDES]
        lines.append(["speakers", *(str(len(known) or "not known") for known in people)])
        paragraphs = [f"split={split} ({data.split.hash})", markdown_table(["emotion", *SIDES], lines, ["emotion"])]
        paragraphs.append(leakage_line(data.leakage()))
        if data.skipped:
            paragraphs.append(f"{len(data.skipped)} clips can't be used and were left out; metrics.json lists them.")
        return "\n\n".join(paragraphs)

    def _show_clips(self, writer: SummaryWriter) -> None:
        """Write the number of clips of each emotion, and the sound, waveform and features of one of each."""
        data, rate = self.data, self.data.config.sample_rate
        counts = Counter(clip.emotion for clip in data.clips)
        _add_figure(writer, "data/label_counts", counts_figure({label: counts[label] for label in data.labels}))
        first: dict[str, int] = {}
        for position, clip in enumerate(data.clips):
            if "silent" not in data.remarks.get(clip.name, ()):
                first.setdefault(clip.emotion, position)
        shown = {label: first[label] for label in data.labels if label in first}
        if not shown:
            return
        sounds = {label: self._sound(position) for label, position in shown.items()}
        for label, position in shown.items():
            self._write_sound(writer, f"data/{label}", sounds[label], data.clips[position].name)
        _add_figure(writer, "data/waveforms", waveforms_figure(sounds, rate))
        clips = torch.tensor(list(shown.values()))
        plain = data.make_batch(clips).inputs.split(1)
        self._add_features(writer, "data/features", dict(zip(shown, plain, strict=True)))
        if data.augment.active:
            gpu = [data.device] if data.device.type == "cuda" else []
            with torch.random.fork_rng(gpu):
                augmented = data.make_batch(clips, training=True).inputs.split(1)
            self._add_features(writer, "data/features_augmented", dict(zip(shown, augmented, strict=True)))
            if data.augment.wave.active:
                for (label, position), sound in zip(shown.items(), _augmented_sounds(data, clips, gpu), strict=True):
                    self._write_sound(writer, f"data/{label}_augmented", sound, data.clips[position].name)
            self._show_effects(writer, clips, gpu)

    def _show_effects(self, writer: SummaryWriter, clips: Tensor, gpu: list[torch.device]) -> None:
        """Draw the first of ``clips`` unchanged and after each effect of training, and add the sounds."""
        data = self.data
        drawn: dict[str, Tensor] = {}
        for title, augment in {"as it is": Augment(data.config.sample_rate), **data.augment.each()}.items():
            # All clips, because mixup needs others; from one random state, so that all are the same piece of the clip,
            # and that what is played is what is drawn.
            changed = data.changed(augment=augment)
            if data.frontend.features.dimensions < 3:
                with torch.random.fork_rng(gpu):
                    drawn[title] = changed.make_batch(clips, training=True).inputs[:1]
            if augment.wave.active:
                sound = _augmented_sounds(changed, clips, gpu)[0]
                self._write_sound(writer, f"data/{title}", sound, data.clips[int(clips[0])].name)
        self._add_features(writer, "data/effects", drawn)

    def _add_features(self, writer: SummaryWriter, tag: str, inputs: Mapping[str, Tensor]) -> None:
        """Draw the input of the network for a clip, ``(1, …)``, by title."""
        names = self.data.config.names
        if self.data.frontend.features.dimensions == 3:
            return  # a clip's hidden states are not an image over time
        unit = "as they are" if self.data.config.normalize == "none" else "standard deviations"
        features = {title: self._rows(one)[0] for title, one in inputs.items()}
        if self.data.frontend.features.dimensions == 2:
            figure = log_mel_figure(features, self.seconds_per_frame, names[0], unit)
        else:
            figure = feature_lines_figure(features, names, self.seconds_per_frame, unit)
        _add_figure(writer, tag, figure)

    def _rows(self, inputs: Tensor) -> NDArray[np.float32]:
        """Return the network's input as ``(batch, row, frame)`` on the host."""
        rows = self.data.frontend.features.rows
        array: NDArray[np.float32] = inputs.reshape(len(inputs), rows, -1).cpu().numpy()
        return array

    def _sound(self, position: int) -> NDArray[np.float32]:
        """Return the first seconds of a clip, ``(time,)``."""
        bank = self.data.bank
        clip = torch.tensor([position], device=bank.device)
        waveform: NDArray[np.float32] = bank.gather(clip, int(bank.lengths[position]))[0][0].cpu().numpy()
        return waveform[: PLAYED_SECONDS * self.data.config.sample_rate]

    def _write_sound(
        self, writer: SummaryWriter, tag: str, samples: NDArray[np.float32], about: str, step: int = 0
    ) -> None:
        """Write ``samples`` ``(time,)`` with the caption ``TAG: about``; ``SummaryWriter.add_audio`` takes none."""
        sound = audio(tag, samples.clip(-1, 1), self.data.config.sample_rate).value[0].audio
        value = Summary.Value(
            tag=tag,
            metadata=create_summary_metadata(f"{tag}: {about}", description="", encoding=Encoding.Value("WAV")),
            tensor=TensorProto(
                dtype="DT_STRING",
                string_val=[sound.encoded_audio_string, b""],
                tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1), TensorShapeProto.Dim(size=2)]),
            ),
        )
        writer._get_file_writer().add_summary(Summary(value=[value]), step)

    def _write_f1(self, trainer: Trainer, module: LightningModule, side: str) -> None:
        counts = getattr(module, f"{side}_measures")["confusion"].compute()  # on every rank, because it gathers
        if (writer := _writer(trainer)) is not None:
            for label, figures in by_class(counts.cpu(), self.data.labels).items():
                writer.add_scalar(f"{side}/f1/{label}", figures["f1"], trainer.current_epoch)

    def _draw_epoch(self, trainer: Trainer, network: EmotionNetwork) -> None:
        self._drawn = self._last
        counts = network.val_measures["confusion"].compute().cpu().numpy()  # on every rank, since it gathers
        if (writer := _writer(trainer)) is not None:
            title = f"val, epoch {self._validated + 1}"
            figure = confusion_figure(counts, self.data.labels, title, write_shares=True)
            _add_figure(writer, "val/confusion_matrix", figure, self._validated)
        first = next((layer for layer in network.layers.modules() if isinstance(layer, nn.Conv2d)), None)
        if first is not None and writer is not None:
            weights = first.weight.detach()[:, 0].squeeze(1).float().cpu().numpy()
            title = f"filters of the first convolution, epoch {self._last + 1}"
            _add_figure(writer, "train/first_layer", filters_figure(weights, title), self._last)

    def _explain(
        self, writer: SummaryWriter, network: EmotionNetwork, clips: Sequence[int], titles: Sequence[str], step: int
    ) -> None:
        """Draw the gradient of each clip's largest logit by features (Simonyan et al., 2013, arXiv 1312.6034)."""
        if self.data.frontend.features.dimensions == 3:
            return
        batch = self.data.make_batch(torch.tensor(clips))
        inputs = batch.inputs.clone().requires_grad_()
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no gradient of a recurrent layer in use
            (gradients,) = torch.autograd.grad(network(inputs, batch.lengths).amax(1).sum(), inputs)
        pairs = zip(self._rows(inputs.detach()), self._rows(gradients), strict=True)
        lines = self.data.frontend.features.dimensions == 1
        figure = saliency_figure(dict(zip(titles, pairs, strict=True)), self.seconds_per_frame, lines)
        _add_figure(writer, "test/saliency", figure, step)

    def _project(self, writer: SummaryWriter, answers: Answers, step: int) -> None:
        """Write the input of the last layer for the test clips, with their metadata."""
        embeddings = torch.cat(self._embeddings)
        rows = np.unique(np.linspace(0, len(embeddings) - 1, min(len(embeddings), PROJECTED)).round().astype(int))
        true, predicted = answers.true, answers.predicted
        about = [
            [
                answers.labels[true[row]],
                answers.labels[predicted[row]],
                "right" if true[row] == predicted[row] else "wrong",
                answers.speakers[row] or "not known",
                answers.clips[row],
            ]
            for row in rows
        ]
        header = ["emotion", "predicted", "answer", "speaker", "clip"]
        writer.add_embedding(embeddings[rows].float(), about, None, step, "test", header)


def _writer(trainer: Trainer) -> SummaryWriter | None:
    """Return TensorBoard's writer on the process that writes; None on others."""
    if not trainer.is_global_zero:
        return None
    return next((logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def _layout() -> dict[str, dict[str, list[Any]]]:
    """Return the charts of TensorBoard's *Custom Scalars*; each has the tags that its patterns match."""
    scores = {name: ["Multiline", [f"(train|val)/{name}$"]] for name in ("loss", *SCORES)}
    classes = {f"F1 of each class, {side}": ["Multiline", [f"{side}/f1/.+"]] for side in ("val", "train")}
    course = {
        "learning rate": ["Multiline", ["train/learning_rate$"]],
        "clips a second, training": ["Multiline", ["train/clips_per_second$"]],
    }
    return {"Scores, training and validation": scores, "Classes": classes, "Training": course}


def _augmented_sounds(data: EmotionDataModule, clips: Tensor, gpu: list[torch.device]) -> list[NDArray[np.float32]]:
    """Return the first seconds of augmented clips, ``(time,)`` each, with the random state of their features."""
    longest = PLAYED_SECONDS * data.config.sample_rate
    with torch.random.fork_rng(gpu):
        waveforms, lengths = data.waveforms(clips.to(data.home), training=True)
    return [sound[: min(int(size), longest)].cpu().numpy() for sound, size in zip(waveforms, lengths, strict=True)]


def _add_figure(writer: SummaryWriter, tag: str, figure: Any, step: int = 0) -> None:
    figure.set_dpi(DPI)
    writer.add_figure(tag, figure, step)


def _verdict(answers: Answers, row: int) -> str:
    true, predicted = answers.labels[answers.true[row]], answers.labels[answers.predicted[row]]
    said = f"{true}, rightly" if true == predicted else f"{true} taken for {predicted}"
    return f"{said}, p {answers.probabilities[row].max():.2f}"


def _to_explain(answers: Answers, surest_first: NDArray[np.int64]) -> list[int]:
    """Return rows of the most confident right and wrong answer, for the classes with the most wrong ones."""
    right = (answers.predicted == answers.true)[surest_first]
    true = answers.true[surest_first]
    mistakes = np.bincount(true[~right], minlength=len(answers.labels))
    rows: list[int] = []
    for label in np.argsort(-mistakes, kind="stable"):
        both = surest_first[right & (true == label)][:1], surest_first[~right & (true == label)][:1]
        if all(map(len, both)) and len(rows) < 2 * EXPLAINED:
            rows += [int(row) for found in both for row in found]
    return rows


def _ranking(answers: Answers) -> str:
    labels, counts = answers.labels, answers.confusion
    classes = by_class(torch.from_numpy(counts), labels)
    lines = []
    for label in sorted(classes, key=lambda label: classes[label]["f1"]):
        own = labels.index(label)
        others = {other: int(counts[own, i]) for i, other in enumerate(labels) if i != own}
        most = max(others, key=others.__getitem__)
        numbers = [f"{classes[label][name]:.3f}" for name in ("f1", "precision", "recall")]
        lines.append([label, *numbers, f"{most} ({others[most]} of {classes[label]['clips']})"])
    heads = ("emotion", "F1", "precision", "recall", "most often taken for")
    return markdown_table(heads, lines, (heads[0], heads[-1]))
