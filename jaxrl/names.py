"""What to say about a name that does not exist."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: object, known: Iterable[object], where: str = "") -> str:
    """One sentence about a name that does not exist, with the closest ones that do."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    what = f"{kind} {name!r}" + f" {where}" * bool(where)
    if close:
        return f"there is no {what}; the closest are {', '.join(close)}"
    return f"there is no {what}; there are {', '.join(sorted(names))}"
