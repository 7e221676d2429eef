"""Make visits to a running app: `python -m benchmarks.load < plans`.

Each line is a plan in JSON: the server's address, `base`, the most `seconds` that all may take, and
`visits`, each with the fields of `Visit`. The next begins when all visitors of one have left. What
happens is told in lines of JSON as it happens, each with `what`, the `visitor` and the time, `at`
(`time.monotonic`, which a machine's processes share):

- asked: a visitor came, or clicked to start a run; the runs that they see are in that order.
- frame: frames arrived, so many `new` ones; the `run`, and its `queries` so far.
- end: the `run` was seen to have ended, with its `status`.
- click: on a control, `at` so long before something was `drawn` anew and the page was `answered`.
- trouble: an error that the page shows, or a lost connection, as `text`.
- left: all have; `cpu_seconds` that they took of this machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks.load.visit import Visit, make_visit


def tell(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


async def make_visits(plan: dict[str, Any]) -> None:
    began = time.process_time()
    visits = [Visit(**visit) for visit in plan["visits"]]
    tasks = [asyncio.create_task(make_visit(plan["base"], visit, tell)) for visit in visits]
    done, late = await asyncio.wait(tasks, timeout=plan["seconds"])
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()
    if late:
        text = f"{len(late)} visitors were still there after {plan['seconds']:.0f} s."
        tell({"what": "trouble", "visitor": -1, "at": time.monotonic(), "text": text})
    cpu = time.process_time() - began
    tell({"what": "left", "visitor": -1, "at": time.monotonic(), "cpu_seconds": cpu})


if __name__ == "__main__":
    for line in sys.stdin:
        asyncio.run(make_visits(json.loads(line)))
