"""What ``ser evaluate`` does, from a checkout."""

from ser.commands.evaluate import main

if __name__ == "__main__":
    main()
