"""Benchmarks: ``python -m benchmarks [NAME]`` prints figures, and compares only within one run."""
