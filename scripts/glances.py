"""Make the shipped models' glances at the sample anew where their weights have changed.

    python -m scripts.glances

A test notices where that is due.
"""

from __future__ import annotations

from apr_core.evaluation.attribution.cached_predictions import refresh_glances

if __name__ == "__main__":
    for path in refresh_glances():
        print(f"{path.name} is of today's weights.")
