"""One original checkpoint, and what it was converted to."""

from pathlib import Path
from typing import Any

from model_assist.crashchat.convert import convert_base
from tests.unit.model_assist.crashchat.convert import originals
from tests.unit.model_assist.crashchat.convert.originals import (
    Weights,
    adapter_weights,
    base_weights,
    original_config,
    projector_weights,
    write_adapter,
    write_base,
)


class Made:
    """One original base, written and converted once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tokenizer = originals.tokenizer_with_marker()
        self.config = original_config(self.tokenizer)
        self.weights = base_weights(self.config)
        self.lora, self.projector = adapter_weights(self.config), projector_weights(self.config)
        self.base = write_base(root / "original", self.config, self.weights, self.tokenizer)
        self.adapter = write_adapter(root / "original-adapter", self.lora, self.projector)
        self.native = root / "native"
        convert_base(self.base, self.native)

    def variant(self, folder: Path, weights: Weights | None = None, **kwargs: Any) -> Path:
        """The base written anew, with other weights or settings."""
        layout = kwargs.pop("layout", "bin")
        config = {k: v for k, v in {**self.config, **kwargs}.items() if v != "gone"}
        return write_base(folder, config, weights or self.weights, self.tokenizer, layout=layout)
