"""What ``ser explore`` does, from a checkout."""

from ser.commands.explore import main

if __name__ == "__main__":
    main()
