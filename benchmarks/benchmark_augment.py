"""What does augmentation cost? ``python benchmarks/benchmark_augment.py --json augment.json``.

On noise as long as CREMA-D's clips, in one process: each effect and the chains of ``augment=wave`` and ``spec``, a
clip, as a share of a training step with ``augment=none``; those of waveforms beside audiomentations and
torch-audiomentations doing the same to the same clips; and whole training steps with each ``augment=``. All take turns
in every round, and what is printed are medians over the rounds of each round's ratios: 2 means that this project takes
half the time. A contender that is not installed is named and left out; ``pip install -e ".[bench]"`` has both.
"""

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import _common as common
import soundfile
import torch
from torch import Tensor

from ser.augment import EFFECTS, SpecAugment, WaveAugment
from ser.augment.effects import impulse_responses
from ser.commands.cli import command_parser
from ser.config import compose_words
from ser.data.splits import Split
from ser.errors import escape, table_of
from ser.features import FeatureConfig, Frontend
from ser.train import resolve_precision

BATCH = 64

RECIPES = {
    "seresnet": ["experiment=seresnet"],
    "cnn1d": ["model=cnn1d", "features=energy_zcr", f"datamodule.batch_size={BATCH}"],
}
"""Network → the words of train.py that train it."""

CHAIN = compose_words(["augment=wave"])["augment"]["wave"]

SPEC: dict[str, dict[str, Any]] = {
    "crop_frames": {"crop_frames": 160},
    "time_warp": {"time_warp": 0.15},
    "frequency_warp": {"frequency_warp": 0.06},
    "level_db": {"level_db": 6.0},
    "shift_share": {"shift_share": 0.125},
    "frequency_masks": {"frequency_masks": 2},
    "time_masks": {"time_masks": 2},
    "mixup": {"mixup": 1.0},
    "augment=spec": compose_words(["augment=spec"])["augment"]["spec"],
}
"""Effects on features, of the sizes that ``augment=spec``, ``light`` or ``experiment=seresnet`` give them."""

WAYS = {
    "none": ["augment=none"],
    "anew": ["augment=none", "datamodule.keep_features=false"],
    **{choice: [f"augment={choice}"] for choice in ("spec", "wave", "full")},
}
"""Words of complete training steps; the others are measured by the first."""

Work = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """What an effect costs when every clip has it, or the chain when its own probabilities are drawn.

    Attributes:
        effect: Name of the effect.
        milliseconds: Milliseconds per clip, median of the rounds.
        shares: Share of a training step with ``augment=none``, by network.
        ratios: Time of each contender by this project's.
    """

    effect: str
    milliseconds: float
    shares: dict[str, float]
    ratios: dict[str, float]


def write_rooms(folder: Path) -> None:
    """Write impulse responses as files, so that all libraries read the same ones."""
    responses = impulse_responses(torch.linspace(0.2, 0.7, 16), common.RATE, generator=torch.Generator().manual_seed(0))
    for number, response in enumerate(responses):
        soundfile.write(folder / f"{number:02}.wav", 0.5 * response.numpy(), common.RATE, subtype="FLOAT")


def audiomentations(chances: Mapping[str, float], rooms: Path) -> list[Any]:
    """Make the transforms of audiomentations that equal the effects, each with its probability."""
    import audiomentations as library  # noqa: PLC0415

    def band(p: float) -> Any:
        return library.BandPassFilter(
            min_center_freq=1850, max_center_freq=1850, min_bandwidth_fraction=3100 / 1850,
            max_bandwidth_fraction=3100 / 1850, min_rolloff=24, max_rolloff=24, p=p,
        )  # fmt: skip

    makes: dict[str, Callable[[float], Any]] = {
        "speed": lambda p: library.Resample(round(common.RATE / 1.1), round(common.RATE / 0.9), p=p),
        "stretch": lambda p: library.TimeStretch(0.9, 1.1, leave_length_unchanged=False, p=p),
        "pitch": lambda p: library.PitchShift(-2, 2, p=p),
        "shift": lambda p: library.Shift(-0.1, 0.1, rollover=False, p=p),
        "reverberation": lambda p: library.ApplyImpulseResponse(str(rooms), p=p),
        "noise": lambda p: library.AddColorNoise(5, 30, min_f_decay=-6, max_f_decay=0, p=p),
        "clipping": lambda p: library.ClippingDistortion(p=p),
        "telephone": band,
        "polarity": lambda p: library.PolarityInversion(p=p),
        "gain": lambda p: library.Gain(-6, 6, p=p),
    }
    return [makes[name](chance) for name, chance in chances.items()]


