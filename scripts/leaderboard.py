"""What ``ser leaderboard`` does, from a checkout."""

from ser.commands.leaderboard import main

if __name__ == "__main__":
    main()
