"""Tools on a corpus, a checkpoint or a run folder; an installed package has them as ``ser.commands``."""
