"""CREMA-D: 7,442 acted clips by 91 actors, 12 sentences, six emotions (Cao et al., 2014, IEEE TAFFC 5(4))."""

import re
import warnings
from pathlib import Path

from ser.corpora.clip import Clip, CorpusError, sound_files

REPOSITORY = "https://github.com/CheyneyComputerScience/CREMA-D"

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}

# ACTOR_SENTENCE_EMOTION_LEVEL. One clip of older copies, 1040_ITH_SAD_X, has a level of one letter.
STEM = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>LO|MD|HI|XX?)")


def read(root: Path) -> list[Clip]:
    """Clips of every file below ``root`` that is named as CREMA-D names them, sorted by name.

    Other sound files are left out with a warning: copies such as ``1001_DFA_ANG_XX (1).wav`` would put one recording
    on two sides of a split.

    Raises:
        CorpusError: No clip has a name of CREMA-D, or two files carry the same name.
    """
    found: dict[str, Clip] = {}
    strays: list[str] = []
    for path in sound_files(root):
        match = STEM.fullmatch(path.stem)
        if match is None or match["emotion"] not in EMOTIONS:
            strays.append(path.name)
            continue
        if path.stem in found:
            raise CorpusError(
                f"two files for one clip of CREMA-D: {found[path.stem].path} and {path}; "
                "remove one, or point dataset.root= at one folder of them (AudioWAV)"
            )
        found[path.stem] = Clip(
            name=path.stem,
            path=path,
            emotion=EMOTIONS[match["emotion"]],
            speaker=match["actor"],
            sentence=match["sentence"],
            intensity="XX" if match["level"] == "X" else match["level"],
        )
    if not found:
        raise CorpusError(f"{root} holds no clip named as CREMA-D names them (1001_DFA_ANG_XX.wav); see {REPOSITORY}")
    if strays:
        warnings.warn(
            f"left out {len(strays)} sound files that are not named as CREMA-D names them, "
            f"such as {strays[0]!r} in {root}",
            stacklevel=2,
        )
    return [found[stem] for stem in sorted(found)]
