"""Makes a new compression dictionary of the synthetic examples: run by hand when new kinds have come.

    .venv/bin/python -m vocab.dictionaries.build activities-2

A dictionary is the canonical form of every valid example, one a line: a raw-content dictionary (RFC 8878, section 5). It
holds nothing that is not in this repository. Envelopes name the dictionary they were compressed with, so a dictionary
that was ever released is never changed or removed; a test holds its hash.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vocab.kinds import load_kinds


def content() -> bytes:
    """The examples of all kinds, in the order of their paths."""
    kinds = load_kinds()
    examples = sorted((Path(__file__).parents[1] / "activities").glob("*/examples/valid/*.json"))
    return b"\n".join(kinds.encode(kinds.decode(path.read_bytes())) for path in examples)


def main() -> None:
    """Write the dictionary of the given name, which must be new."""
    with Path(__file__).with_name(f"{sys.argv[1]}.dict").open("xb") as file:
        file.write(content())


if __name__ == "__main__":
    main()
