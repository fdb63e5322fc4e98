import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from ser.augment import Augment
from ser.config import (
    LOGGERS,
    ConfigError,
    check_choices,
    compose_words,
    hydra_word,
    refuse_unreadable,
    typed_words,
)
from ser.data.corpora import READERS, SEVERAL
from ser.data.splits import SPLITS
from ser.errors import UserError
from ser.features import DIMENSIONS, FEATURES, PRETRAINED
from ser.models import NETWORKS
from ser.training.ranks import AloneInFolder
from tests.helpers import composed

CONF = Path(__file__).parents[1] / "conf"

FILES = sorted(
    (path.parent.name, path.stem)
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("recipe", "report", "search")
)

ROWS = {
    "energy": (["energy"], "cnn1d", 50),
    "zcr": (["zcr"], "cnn1d", 50),
    "energy_zcr": (["energy", "zcr"], "cnn1d", 50),
    "energy_zcr_wide": (["energy", "zcr"], "wide1d", 25),
    "mfcc": (["mfcc"], "cnn1d", 50),
    "mfcc_energy_zcr": (["mfcc", "energy", "zcr"], "cnn1d", 50),
    "rolloff": (["rolloff"], "cnn1d", 50),
    "cnn2d": (["mel"], "cnn2d", 10),
    "paper2d": (["mel"], "paper2d", 10),
}
"""The report's table: features, network, epochs."""


RECIPE = ("model=seresnet", "features=logmel")
NEEDED = {
    "multi": ("dataset.names=[crema_d,ravdess]",), "cross_corpus": ("split.test_corpora=[ravdess]",),
    "whisper": ("features.weights=tiny.pt",), "huggingface": ("features.weights=tiny.pt",),
    "seresnet": RECIPE, "seresnet_wave": RECIPE, "seresnet_full": RECIPE,
}  # fmt: skip
"""What a choice can't do without."""


def dimensions(cfg: dict[str, Any]) -> tuple[int, int]:
    """Of the features and of the network."""
    return DIMENSIONS[cfg["features"]["names"][0]], NETWORKS[cfg["model"]["name"]].dimensions


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_yaml_composes_and_its_choices_go_together_or_are_refused_for_their_dimensions(
    group: str, name: str
) -> None:
    cfg = composed(f"{group}={name}", *NEEDED.get(name, ()))
    features, network = dimensions(cfg)
    if features == network and name in ("whisper", "huggingface"):  # whose weights are the user's
        with pytest.raises(UserError, match=r"features\.weights=tiny\.pt is not there"):
            check_choices(cfg)
    elif features == network:
        check_choices(cfg)
    else:
        assert group in ("features", "model"), "the defaults of the other groups go with every choice"
        with pytest.raises(ConfigError, match=f"reads {network}D features, and features=.* is {features}D"):
            check_choices(cfg)


@pytest.mark.parametrize("features", sorted(path.stem for path in (CONF / "features").glob("*.yaml")))
@pytest.mark.parametrize("model", NETWORKS)
def test_every_feature_set_goes_with_every_network_of_its_dimension_and_no_other(features: str, model: str) -> None:
    cfg = {**composed(f"features={features}", *NEEDED.get(features, ())), "model": composed(f"model={model}")["model"]}
    if len(set(dimensions(cfg))) > 1:
        with pytest.raises(ConfigError):
            check_choices(cfg)
    elif features in NEEDED:
        with pytest.raises(
            UserError, match=r"features\.weights=tiny\.pt is (not there|neither a folder)|needs transformers"
        ):
            check_choices(cfg)
    else:
        check_choices(cfg)


def test_there_is_a_yaml_for_every_network_corpus_and_feature() -> None:
    def names(group: str) -> set[str]:
        return {path.stem for path in (CONF / group).glob("*.yaml")}

    assert names("model") == set(NETWORKS)
    assert names("dataset") == {*READERS, SEVERAL}
    assert names("split") == set(SPLITS)
    assert names("features") >= {*FEATURES, *PRETRAINED}
    for group in ("model", "dataset", "split"):
        for name in names(group):
            assert composed(f"{group}={name}", *NEEDED.get(name, ()))[group]["name"] == name


