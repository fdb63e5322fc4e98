"""Your own recordings, one sub-folder an emotion: ``my_clips/happy/001.wav``."""

from pathlib import Path

from ser.corpora.clip import Clip, CorpusError, sound_files
from ser.corpora.facts import OWN, Facts

FACTS = Facts(title="Your own recordings", licence=OWN, what="one sub-folder an emotion", label="the sub-folder's name")


def read(root: Path) -> list[Clip]:
    """Clips of the sound files below each sub-folder of ``root``; the sub-folder's name is the emotion.

    Speakers are not known, so ``split=speaker`` needs a manifest instead.

    Raises:
        CorpusError: There are fewer than two sub-folders with sound in them, or sound lies beside them, unlabelled.
    """
    clips = []
    for path in sound_files(root):
        inside = path.relative_to(root)
        if len(inside.parts) == 1:
            raise CorpusError(f"{path} lies in no sub-folder, so its emotion is not known: move it into one")
        clips.append(Clip(name=inside.as_posix(), path=path, emotion=inside.parts[0].strip().lower()))
    emotions = sorted({clip.emotion for clip in clips})
    if len(emotions) < 2:
        raise CorpusError(
            f"{root} needs at least two sub-folders with sound files, one an emotion; found {emotions or 'none'}"
        )
    return clips
