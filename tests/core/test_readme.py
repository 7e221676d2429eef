"""The README's numbers are the records'."""

from __future__ import annotations

from scripts.readme import README, rewritten


def test_the_readme_has_the_numbers_of_the_records() -> None:
    text = README.read_text()
    assert rewritten(text) == text, "Run `python -m scripts.readme`."
