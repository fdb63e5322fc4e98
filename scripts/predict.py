"""What ``ser predict`` does, from a checkout."""

from ser.commands.predict import main

if __name__ == "__main__":
    main()
