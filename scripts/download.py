"""What ``ser download`` does, from a checkout."""

from ser.commands.download import main

if __name__ == "__main__":
    main()
