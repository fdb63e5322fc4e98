"""What ``ser transfer`` does, from a checkout."""

from ser.commands.transfer import main

if __name__ == "__main__":
    main()
