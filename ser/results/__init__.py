"""Results: what a run leaves in its folder and says on screen, and tables of many runs."""

from ser.evaluation import scored
from ser.results.choices import Recipe, flat, read_choices, write_choices
from ser.results.describe import collect, describe_dataset, describe_enrolment, leakage_line, started_as
from ser.results.folder import WRITTEN, place_for, refuse_run_folders, results_of, write
from ser.results.record import SYNTHETIC_CAUTION, RunRecord, find_runs, git_revision, made_by, versions
from ser.results.screen import announce, console, read_clips, show, tell_corpus, tell_unusable

__all__ = [
    "SYNTHETIC_CAUTION", "WRITTEN", "Recipe", "RunRecord", "announce", "collect", "console", "describe_dataset",
    "describe_enrolment", "find_runs", "flat", "git_revision", "leakage_line", "made_by", "place_for", "read_choices",
    "read_clips", "refuse_run_folders", "results_of", "scored", "show", "started_as", "tell_corpus", "tell_unusable",
    "versions", "write", "write_choices",
]  # fmt: skip
