"""The demo's model is a copy of the one that ships."""

from pathlib import Path

from crashdesk.demo.model import install_model, shipped_model


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_shipped_model_is_copied_once(tmp_path: Path) -> None:
    install_model(tmp_path / "model")
    copied = files(tmp_path / "model")
    assert copied == {n: b for n, b in files(shipped_model()).items() if n != "manifest.json"}
    assert {"base/model.safetensors", "adapters/linguistic/adapter_config.json"} <= set(copied)
    own = tmp_path / "model" / "base" / "config.json"
    own.write_text("mine")
    install_model(tmp_path / "model")
    assert own.read_text() == "mine"
