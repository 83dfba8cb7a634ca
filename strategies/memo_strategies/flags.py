"""What can be special about a thing that is reached, as bits."""

IDENTITY = 1
"""Two equal ones are still two: what changes one does not change the other."""

SEVERAL = 2
"""It reaches several such things, or one in several ways."""

NOTED = 4
"""Something in it could not be followed."""

REBINDS = 8
"""It assigns globals."""

SUBCLASSES = 16
"""It asks classes for their subclasses."""

NAMES, MODULES, DOCS, ANNOTATIONS = 32, 64, 128, 256
"""It looks at the names of other things, at the modules they are in, at their docstrings, at their annotations."""

REFLECTS = NAMES | MODULES | DOCS | ANNOTATIONS
"""Any of these."""

ORDER = 512
"""It looks at attributes in the order in which they were made."""

HEIRS = 1024
"""It asks a class that it names for its subclasses."""

VARIABLES, TEXTS = 2048, 4096
"""It looks at the names of other functions' variables, at their source text."""


def united(some: int, others: int) -> int:
    """The flags of what reaches two things, which may be one thing twice."""
    return some | others | (SEVERAL if some & others & IDENTITY else 0)
