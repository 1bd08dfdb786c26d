"""Published VideoLLaMA3 and CrashChat checkpoints to the layout that this engine loads; see `checkpoints`."""

from model_assist.crashchat.convert.checkpoints import convert_adapter, convert_base, main, verify

__all__ = ["convert_adapter", "convert_base", "main", "verify"]