def torch_audiomentations(chances: Mapping[str, float], rooms: Path) -> list[Any]:
    """Make the transforms of torch-audiomentations; it has no speed, stretch and clipping."""
    import torch_audiomentations as library  # noqa: PLC0415

    options: dict[str, Any] = {"sample_rate": common.RATE, "output_type": "dict"}
    edges = (1850, 1850.001, 3100 / 1850, 3100 / 1850 + 1e-6)
    makes: dict[str, Callable[[float], Any]] = {
        "pitch": lambda p: library.PitchShift(-2, 2, p=p, **options),
        "shift": lambda p: library.Shift(-0.1, 0.1, rollover=False, p=p, **options),
        "reverberation": lambda p: library.ApplyImpulseResponse(str(rooms), p=p, **options),
        "noise": lambda p: library.AddColoredNoise(5, 30, 0, 2, p=p, **options),
        "telephone": lambda p: library.BandPassFilter(*edges, p=p, **options),
        "polarity": lambda p: library.PolarityInversion(p=p, **options),
        "gain": lambda p: library.Gain(-6, 6, p=p, **options),
    }
    return [makes[name](chance) for name, chance in chances.items() if name in makes]


def one_by_one(transforms: list[Any], waveforms: Tensor, lengths: Tensor) -> Work:
    """Return what calls a library on each clip without padding, as a data set would."""
    sounds = [row[:size].numpy() for row, size in zip(waveforms.cpu(), lengths.tolist(), strict=True)]

    def work() -> None:
        for sound in sounds:
            changed = sound
            for transform in transforms:
                changed = transform(changed, sample_rate=common.RATE)

    return work


def at_once(transforms: list[Any], waveforms: Tensor) -> Work:
    """Return what calls torch-audiomentations on the padded batch."""

    def work() -> None:
        changed = waveforms[:, None]
        for transform in transforms:
            changed = transform(changed, sample_rate=common.RATE).samples

    return work


def contenders(
    chances: Mapping[str, float], rooms: Path, waveforms: Tensor, lengths: Tensor, left_out: dict[str, str]
) -> dict[str, Work]:
    """Return libraries that are installed and have all the effects; why others can't goes to ``left_out``."""
    found: dict[str, Work] = {}
    for name, make in (("audiomentations", audiomentations), ("torch_audiomentations", torch_audiomentations)):
        if importlib.util.find_spec(name) is None:
            left_out[name] = 'not installed; pip install -e ".[bench]"'
            continue
        if len(transforms := make(chances, rooms)) < len(chances):
            continue
        batched = name == "torch_audiomentations"
        work = at_once(transforms, waveforms) if batched else one_by_one(transforms, waveforms, lengths)
        try:
            work()
        except (AttributeError, ImportError) as error:  # of a torchaudio that it is not for
            left_out[f"{name} {'_'.join(chances)}"] = str(error)
        else:
            found[name] = work
    return found


def feature_works(device: torch.device) -> dict[str, Work]:
    """Return what applies each effect of ``SPEC`` to log-mels of the clips."""
    waveforms, lengths = common.noise(BATCH)
    frontend = Frontend(FeatureConfig(**compose_words(["features=logmel"])["features"]), common.LONGEST).to(device)
    lengths = lengths.to(device)
    features, real = frontend.extract(waveforms.to(device), lengths), frontend.real_frames(lengths)
    frontend.normalizer.fit([(features, real)])
    features = frontend.normalizer(features, real)
    targets = torch.eye(len(common.LABELS), device=device)[torch.arange(BATCH, device=device) % len(common.LABELS)]

    def work_of(augment: SpecAugment) -> Work:
        return lambda: augment.mix(augment(features, real, 1 / frontend.normalizer.std), targets)

    return {name: work_of(SpecAugment(**options).train()) for name, options in SPEC.items()}


def step_of(words: list[str], device: torch.device) -> Work:
    """Return one step on one batch: features, augmentation, network, gradients, optimizer."""
    cfg = compose_words(words)
    sounds = common.recordings(BATCH)
    listed = common.clips_of(sounds.found)
    split = Split(listed, listed[:6], listed[:6])
    data = common.data_of(cfg, split, sounds, device, cfg["datamodule"]["keep_features"], BATCH)
    network = common.network_of(cfg, data.input_shape)
    network = network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    half = resolve_precision("auto", device.type) == "bf16-mixed"
    picked = torch.arange(BATCH, device=device)

    def step() -> None:
        common.training_step(network, data.make_batch(picked, training=True), optimizer, half)

    return step


