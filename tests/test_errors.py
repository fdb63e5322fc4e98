import subprocess
import sys
from io import StringIO

import pytest
from rich.table import Table

from ser.errors import Screen, UserError, escape, visible

HOSTILE = "a\x1b[2J\x07\r\n[b]\x9b\u202e:smile: \u2028\udcff[/nothing]\\"
SHOWN = r"a\x1b[2J\x07\r\n[b]\x9b\u202e:smile: \u2028\udcff[/nothing]" + "\\"


def test_what_acts_on_a_terminal_is_shown_as_an_escape() -> None:
    assert visible(HOSTILE) == SHOWN == visible(SHOWN)
    for seen in ("anger", "гнев", "怒り", "می\u200cخواهم", "ë", "e\u0308", "😀", "a\u00a0b"):
        assert visible(seen) == seen
    assert visible("a\n\tb", lines=True) == "a\n\tb"
    assert visible("a\n\tb") == r"a\n\tb"
    assert str(UserError(HOSTILE, HOSTILE)) == f"{SHOWN}\n  {SHOWN}"


def test_nothing_that_is_printed_acts_on_a_terminal_or_is_lost() -> None:
    screen = Screen(file=(file := StringIO()), width=200)
    table = Table(title=escape(HOSTILE))
    table.add_column(escape(HOSTILE))
    table.add_row(escape(HOSTILE))
    screen.print(table)
    screen.print(escape(HOSTILE))
    assert file.getvalue().count(SHOWN) == 4
    screen.print("not escaped: \x1b[2J", table)
    assert "\x1b" not in file.getvalue()


ENDLESS = """
import sys
from ser.errors import Screen, outlast_readers
outlast_readers()
screen = Screen()
for epoch in range(5000):
    screen.print("epoch", epoch)
    print("and so", "on")
sys.exit(7)
"""


@pytest.mark.parametrize("closed", [True, False])
def test_a_run_goes_on_when_nobody_reads_what_it_prints(closed: bool) -> None:
    errors = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, stderr=errors, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "epoch 0\n"
        if closed:
            run.stdout.close()
            assert run.stderr is not None
            said = run.stderr.read()
            assert said == "Nobody reads what this run prints: it goes on, and its folder has the results\n"
        else:
            assert run.communicate()[0].endswith("and so on\n")
    assert run.returncode == 7
