"""What ``ser cache`` does, from a checkout."""

from ser.commands.cache import main

if __name__ == "__main__":
    main()