def test_a_feature_set_is_named_after_its_features() -> None:
    for path in (CONF / "features").glob("*.yaml"):
        assert "_".join(composed(f"features={path.stem}")["features"]["names"]) == path.stem


def test_without_a_choice_a_synthetic_corpus_trains_a_2d_network_on_normalised_mel_with_augmentation() -> None:
    cfg = composed()
    check_choices(cfg)
    assert cfg["dataset"]["name"] == "demo"
    assert cfg["features"]["names"] == ["mel"]
    assert cfg["features"]["normalize"] == "standard"
    assert cfg["model"]["name"] == "paper2d"
    assert cfg["augment"]["spec"]["shift_share"] > 0
    assert cfg["test_checkpoint"] == "best"
    assert cfg["row"] is None


def test_the_report_has_nine_rows_and_no_more() -> None:
    assert {path.stem for path in (CONF / "report").glob("*.yaml")} == set(ROWS)
    assert len(ROWS) == 9


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_the_reports_recipe_to_the_letter(row: str) -> None:
    cfg = composed(f"report={row}")
    check_choices(cfg)
    features, network, epochs = ROWS[row]
    assert cfg["row"] == row
    assert cfg["dataset"]["name"] == "crema_d"
    assert cfg["split"] == {"name": "stratified", "seed": 42, "test": 0.3, "val": 0.05}
    assert cfg["test_checkpoint"] == "last"
    assert cfg["ckpt_path"] is None
    assert cfg["early_stopping_patience"] is None
    assert not Augment(16_000, **cfg["augment"]).active
    assert cfg["datamodule"]["batch_size"] == 128
    assert cfg["datamodule"]["max_seconds"] is None
    assert cfg["features"] == {
        "names": features,
        "normalize": "none",
        "sample_rate": 16_000,
        "n_fft": 2048,
        "win_length": None,
        "hop_length": 512,
        "frame_length": 2048,
        "pad_mode": "constant",
        "n_mels": 128,
        "f_min": 0.0,
        "f_max": None,
        "top_db": 80.0,
        "n_mfcc": None,
        "roll_percent": 0.85,
        "filter_rate": 22_050 if set(features) & {"mfcc", "rolloff"} else None,
        "bundle": None,
        "weights": None,
        "digest": None,
        "fine_tune": False,
        "silence": 1.0,
    }
    assert cfg["model"] == {
        "name": network,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "dropout": 0.5 if network == "wide1d" else 0.2,
    }
    assert cfg["trainer"]["max_epochs"] == epochs
    assert cfg["trainer"]["precision"] == "32-true"
    for limit in ("limit_train_batches", "limit_val_batches", "limit_test_batches", "max_steps", "gradient_clip_val"):
        assert cfg["trainer"][limit] in (None, -1)


def test_the_command_line_wins_over_a_row() -> None:
    cfg = composed("report=energy", "split=speaker", "dataset=demo", "model.learning_rate=0.5", "trainer.max_epochs=3")
    check_choices(cfg)
    assert cfg["split"]["name"] == "speaker"
    assert cfg["dataset"]["name"] == "demo"
    assert cfg["model"]["learning_rate"] == 0.5
    assert cfg["trainer"]["max_epochs"] == 3
    assert cfg["features"]["names"] == ["energy"]
    assert cfg["features"]["normalize"] == "none"


def test_a_rows_network_can_be_changed_on_the_command_line() -> None:
    cfg = composed("report=energy", "model=wide1d", "features=zcr", "augment=light", "features.normalize=clip")
    check_choices(cfg)
    assert cfg["model"]["name"] == "wide1d"
    assert cfg["model"]["dropout"] == 0.5
    assert cfg["model"]["schedule"] == "constant", "the recipe's"
    assert cfg["features"]["names"] == ["zcr"]
    assert cfg["features"]["normalize"] == "clip"
    assert cfg["augment"]["spec"]["time_masks"] == 2


