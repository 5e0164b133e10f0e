"""What a plugin does ends no process and prints into no output; what the user asks for does stop."""

import signal
import subprocess
import sys
import threading
from asyncio import CancelledError

import pytest

from tokzoo.contracts.errors import Escape, describe
from tokzoo.contracts.guard import foreign_code

ASKED = """
import signal, time
from tokzoo.contracts.guard import SIGNALS, Stopped, foreign_code, stop_on_signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start what is in the background without it
signal.signal(signal.SIGHUP, {hang_up})
stop_on_signals()
for number in SIGNALS:
    try:
        with foreign_code():
            signal.raise_signal(number)
            time.sleep(0.01)
    except Stopped:
        print(number.name)
try:
    with foreign_code():
        raise KeyboardInterrupt
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("hang_up", "said"),
    [("signal.SIG_DFL", "SIGINT SIGTERM SIGHUP Escape"), ("signal.SIG_IGN", "SIGINT SIGTERM Escape")],
    ids=["as usual", "nohup"],
)
def test_signals_ask_to_stop_and_components_do_not(hang_up, said):
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(hang_up=hang_up)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == said.split()


def test_where_nothing_else_is_said_an_interrupt_is_the_users(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    monkeypatch.setattr(threading, "current_thread", threading.main_thread)
    with pytest.raises(KeyboardInterrupt), foreign_code():
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "said"), [(SystemExit("bye"), "SystemExit: bye"), (CancelledError("x"), "CancelledError: x")]
)
def test_what_would_end_the_process_is_an_error_as_any(error, said):
    with pytest.raises(Escape) as caught, foreign_code():
        raise error
    assert describe(caught.value) == said


def test_what_is_printed_is_no_output(capsys):
    with foreign_code():
        sys.stdout.write("loud\n")
    assert capsys.readouterr() == ("", "loud\n")
