"""Every way in, fuzzed: whatever comes gives a right result or a plain error, soon and in little
memory. `python -m scripts.fuzz --minutes 10 --out results/fuzz.json` does so at length."""
