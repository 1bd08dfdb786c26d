"""Measurements. Nothing here is asserted: the numbers go into docs/benchmarks.md with the machine they come from."""
