"""A run as one HTML file: the player and the recording, and nothing fetched. No streamlit here."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from apr_core.data.images import OWN_PICTURE
from apr_ui.component.assets import ZOOM, asset

_FOLDERS = Path(__file__).parent, ZOOM
_COLOURS = """
:root { color-scheme: light dark; --st-font: system-ui, sans-serif; --st-base-radius: 0.5rem;
  --st-text-color: #1b1f24; --st-background-color: #ffffff; --st-primary-color: #b3261e;
  --st-secondary-background-color: #f3f4f6; --st-border-color: #c9ced6; }
@media (prefers-color-scheme: dark) { :root { --st-text-color: #eceff3;
  --st-background-color: #14171c; --st-primary-color: #d13f31;
  --st-secondary-background-color: #1f242b; --st-border-color: #47505c; } }
body { margin: 1.5rem auto; max-width: 32rem; padding: 0 1rem; font-family: var(--st-font);
  color: var(--st-text-color); background: var(--st-background-color); }
"""


def standalone_page(recording: dict[str, Any]) -> str:
    """The page's text.

    Args:
        recording: as `apr_core.serving.run_export.record` makes it.
    """
    inert = json.dumps(recording).replace("<", "\\u003c")  # no text in it can end the script
    own = recording["index"] == OWN_PICTURE
    picture = "a picture of one's own" if own else f"test image {recording['index']}"
    title = html.escape(f"{recording['model']}, {picture}")
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_COLOURS}{asset("css", *_FOLDERS)}</style>
<h1>{title}</h1>
<main>{asset("html", *_FOLDERS)}</main>
<script type="application/json" id="run">{inert}</script>
<script type="module">{asset("js", *_FOLDERS)}
const data = JSON.parse(document.getElementById("run").textContent);
mount({{ parentElement: document.querySelector("main"), data }});
</script>
</html>
"""
