"""What ``ser search`` does, from a checkout."""

from ser.commands.search import main

if __name__ == "__main__":
    main()
