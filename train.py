"""Train, test and leave a run folder: ``python train.py model=paper2d features=mel``."""

from ser.errors import suit_terminal
from ser.train import main

if __name__ == "__main__":
    suit_terminal()
    main()
