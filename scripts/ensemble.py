"""What ``ser ensemble`` does, from a checkout."""

from ser.commands.ensemble import main

if __name__ == "__main__":
    main()