def measure(device: torch.device, rounds: int) -> tuple[list[Cost], dict[str, Any], dict[str, str]]:
    """Measure effects, the chain and training steps, and return what was left out and why."""
    waveforms, lengths = (tensor.to(device) for tensor in common.noise(BATCH))
    works: dict[tuple[str, str], Work] = {}
    left_out: dict[str, str] = {}
    chain = {name: CHAIN[name]["chance"] for name in EFFECTS if CHAIN[name]["chance"]}
    wanted: dict[str, dict[str, float]] = {name: {name: 1.0} for name in EFFECTS}
    wanted["augment=wave"] = chain
    wanted["its noise, telephone, gain"] = {name: chain[name] for name in ("noise", "telephone", "gain")}
    steps = {
        (f"{recipe} step", way): step_of([*words, *more], device)
        for recipe, words in RECIPES.items()
        for way, more in WAYS.items()
    }
    works |= {(name, "ours"): work for name, work in feature_works(device).items()}
    with tempfile.TemporaryDirectory() as folder:
        rooms = Path(folder)
        write_rooms(rooms)
        for name, chances in wanted.items():
            options: dict[str, Any] = {name: {"chance": chance} for name, chance in chances.items()}
            if "reverberation" in options:
                options["reverberation"]["folder"] = folder
            augment = WaveAugment(common.RATE, **options).train()
            works[name, "ours"] = lambda augment=augment: augment(waveforms, lengths)  # type: ignore[misc]
            for contender, work in contenders(chances, rooms, waveforms, lengths, left_out).items():
                works[name, contender] = work
        works = {**steps, **works}
        for work in works.values():
            work()
        taken = [{key: common.seconds_of(work, device) for key, work in works.items()} for _ in range(rounds)]

    def ratio(one: tuple[str, str], other: tuple[str, str]) -> float:
        return median(each[one] / each[other] for each in taken)

    costs = [
        Cost(
            name,
            1000 * median(each[name, "ours"] for each in taken) / BATCH,
            {recipe: ratio((name, "ours"), (f"{recipe} step", "none")) for recipe in RECIPES},
            {who: ratio((name, who), (name, "ours")) for part, who in works if part == name and who != "ours"},
        )
        for name in (*wanted, *SPEC)
    ]
    whole = {
        recipe: {
            "milliseconds": 1000 * median(each[f"{recipe} step", "none"] for each in taken) / BATCH,
            **{way: ratio((f"{recipe} step", way), (f"{recipe} step", "none")) for way in WAYS if way != "none"},
        }
        for recipe in RECIPES
    }
    return costs, whole, left_out


def show(steps: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table of training steps."""
    heads = ("augment=none, ms per clip", "features computed anew", "augment=spec", "augment=wave", "augment=full")
    rows = [
        (recipe, f"{step['milliseconds']:.2f}", *(f"{step[way]:.2f} ×" for way in WAYS if way != "none"))
        for recipe, step in steps.items()
    ]
    common.console.print(table_of("", ("training step", *heads), rows, ("training step",)))


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = command_parser(__doc__, "--rounds 9 --device cuda")
    common.add_device(parser)
    options = common.parse(parser, 7)
    device, device_name = common.device_of(options.device)
    common.console.print(
        f"{device_name}, torch {torch.__version__}, {BATCH} clips at once, {options.rounds} rounds", highlight=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the contenders, about shapes and files
        costs, steps, left_out = measure(device, options.rounds)
    for contender, reason in left_out.items():
        common.console.print(f"{contender} is left out: {escape(reason)}", soft_wrap=True, highlight=False)
    names = sorted({name for cost in costs for name in cost.ratios})
    heads = ("effect, every clip", "ms per clip", *(f"of a {recipe} step" for recipe in RECIPES), *names)
    rows = [
        (
            cost.effect, f"{cost.milliseconds:.2f}", *(f"{share:.1%}" for share in cost.shares.values()),
            *(f"{cost.ratios[name]:.1f} ×" if name in cost.ratios else "" for name in names),
        )
        for cost in costs
    ]  # fmt: skip
    about = {"device": device_name, "torch": torch.__version__, "rounds": options.rounds}
    held = {**about, "steps": steps, "left_out": left_out, "costs": [asdict(cost) for cost in costs]}
    common.report(heads, rows, heads[:1], options.json, held)
    show(steps)


if __name__ == "__main__":
    main()
