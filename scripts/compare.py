"""What ``ser compare`` does, from a checkout."""

from ser.commands.compare import main

if __name__ == "__main__":
    main()
