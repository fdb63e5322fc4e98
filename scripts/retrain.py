"""What ``ser retrain`` does, from a checkout."""

from ser.commands.retrain import main

if __name__ == "__main__":
    main()
