"""Look through a corpus before training on it.

Takes the words of ``train.py`` (dataset=, labels=, split=, features.sample_rate=). Prints clips, hours, speakers,
classes, rates and lengths; clips that are silent, clipped or can't be used; copies of one recording; and what the split
leaves on its sides. Writes clips.csv and pictures: label counts, lengths, a raw waveform and a log-mel of each class.
"""

from ser.commands.cli import add_out, command_parser, errors_in_words


def main() -> None:
    """Look through the corpus that the words name."""
    parser = command_parser(__doc__, "dataset=folder dataset.root=my_clips split=speaker")
    parser.add_argument(
        "words", nargs="+", metavar="WORD", help="as train.py takes them: dataset=NAME, dataset.root=…, split=…"
    )
    add_out(parser, "outputs/explore")
    parser.add_argument("--clip", metavar="EMOTION", help="write the first clip of this emotion as a WAV file")
    parser.add_argument("--at", type=int, default=0, metavar="PLACE", help="… at this place of the list or after it")
    options = parser.parse_args()
    with errors_in_words():
        from ser.commands._explore import explore
        from ser.config import compose_words

        explore(compose_words(options.words), options.out, options.clip, options.at)
