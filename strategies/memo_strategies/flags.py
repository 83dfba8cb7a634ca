"""What can be special about a thing that is reached, as bits."""

IDENTITY = 1
"""Two equal ones are still two: what changes one does not change the other."""

NOTED = 2
"""Something in it could not be followed."""

REBINDS = 4
"""It assigns globals."""

SUBCLASSES = 8
"""It asks classes for their subclasses."""

NAMES, MODULES, DOCS, ANNOTATIONS = 16, 32, 64, 128
"""It looks at the names of other things, at the modules they are in, at their docstrings, at their annotations."""

REFLECTS = NAMES | MODULES | DOCS | ANNOTATIONS
"""Any of these."""
