"""IEMOCAP: 10,039 utterances of 5 sessions, a woman and a man in each (Busso et al., 2008, LREV 42(4)).

1,103 anger, 595 happy, 1,041 excited, 1,084 sad, 1,708 neutral, 1,849 frustrated, 107 surprise, 40 fear, 3 other,
2 disgust; on 2,507 the raters were undecided. The four classes of many papers are 5,531 utterances: anger, sad,
neutral, and happy with excited.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ser.data.corpora.clip import Clip, CorpusError, list_files, warn
from ser.data.corpora.facts import Facts
from ser.data.corpora.reading import forbid_copies

HOME = "https://sail.usc.edu/iemocap/"

FACTS = Facts(
    title="IEMOCAP",
    licence="licence agreement of the University of Southern California; not to be passed on",
    what="dialogues of two",
    label="what most of at least three raters took it for",
    speech="acted and improvised",
    language="English",
    speakers=10,
    people="actors, 5 women and 5 men, a pair in each of 5 sessions",
    clips=10039,
    home=HOME,
    citation="Busso, Bulut, Lee, Kazemzadeh, Mower, Kim, Chang, Lee and Narayanan (2008). IEMOCAP: Interactive "
    "Emotional Dyadic Motion Capture Database. Language Resources and Evaluation 42(4), 335-359. "
    "https://doi.org/10.1007/s10579-008-9076-6",
    on_request=True,
)

EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excited",
    "fea": "fear",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sad",
    "sur": "surprise",
    "xxx": "undecided",
}

LABELS = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
SOUND = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"

# [START - END], utterance, label. The utterance's last part begins with who speaks, the first ends with whose motion
# was captured.
LINE = re.compile(r"\[[^]]*\]\s+(?P<name>Ses0(?P<session>[1-5])[FM]_\w+_(?P<voice>[FM])\w+)\s+(?P<label>\w+)\b.*")


def read(root: Path) -> list[Clip]:
    """Return clips of every utterance that has a label and sound below ``root``, all eleven labels, sorted by name.

    One warning counts utterances with a label and no sound, another those with sound and no label.

    Raises:
        CorpusError: There are no labels or no sound for them, a label is not known, an utterance has two labels that
            differ, or two files carry the same name.
    """
    found = list_files(root)
    labels = _labels(root, found.others)
    files = [path for path in found.sounds if path.parts[-4:-2] == ("sentences", "wav")]
    forbid_copies(root, {path: path.stem for path in files}, "IEMOCAP")
    sound = {path.stem: path for path in files}
    clips = [
        Clip(
            name=name,
            path=sound[name],
            emotion=EMOTIONS[match["label"]],
            speaker=f"Ses0{match['session']}{match['voice']}",
            session=match["session"],
            sex={"F": "female", "M": "male"}[match["voice"]],
        )
        for name, match in sorted(labels.items())
        if name in sound
    ]
    if not clips:
        raise CorpusError(
            f"{root} holds labels of {len(labels)} utterances of IEMOCAP and sound of none of them; "
            f"it belongs at {SOUND}; see {HOME}"
        )
    for names, lack in (
        (sorted(labels.keys() - sound.keys()), "utterances of IEMOCAP that have a label but no sound"),
        (sorted(sound.keys() - labels.keys()), "sound files of IEMOCAP that have no label"),
    ):
        if names:
            warn(f"left out {len(names)} {lack}, such as {names[0]!r} in {root}")
    return clips


def _labels(root: Path, files: Sequence[Path]) -> dict[str, re.Match[str]]:
    """Return the line with the label of each utterance, by the utterance's name."""
    labels: dict[str, re.Match[str]] = {}
    for path in files:
        if path.parts[-3:-1] != ("dialog", "EmoEvaluation") or path.suffix != ".txt":
            continue
        # Other lines are single raters' opinions. Their remarks are not always UTF-8.
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("["):
                continue
            match = LINE.fullmatch(line)
            if match is None or match["label"] not in EMOTIONS:
                raise CorpusError(
                    f"{path}: can't read {line!r}; IEMOCAP gives times, utterance and one of {', '.join(EMOTIONS)}; "
                    f"get the file again from {HOME}"
                )
            known = labels.setdefault(match["name"], match)
            if known["label"] != match["label"]:
                raise CorpusError(
                    f"{path} labels {match['name']} {match['label']!r}, another file or line {known['label']!r}; "
                    f"keep one release of IEMOCAP below {root}"
                )
    if not labels:
        raise CorpusError(f"{root} holds no labels of IEMOCAP ({LABELS}); see {HOME}")
    return labels
