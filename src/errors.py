"""Errors meant for people: one line that says where, what was expected, what was received, what to do."""

import difflib
import functools
import signal
import sys


class LaboratoryError(Exception):
    """A mistake in configuration or data that its author can repair; shown as one line, without a traceback.

    Keys, file names and the words of other programs get into the message; none of them may break the line or send
    control codes to a terminal.
    """

    def __init__(self, message):
        line = " ".join(message.split())
        super().__init__("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line))


def closest(name, known):
    """The known name most like `name`, as the tail of an error message ('' when nothing is alike)."""
    matches = difflib.get_close_matches(str(name).lower(), {str(k).lower(): k for k in known}, n=1, cutoff=0.5)
    return f"; did you mean '{next(k for k in known if str(k).lower() == matches[0])}'?" if matches else ""


def command(main):
    """Decorate a stage's `main`: a LaboratoryError, Ctrl-C or SIGTERM becomes one line on stderr and exit status 1.

    So does what a disk can do: full, read-only, over quota. Anything else keeps its traceback: it is our mistake, and hiding
    it would help nobody.
    """

    @functools.wraps(main)
    def wrapper():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end, as of Ctrl-C
        try:
            main()
        except LaboratoryError as error:
            sys.exit(f"error: {error}")
        except FileNotFoundError:
            raise
        except OSError as error:
            sys.exit(f"error: {LaboratoryError(str(error))}. Finished experiments are kept; make room or give access, and run "
                     "the same command again")  # fmt: skip
        except KeyboardInterrupt:
            sys.exit("stopped. Finished experiments are kept; run the same command again to continue.")

    return wrapper
