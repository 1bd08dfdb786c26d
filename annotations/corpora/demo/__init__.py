"""A small synthetic crash corpus with exact ground truth: for the demo, the tests and for trying things
out."""

from annotations.corpora.demo.corpus import DemoClip, DemoReport, draw_clips, generate

__all__ = ["DemoClip", "DemoReport", "draw_clips", "generate"]
