"""The one exception a person is meant to read."""


class UserError(Exception):
    """A clear sentence: what is wrong, and what to do about it.

    Everything that is raised as something else is a bug of ours.
    """
