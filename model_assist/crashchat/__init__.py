"""The CrashChat engine: six answers about one clip from a VideoLLaMA3 model with LoRA adapters.

Pure PyTorch, no Django.  This module stays empty of imports on purpose: the frame-reading child process
imports `model_assist.crashchat.frames` and must start without paying for torch.
"""
