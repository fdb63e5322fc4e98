"""What ``ser export`` does, from a checkout."""

from ser.commands.export import main

if __name__ == "__main__":
    main()
