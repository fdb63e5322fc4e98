"""What ``ser enrolment`` does, from a checkout."""

from ser.commands.enrolment import main

if __name__ == "__main__":
    main()
