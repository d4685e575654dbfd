"""The documents name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "adr").glob("*.md")])
OURS = "vocab|consent|pod_server|partner_bridge|twin_agent|research_views|dashboard|tvilling|tests|benchmarks|docs|requirements"
NAMED = re.compile(rf"`((?:{OURS})/[A-Za-z0-9_./-]+)`")
LINKED = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document):
    text = document.read_text("utf-8")
    missing = [name for name in NAMED.findall(text) if "NAME" not in name and not (ROOT / name).exists()]
    missing += [
        link
        for link in LINKED.findall(text)
        if "://" not in link and not link.startswith("/") and not (document.parent / link).exists()
    ]
    assert missing == []


def test_there_are_documents_that_name_files():
    assert sum(len(NAMED.findall(document.read_text("utf-8"))) for document in DOCUMENTS) > 60
