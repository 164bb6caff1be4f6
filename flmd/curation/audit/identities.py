"""People and pictures that are in two splits."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from flmd.curation.audit.findings import Shared

MOST_OF_A_STORE = 0.25  # a name that more of the pictures share is the data set's, not a person's
FEW = 40  # pictures; in smaller stores one person may well be a quarter
_NUMBER = re.compile(r"^(?P<base>.*?)[_\-. ]?(?P<number>[0-9]+)$")
_MIRROR = re.compile(r"[_-](mirror|mirrored|flip|flipped|hflip)$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_PHOTO = re.compile(r"[0-9]{6,}")


def person_named(image: str) -> str | None:
    """Whom, or which photo, a picture's name says: "Luis_Fonsi" for ``test/Luis_Fonsi_21.jpg``.

    The last number counts frames. The rest must be two words (first and last name) or a photo's long
    number; of ``Luis_Fonsi/0021.jpg`` the folder is taken. None for names like ``image_0021.jpg``.
    """
    stem = unmirrored(image)
    base = posixpath.basename(stem)
    match = _NUMBER.match(base)
    if not match:
        return None
    if not match["base"]:
        base = posixpath.basename(posixpath.dirname(stem))
        return base if _two_names(base) else None
    base = match["base"]
    return base if _two_names(base) or _PHOTO.fullmatch(base) else None


def unmirrored(image: str) -> str:
    """The path without its ending and without what says that it is mirrored."""
    return _MIRROR.sub("", posixpath.splitext(image)[0])


def names_agree(first: str, second: str, mirrored: bool) -> bool:
    """Whether two names say that one is the other mirrored, or the other's copy, in whatever folder."""
    a, b = (posixpath.splitext(posixpath.basename(name))[0] for name in (first, second))
    same = _MIRROR.sub("", a) == _MIRROR.sub("", b)
    return same and (a != b) == mirrored


def shared(names: Sequence[str], splits: Sequence[str], how: str) -> list[Shared]:
    """Names that faces of two splits have; the empty name is nobody's."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    rows: dict[tuple[str, str], int] = {}
    for row, (name, split) in enumerate(zip(names, splits, strict=True)):
        if name and split:
            counts[name][split] += 1
            rows.setdefault((name, split), row)
    found = [
        Shared(name, how, dict(count), tuple(rows[name, split] for split in count))
        for name, count in counts.items()
        if len(count) > 1
    ]
    return sorted(found, key=lambda s: (-sum(s.faces.values()), s.name))


def people_elsewhere(subjects: Sequence[str], splits: Sequence[str]) -> list[str]:
    """ "150 of 150 subjects in test are in train too", for each pair of splits that share any."""
    people: dict[str, set[str]] = defaultdict(set)
    for subject, split in zip(subjects, splits, strict=True):
        if subject and split:
            people[split].add(subject)
    out = []
    for one, other in combinations(sorted(people, key=lambda s: (len(people[s]), s)), 2):
        both = len(people[one] & people[other])
        if both:
            out.append(f"{both} of {len(people[one])} subjects in {one} are in {other} too")
    return out


def shared_names(
    images: Sequence[str], subjects: Sequence[str], splits: Sequence[str], known: Iterable[Shared]
) -> list[Shared]:
    """People that the file names put in two splits, and that the subjects do not tell of already."""
    people = [person_named(image) or "" for image in images]
    told = {s.name for s in known}
    silent = ["" if subject in told else person for subject, person in zip(subjects, people, strict=True)]
    limit = MOST_OF_A_STORE * len(images) if len(images) > FEW else len(images)
    return [s for s in shared(silent, splits, "name") if sum(s.faces.values()) <= limit]


def shared_pictures(images: Sequence[str], digests: Sequence[str], splits: Sequence[str]) -> list[Shared]:
    """Pictures with faces in two splits, by name; copies under another name are pairs."""
    return shared(images, splits, "picture")


def _two_names(text: str) -> bool:
    words = _WORD.findall(text)
    return len(words) >= 2 and all(word[0].isupper() for word in (words[0], words[-1]))
