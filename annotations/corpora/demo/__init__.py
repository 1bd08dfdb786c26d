"""A small synthetic crash corpus with exact ground truth: for the demo, the tests and for trying things
out."""

from annotations.corpora.demo.corpus import DemoReport, generate

__all__ = ["DemoReport", "generate"]