def test_every_option_of_the_constructors_can_be_set_by_its_own_name() -> None:
    overrides = [
        "features.n_fft=1024",
        "trainer.limit_train_batches=2",
        "trainer.gradient_clip_val=0.5",
        "model.dropout=0.5",
        "model.weight_decay=0.01",
        "augment.spec.time_masks=3",
        "datamodule.max_seconds=2.5",
        "logger.name=csv",
        "split.seed=7",
    ]
    cfg, default = OmegaConf.create(composed(*overrides)), OmegaConf.create(composed())
    for override in overrides:
        path, _, value = override.partition("=")
        assert str(OmegaConf.select(cfg, path)) == value
        assert str(OmegaConf.select(default, path)) != value


def test_features_can_be_joined_on_the_command_line() -> None:
    cfg = composed("features=energy", "features.names=[energy,rolloff,zcr]", "model=cnn1d")
    check_choices(cfg)
    assert cfg["features"]["names"] == ["energy", "rolloff", "zcr"]


@pytest.mark.parametrize(
    "override", ["features.n_ftt=1024", "model.drop=0.5", "trainer.epochs=3", "augment.spec.shift=1"]
)
def test_a_misspelt_option_is_refused(override: str) -> None:
    with pytest.raises(ConfigCompositionException, match=override.partition("=")[0]):
        composed(override)


PATHS = [
    "plain/a.ckpt", "a b", "clips (1)", "a,b", "a=b", "[x]/y", "{x}", "it's", 'say "x"', "a\\", 'a\\"b', "null", "12",
    "é", "~/x", "ends ", "名前",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_any_path_can_be_quoted_for_hydra(path: str) -> None:
    assert composed(hydra_word("ckpt_path", path))["ckpt_path"] == path
    assert (hydra_word("ckpt_path", path) == f"ckpt_path={path}") == (path in ("plain/a.ckpt", "a b", "a\\"))


@pytest.mark.parametrize("path", ["/clips (1)", "/a,b", "/a=b", "/[x]", "{x}", "'/clips' (1)", '"/clips (1)', "é"])
def test_a_word_that_hydra_can_not_read_is_told_how_to_quote(path: str) -> None:
    with pytest.raises(ConfigError, match=r"can't be read .* is quoted twice, for Hydra and for the shell: ") as caught:
        compose_words([f"dataset.root={path}"])
    (word,) = shlex.split(str(caught.value).rpartition("shell: ")[2])
    assert composed(word)["dataset"]["root"] == path
    with pytest.raises(ConfigError, match=r"clips can't be read \(it is no OPTION=VALUE\)"):
        compose_words(["dataset.root=/my", "clips"])


def test_a_path_that_hydra_takes_for_a_list_is_told_how_to_quote() -> None:
    with pytest.raises(ConfigError, match=r"""dataset\.root=\['x'\] must be text or null; .* '?dataset\.root="…"'"""):
        composed("dataset.root=[x]")


def test_the_choices_among_the_arguments_are_those_without_hydras_own() -> None:
    typed = ["-m", "seed=1,2", "--config-dir", "a (b)", "--multirun", "model=cnn1d", "~logger", "--cfg", "job", "x"]
    assert typed_words(typed) == ["seed=1,2", "model=cnn1d", "~logger", "x"]
    refuse_unreadable(["seed=1,2", "~logger"], sweep=True)


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigCompositionException, match=r"features\.n_fft"):
        composed("features.n_fft=many")


def test_a_2d_network_with_1d_features_is_refused_and_told_what_goes() -> None:
    with pytest.raises(ConfigError) as error:
        check_choices(composed("model=paper2d", "features=energy_zcr"))
    message = str(error.value)
    assert "model=paper2d reads 2D features" in message
    assert "features=energy_zcr is 1D" in message
    assert "with it go model=cnn1d, wide1d;" in message
    assert message.endswith("with the network go features=mel, logmel, mfcc2d")


