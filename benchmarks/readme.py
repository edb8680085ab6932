"""Tables of figures, and their places in README.md."""

import re
from collections.abc import Iterable
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def table(rows: Iterable[list[str]]) -> str:
    """Rows as a Markdown table whose first row is the head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *body])


def put(marker: str, text: str) -> None:
    """Write text between the README's `<!-- marker:begin -->` and `<!-- marker:end -->`."""
    mark = rf"(<!-- {marker}:begin -->\n).*?(<!-- {marker}:end -->)"
    old = README.read_text("utf-8")
    new, count = re.subn(mark, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"README.md must hold <!-- {marker}:begin --> and its end, once")
    README.write_text(new, "utf-8")
