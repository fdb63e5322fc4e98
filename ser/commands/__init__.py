"""What ``ser NAME`` runs, one module per command: it reads the options, calls the library and prints."""
