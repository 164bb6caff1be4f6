"""Landmark schemes: what each point is called, which points mirror into which, and which make an eye.

A scheme is plain data. Indices are 0-based. "left" and "right" are the *person's* own, as in iBUG's
papers: the right eye (36-41) is on the left side of an unmirrored picture.

``flmd.schemes.mapping.mapping`` carries points from one scheme to another.
"""

from flmd.schemes.aflw import AFLW19
from flmd.schemes.base import SCHEMES, Scheme, get_scheme, register, scheme_of_count
from flmd.schemes.cofw import COFW29
from flmd.schemes.five import CELEBA5, MTFL5
from flmd.schemes.ibug import IBUG51, IBUG68, WHOLEBODY68
from flmd.schemes.kaggle import KAGGLE15
from flmd.schemes.lapa import JD106, LAPA106
from flmd.schemes.mapping import SchemeMapping, available
from flmd.schemes.mediapipe import MEDIAPIPE478
from flmd.schemes.openpose import OPENPOSE70
from flmd.schemes.wflw import WFLW98

__all__ = [
    "AFLW19",
    "CELEBA5",
    "COFW29",
    "IBUG51",
    "IBUG68",
    "JD106",
    "KAGGLE15",
    "LAPA106",
    "MEDIAPIPE478",
    "MTFL5",
    "OPENPOSE70",
    "SCHEMES",
    "WFLW98",
    "WHOLEBODY68",
    "Scheme",
    "SchemeMapping",
    "available",
    "get_scheme",
    "register",
    "scheme_of_count",
]
