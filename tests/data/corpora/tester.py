"""What every reader of files that are named after their clips must do."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from ser.data.corpora.clip import EMOTIONS as VOCABULARY
from ser.data.corpora.clip import SUFFIXES, Clip, CorpusError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


class CorpusTester:
    """A subclass says what its corpus calls its files; ``conftest`` asks each test with each of the cases."""

    read: Callable[[Path], list[Clip]]
    home: str
    examples: tuple[str, ...]
    """Names that a refusal shows."""
    kept: str
    """A clip, without the suffix."""
    passed_over: tuple[str, ...] = ()
    """Files that lie beside ``kept``, are no clips, and are not worth a warning."""
    emotions: ClassVar[dict[str, str]]
    """File → emotion."""
    strays: ClassVar[tuple[str, ...]]
    """Sound files that are no clips."""
    suffixes: ClassVar[tuple[str, ...]] = (*SUFFIXES, ".WAV")
    empty: ClassVar[tuple[list[str], ...]]
    """Files of a folder that is not this corpus."""

    def test_every_emotion(self, tmp_path: Path, emotion_of: tuple[str, str]) -> None:
        file, emotion = emotion_of
        assert [clip.emotion for clip in self.read(touch(tmp_path, file))] == [emotion]
        assert emotion in VOCABULARY

    def test_every_suffix_in_any_case(self, tmp_path: Path, suffix: str) -> None:
        touch(tmp_path, f"{self.kept}{suffix}", *self.passed_over)
        assert [clip.path.name for clip in self.read(tmp_path)] == [f"{self.kept}{suffix}"]

    def test_strays_are_left_out_with_a_warning(self, tmp_path: Path, stray: str) -> None:
        touch(tmp_path, f"{self.kept}.wav", stray)
        with pytest.warns(UserWarning, match="left out 1 sound files") as caught:
            clips = self.read(tmp_path)
        assert [clip.name for clip in clips] == [self.kept]
        assert repr(Path(stray).name) in str(caught[0].message)
        assert str(tmp_path) in str(caught[0].message)

    def test_no_clip_is_an_error_with_the_address(self, tmp_path: Path, files: list[str]) -> None:
        with pytest.raises(CorpusError) as caught:
            self.read(touch(tmp_path, *files))
        for told in (str(tmp_path), *self.examples, self.home):
            assert told in str(caught.value)
