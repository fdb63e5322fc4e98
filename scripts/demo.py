"""What ``ser demo`` does, from a checkout."""

from ser.commands.demo import main

if __name__ == "__main__":
    main()
