"""What ``ser adapt`` does, from a checkout."""

from ser.commands.adapt import main

if __name__ == "__main__":
    main()
