"""Every way in, fuzzed: whatever comes gives a right result or a plain error, soon and in little
memory. `python -m scripts.fuzz --minutes 10 --out results/fuzz.json` does so at length.

Hypothesis draws the inputs. A fuzzer that is led by coverage would see no further here: pictures
are decoded in Pillow's compiled libraries, weights in safetensors', and neither is built to be
watched; what is Python's own, the readers of JSON and of words, is short and reached by rule.
"""
