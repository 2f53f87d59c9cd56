"""The errors that a user can cause; the command line prints them as one line, without a traceback."""


class InputError(ValueError):
    """A file, a record or an argument is not what it must be.

    The message is one line: where (file, line, field or option), what must be there, what was found.
    """


class ConfigError(InputError):
    """A configuration names something unknown, or gives a value of the wrong kind; says the key's path."""
