"""Sound files → clips → waveforms: corpora, labels, decoding, splits, the bank and the cache."""
