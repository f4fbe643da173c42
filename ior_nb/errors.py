"""Every exception this package raises on purpose.

    IorError
    ├─ ConfigError(ValueError)              a wrong option, name or value; nothing was started
    │   ├─ FilterSyntaxError                filter text that does not parse: .text, .position
    │   └─ NoCommand                        the command is not there or no program: .status
    ├─ SourceError
    │   ├─ SourceUnavailable                no bcc, no BTF, not Linux: says what to install
    │   ├─ PermissionDenied(PermissionError)  the rights to load BPF programs are missing
    │   ├─ ProgramRejected                  compiler or verifier said no: .log
    │   └─ CollectorDied                    the privileged process ended on its own
    ├─ RecordingError(OSError)              a recording cannot be written or read
    └─ SessionClosed(RuntimeError)          used after close()

    IorWarning(UserWarning)
    └─ LostEventsWarning                    the result is not complete, and says by how much

A message says what failed, what was seen, and what to do. It may have names in it that others made: as text no
character of it acts on a terminal, but the ends of its lines.
"""


class _Harmless(Exception):
    """An exception whose text is printable, in lines."""

    def __str__(self) -> str:
        text = super().__str__()
        if text.isascii() and text.isprintable():
            return text
        shown = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
        return "".join(shown)


class IorError(_Harmless):
    """Base of all errors of this package."""


class ConfigError(IorError, ValueError):
    """An option, name or value the user gave cannot be used. Nothing was started."""


class FilterSyntaxError(ConfigError):
    """Filter text that does not parse.

    Args:
        message: what was expected.
        text: the whole filter text.
        position: index of the offending character in `text`.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        before, behind = _visible(text[:position]), _visible(text[position:])
        super().__init__(f"{_visible(message)}\n  {before}{behind}\n  {' ' * len(before)}^")
        self.text = text
        self.position = position


class NoCommand(ConfigError):
    """The command to trace is not there, is no program, or was ended before it began.

    Args:
        message: one line.
        status: the exit status a shell has for it: 127 not found, 126 not executable, 128 + n ended by signal n.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _visible(text: str) -> str:
    """Return text with everything a terminal would act on, or not show, as an escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class SourceError(IorError):
    """Events cannot be captured."""


class SourceUnavailable(SourceError):
    """This machine lacks something the engine needs; the message says what to install."""


class PermissionDenied(SourceError, PermissionError):
    """The rights to load BPF programs are missing; the message says how to give them."""


class ProgramRejected(SourceError):
    """The compiler or the kernel's verifier refused the program.

    Args:
        message: one line.
        log: everything the compiler or verifier printed.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class CollectorDied(SourceError):
    """The collector process ended while it was needed."""


class RecordingError(IorError, OSError):
    """A recording cannot be written or read."""


class SessionClosed(IorError, RuntimeError):
    """The object was used after it was closed."""


class IorWarning(_Harmless, UserWarning):
    """Base of all warnings of this package."""


class LostEventsWarning(IorWarning):
    """Some events are missing from the result; the message says how many and why."""
