"""What ``ser robustness`` does, from a checkout."""

from ser.commands.robustness import main

if __name__ == "__main__":
    main()