def test_a_1d_network_with_2d_features_is_refused_and_told_what_goes() -> None:
    with pytest.raises(ConfigError) as error:
        check_choices(composed("model=wide1d", "features=mfcc2d"))
    message = str(error.value)
    names = ", ".join(name for name, network in NETWORKS.items() if network.dimensions == 2)
    assert f"with it go model={names};" in message
    assert message.endswith("with the network go features=mfcc, rolloff, energy, zcr or several of them")


@pytest.mark.parametrize("choice", ["model=cnn1d", "features=energy"])
def test_what_a_refusal_offers_is_accepted(choice: str) -> None:
    cfg = composed(choice)
    with pytest.raises(ConfigError) as error:
        check_choices(cfg)
    message = str(error.value)
    models = message.partition("with it go model=")[2].partition(";")[0].split(", ")
    features = message.partition("with the network go features=")[2].removesuffix(" or several of them").split(", ")
    assert models
    assert features
    for model in models:
        check_choices({**cfg, "model": composed(f"model={model}")["model"]})
    for names in features:
        check_choices({**cfg, "features": composed(f"features={names}")["features"]})


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "half"])
def test_a_precision_that_features_are_not_computed_in_is_refused(precision: str) -> None:
    with pytest.raises(ConfigError, match="must be one of auto, 32-true"):
        check_choices(composed(f"trainer.precision={precision}"))


@pytest.mark.parametrize(
    "words",
    [
        ("+logger._target_=torch.load", "+logger.f=there"),
        ("logger.name=wandb",),
        ("+logger.extra={_target_: os.system, command: ls}",),
        ("~logger",),
    ],
)
def test_a_logger_is_one_of_those_known_and_nothing_that_is_called(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="must be one of tensorboard, csv, none"):
        check_choices(composed(*words))
    for name in LOGGERS:
        check_choices(composed(f"logger={name}"))


def test_a_checkpoint_to_test_must_be_best_or_last() -> None:
    with pytest.raises(ConfigError, match="test_checkpoint='newest' must be 'best' or 'last'"):
        check_choices(composed("test_checkpoint=newest"))


@pytest.mark.parametrize(
    "length", [("trainer.max_epochs=-1",), ("trainer.max_epochs=null", "trainer.max_time=00:01:00:00")]
)
def test_a_schedule_over_the_whole_training_needs_an_end(length: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"schedule=onecycle .*give trainer\.max_epochs= or trainer\.max_steps="):
        check_choices(composed(*length))
    check_choices(composed(*length, "trainer.max_steps=100"))
    check_choices(composed(*length, "model.schedule=constant"))


def test_the_composed_choices_are_plain_data_that_yaml_keeps(tmp_path: Path) -> None:
    cfg = composed("report=mfcc")
    OmegaConf.save(OmegaConf.create(cfg), tmp_path / "config.yaml")
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == cfg


@pytest.mark.parametrize(
    ("override", "sweep"),
    [
        ("split=[speaker,stratified]", "-m split=speaker,stratified"),
        ("split=[ speaker, stratified ]", "-m split=speaker,stratified"),
        ("split=[speaker]", "-m split=speaker"),
        ("model=[paper2d,cnn2d]", "-m model=paper2d,cnn2d"),
        ("features=[mfcc,mel]", "-m features=mfcc,mel"),
        ("augment=[none,light]", "-m augment=none,light"),
        ("labels=[hsan,all]", "-m labels=hsan,all"),
        ("logger=[csv,tensorboard]", "-m logger=csv,tensorboard"),
        ("trainer=[default]", "-m trainer=default"),
        ("dataset=[demo,crema_d]", "-m dataset=demo,crema_d"),
    ],
)
def test_a_list_of_choices_is_refused_and_told_how_to_sweep(override: str, sweep: str) -> None:
    with pytest.raises(ConfigError) as error:
        composed("seed=3", override)
    message = str(error.value)
    group = override.partition("=")[0]
    assert message.startswith(f"{override}: {group}= takes one choice")
    assert message.endswith(f"a run for each is a sweep: {sweep}")
    assert ("dataset=multi dataset.names=[…]" in message) == (group == "dataset")


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("split=speaker", "seed=3"),
        ("labels.keep=[happy,sad]", "labels.drop=[calm]"),
        ("labels.merge={calm: neutral}",),
        ("features=energy", "features.names=[energy,zcr]", "model=cnn1d"),
        ("dataset=multi", "dataset.names=[crema_d,ravdess]"),
        ("split=cross_corpus", "split.test_corpora=[ravdess]"),
        ("+trainer.callbacks=[a,b]",),
        ("+note=[a,b]",),
    ],
)
def test_lists_that_are_values_pass(overrides: tuple[str, ...]) -> None:
    composed(*overrides)


