"""What happens around the epochs of a run: callbacks, resuming, starting, ranks, sweeps, searches, TensorBoard."""
