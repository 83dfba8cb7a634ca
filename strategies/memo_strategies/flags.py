"""What can be special about a thing that is reached, as bits."""

IDENTITY = 1
"""Two equal ones are still two: what changes one does not change the other."""

REFLECTS = 2
"""It looks at names, docs or annotations of other things."""

SUBCLASSES = 4
"""It asks classes for their subclasses."""

REBINDS = 8
"""It assigns globals."""

NOTED = 16
"""Something in it could not be followed."""