SPLIT_OPTIONS: dict[str, dict[str, Any]] = {
    "stratified": {"seed": 7, "test": 0.25, "val": 0.1},
    "speaker": {"seed": 7, "test": 0.25, "val": 0.1},
    "kfold": {"seed": 7, "folds": 10, "fold": 3, "by": "session", "val": 0.1},
    "loso": {"seed": 7, "fold": 3, "by": "session", "val": 0.1},
    "official": {},
    "cross_corpus": {"test_corpora": ["ravdess"], "seed": 7, "by": "session", "val": 0.1},
}
"""All that a split can be told, none of it the default."""


@pytest.mark.parametrize("name", SPLITS)
def test_every_option_of_a_split_can_be_set(name: str) -> None:
    options = SPLIT_OPTIONS[name]
    given = [f"split.{option}={value}".replace("'", "") for option, value in options.items()]
    assert composed(f"split={name}", *given)["split"] == {"name": name, **options}
    default = composed(f"split={name}", *NEEDED.get(name, ()))["split"]
    assert set(default) == {"name", *options}
    assert all(default[option] != value for option, value in options.items() if option != "test_corpora")


@pytest.mark.parametrize("name", SPLITS)
def test_an_option_of_another_split_is_refused(name: str) -> None:
    others = {option for options in SPLIT_OPTIONS.values() for option in options} - set(SPLIT_OPTIONS[name])
    assert others
    for option in sorted(others):
        with pytest.raises(ConfigCompositionException, match=rf"split\.{option}"):
            composed(f"split={name}", f"split.{option}=1")


def test_folds_are_five_of_speakers_and_the_first_is_tested_unless_told_otherwise() -> None:
    assert composed("split=kfold")["split"] == {
        "name": "kfold",
        "seed": 42,
        "folds": 5,
        "fold": 0,
        "by": "speaker",
        "val": 0.15,
    }
    assert composed("split=loso")["split"] == {"name": "loso", "seed": 42, "fold": 0, "by": "speaker", "val": 0.15}


def test_classes_can_be_merged_by_corpus_on_the_command_line() -> None:
    labels = composed("labels.merge={ravdess/calm:neutral,excited:happy}", "labels.keep=[neutral,happy]")["labels"]
    assert labels == {
        "merge": {"ravdess/calm": "neutral", "excited": "happy"},
        "keep": ["neutral", "happy"],
        "drop": None,
    }
    assert composed("labels=iemocap4", "labels.drop=[sad]")["labels"]["drop"] == ["sad"]


