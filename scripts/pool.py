"""What ``ser pool`` does, from a checkout."""

from ser.commands.pool import main

if __name__ == "__main__":
    main()
