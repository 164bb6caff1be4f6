"""Landmark schemes: what each point is called, which points mirror into which, and which make an eye.

A scheme is plain data. Indices are 0-based. "left" and "right" are the *person's* own, as in iBUG's
papers: the right eye (36-41) is on the left side of an unmirrored picture.
"""

from flmd.schemes.base import SCHEMES, Scheme, get_scheme, register, scheme_of_count
from flmd.schemes.ibug import IBUG68

__all__ = ["IBUG68", "SCHEMES", "Scheme", "get_scheme", "register", "scheme_of_count"]
