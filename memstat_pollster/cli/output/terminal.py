# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""What a terminal shows: colours, how far something is, a picture redrawn.

Nothing of it is written to what is no terminal.
"""

import collections.abc
import contextlib
import io
import os
import re
import shutil
import signal
import sys
import time
import types
import typing

import wcwidth

from memstat_pollster.model import advice
from memstat_pollster.model import status

_RESET: typing.Final = '\033[0m'
_GREEN, _YELLOW, _RED, _DIM = (
    f'\033[{code}m' for code in (32, 33, 31, 2))

_PAINT: typing.Final = re.compile('\033\\[[0-9;]*m')

_COLOURS: typing.Final[collections.abc.Mapping[advice.Severity, str]] = {
    advice.Severity.BAD: _RED,
    advice.Severity.WARN: _YELLOW,
    advice.Severity.CALM: _DIM,
    advice.Severity.GOOD: _GREEN,
}

#: The other screen, without a cursor; what is too long for a line is cut off.
_ENTER: typing.Final = '\033[?1049h\033[?25l\033[?7l'
_LEAVE: typing.Final = '\033[?7h\033[?25h\033[?1049l'

#: How often a line that counts seconds is written anew.
_TICK_S: typing.Final = 0.2


def has_colours(stream: typing.TextIO) -> bool:
    """Whether a stream is a terminal whose user wants colours.

    See https://no-color.org.
    """
    return _obeys(stream) and not os.environ.get('NO_COLOR')


def _obeys(stream: typing.TextIO) -> bool:
    """Whether a stream is a terminal that can do more than print."""
    return stream.isatty() and os.environ.get('TERM') != 'dumb'


def size(stream: typing.TextIO) -> os.terminal_size:
    """Columns and lines of a terminal; COLUMNS and LINES go before them."""
    try:
        own = os.get_terminal_size(stream.fileno())
    except OSError:
        # A picture that is collected has no terminal of its own.
        own = os.terminal_size((0, 0))
    return shutil.get_terminal_size((own.columns or 80, own.lines or 24))


def width(stream: typing.TextIO) -> int:
    """How many columns there are for text; 79 where it is no terminal."""
    return size(stream).columns if stream.isatty() else 79


def columns(text: str) -> int:
    """How many columns of a terminal a text takes; colours take none.

    :param text: printable but for what :func:`paint` has added
    """
    return max(wcwidth.wcswidth(_PAINT.sub('', text)), 0)


class Picture(io.StringIO):
    """A picture that is collected, to be shown on a screen.

    It has the screen's width and colours.
    """

    def __init__(self, screen: typing.TextIO) -> None:
        super().__init__()
        self._screen = screen

    def isatty(self) -> bool:
        return self._screen.isatty()

    def fileno(self) -> int:
        return self._screen.fileno()


def paint(text: str, now: status.Status, coloured: bool) -> str:
    """A text in the colour of a status."""
    colour = _COLOURS[now.advice.severity]
    return f'{colour}{text}{_RESET}' if coloured else text


class Progress(contextlib.AbstractContextManager['Progress']):
    """One line on stderr that says what is waited for; gone in the end."""

    def __init__(self, stream: typing.TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = _obeys(self._stream)
        self._drawn = False

    def show(self, text: str, done: float | None = None) -> None:
        """Replace the line.

        :param done: how far it is, from 0 to 1; drawn as a bar
        """
        if not self._shown:
            return
        room = width(self._stream) - 1
        if done is not None:
            # The text goes before the bar where there is not room for both.
            length = min(max(room - len('[] ') - len(text), 5), 20)
            full = round(length * min(max(done, 0.0), 1.0))
            text = f'[{"#" * full}{"." * (length - full)}] {text}'
        self._stream.write(f'\r{text[:room]}\033[K')
        self._stream.flush()
        self._drawn = True

    def wait(self, seconds: float, text: str) -> None:
        """Let time pass, and count it down."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self.show(f'{text}; read again in {left_s:.0f} s',
                      1 - left_s / seconds)
            time.sleep(min(_TICK_S, left_s) if self._shown else left_s)

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: types.TracebackType | None) -> None:
        if self._drawn:
            self._stream.write('\r\033[K')
            self._stream.flush()
            self._drawn = False


class _Ended(SystemExit):
    """A signal asked the command to end."""


def _end(number: int, _frame: object) -> None:
    raise _Ended(128 + number)


@contextlib.contextmanager
def ended_by_signals() -> collections.abc.Iterator[None]:
    """For the block, a signal that asks to end raises as Ctrl-C does.

    One that is ignored, as under nohup, stays ignored.
    """
    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def screen(stream: typing.TextIO) -> collections.abc.Iterator[
        collections.abc.Callable[[str], None]]:
    """A picture that is drawn again and again.

    On a terminal it has the other screen, and the one that was there comes
    back however the block ends, and while it is stopped (Ctrl-Z); elsewhere
    one picture follows another.

    :returns: draws a picture, cropped to the terminal's height
    """
    if not _obeys(stream):
        def append(picture: str) -> None:
            stream.write(picture + '\n')
            stream.flush()
        yield append
        return

    def draw(picture: str) -> None:
        height = size(stream).lines
        lines = picture.split('\n')
        if len(lines) > height:
            left = len(lines) - height + 1
            lines = [*lines[:height - 1], f'... {left} lines more']
        stream.write('\033[H' + '\033[K\n'.join(lines) + '\033[K\033[J')
        stream.flush()

    def stop(number: int, _frame: object) -> None:
        # The stream may be in the middle of a picture: it is left alone.
        os.write(stream.fileno(), _LEAVE.encode())
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, stop)
        os.write(stream.fileno(), _ENTER.encode())

    handlers = dict.fromkeys(
        (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT), _end)
    before = {number: signal.signal(number, handler) for number, handler
              in {**handlers, signal.SIGTSTP: stop}.items()}
    try:
        stream.write(_ENTER)
        yield draw
    finally:
        # A terminal that has gone needs no cleaning.
        with contextlib.suppress(OSError):
            stream.write(_LEAVE)
            stream.flush()
        for number, handler in before.items():
            signal.signal(number, handler)
