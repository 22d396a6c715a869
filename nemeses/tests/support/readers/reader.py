"""Reads the time of day as Python programs do."""
import sys
import time

for line in sys.stdin:
    print("clock real", time.time_ns(), "mono", time.monotonic_ns(), flush=True)