def test_several_corpora_and_their_places_can_be_given_on_the_command_line() -> None:
    cfg = composed(
        "dataset=multi",
        "dataset.names=[crema_d,ravdess]",
        "dataset.roots={crema_d:/corpora/crema}",
        "dataset.metadata={crema_d:/corpora/tables}",
    )
    assert cfg["dataset"]["names"] == ["crema_d", "ravdess"]
    assert cfg["dataset"]["roots"] == {"crema_d": "/corpora/crema"}
    assert cfg["dataset"]["metadata"] == {"crema_d": "/corpora/tables"}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seed=x", "seed='x' must be a whole number"),
        ("seed=1.5", "seed=1.5 must be a whole number"),
        ("seed=-1", "seed=-1 must lie between 0 and"),
        ("early_stopping_patience=x", "must be a whole number or null"),
        ("dataset.root=2024", "dataset.root=2024 must be text or null"),
        ("datamodule.batch_size=x", "datamodule.batch_size='x' must be a whole number"),
        ("datamodule.batch_size=true", "datamodule.batch_size=True must be a whole number"),
        ("datamodule.max_seconds=x", "must be a number or null"),
        ("model.learning_rate=x", "model.learning_rate='x' must be a number"),
        ("trainer.max_epochs=many", "trainer.max_epochs='many' must be a whole number or null"),
        ("features.sample_rate=0", "features.sample_rate=0 must lie between"),
        ("model.dropout=7", "can't be built with these numbers"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_choices(composed(override))
    assert told in str(caught.value)


def test_a_whole_number_will_do_for_a_number_and_null_where_it_may_be() -> None:
    words = (
        "model.learning_rate=1",
        "datamodule.max_seconds=3",
        "early_stopping_patience=null",
        "trainer.max_time=null",
    )
    check_choices(composed(*words))


def test_a_folder_that_can_not_be_made_ends_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cfg = OmegaConf.create({"hydra": {"run": {"dir": f"{tmp_path}/file/a"}, "sweep": {"dir": f"{tmp_path}/b/c"}}})
    with pytest.raises(SystemExit, match=r"error: hydra\.run\.dir=.* can't be made"):
        AloneInFolder().on_run_start(cfg)
    AloneInFolder().on_multirun_start(cfg)
    assert (tmp_path / "b/c").is_dir()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("features.normalize=none",), "augment.spec fills with 0"),
        (
            ("model=seresnet", "features=logmel", "features.names=[mel]", "augment.spec.level_db=6"),
            "clip's level",
        ),
        (("model=cnn1d", "features=zcr", "augment.spec.frequency_warp=0.1"), "stretches the mel scale"),
        (("model=probe", "features=wavlm", "features.fine_tune=true", "features.normalize=none"), "reads waveforms"),
    ],
)
def test_augmentation_that_is_not_for_the_features_is_refused_before_data_is_read(
    words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        check_choices(composed(*words))


def test_a_list_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="model=seresnet can't be built with these numbers"):
        check_choices(composed("model=seresnet", "model.channels=5"))


def test_a_random_piece_of_each_clip_needs_a_network_that_reads_any_length() -> None:
    check_choices(composed("model=seresnet", "augment.spec.crop_frames=50"))
    with pytest.raises(ConfigError, match=r"crop_frames=50: model=paper2d reads clips of one length.*model=seresnet"):
        check_choices(composed("augment.spec.crop_frames=50"))


@pytest.mark.parametrize(
    ("word", "now"),
    [
        ("augment.wave.noise=0.5", "augment.wave.noise.chance="),
        ("augment.wave.snr_low_db=3", "augment.wave.noise.snr_low_db="),
        ("augment.wave.impulse_folder=rooms", "augment.wave.reverberation.folder="),
        ("features.mel_reference=one", "features=logmel, where it was one"),
    ],
)
def test_an_option_of_an_earlier_version_is_refused_with_its_name_now(word: str, now: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{word}: {word.partition('=')[0]}= is called {now}")):
        composed(word)
    assert composed("augment.wave.noise={chance: 0.5}")["augment"]["wave"]["noise"]["chance"] == 0.5


def test_the_recipe_has_an_augmentation_of_its_own_and_none_means_none() -> None:
    pieces = {"crop_frames": 160, "frequency_warp": 0.06, "level_db": 6.0}
    parts = {name: composed(f"augment={name}")["augment"] for name in ("none", "spec", "wave", "full")}
    for own, base in (("seresnet", "spec"), ("seresnet_wave", "wave"), ("seresnet_full", "full")):
        expected = {**parts[base], "spec": {**parts[base]["spec"], **pieces}}
        assert composed("experiment=seresnet", f"augment={own}")["augment"] == expected
    assert composed("experiment=seresnet") == composed("experiment=seresnet", "augment=seresnet")
    for name, part in parts.items():
        assert composed("experiment=seresnet", f"augment={name}")["augment"] == part
