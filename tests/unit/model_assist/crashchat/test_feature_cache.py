"""Features on disk: what comes back is what went in, damage is noticed, the folder keeps its size."""

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from model_assist.crashchat.answers import FramesUsed
from model_assist.crashchat.engine import ClipRequest, Engine
from model_assist.crashchat.feature_cache import (
    ABANDONED_SECONDS,
    FeatureCache,
    features_key,
    vision_tower_hash,
)
from model_assist.crashchat.features import ClipFeatures
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.tiny import TINY_SETTINGS
from tests.shared_data import ROOT

USED = FramesUsed(
    fps=10.0, count=2, times_us=[0, 100_000], source_indices=[2, 5], source_pts_us=[66_667, 166_667], width=56,
    height=28, visual_tokens=4, reader="pyav", damaged=0,
)  # fmt: skip
ANY_SIZE = 10**9


def features(seed: int = 0, *, rows: int = 4, dtype: torch.dtype = torch.float32) -> ClipFeatures:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 8, generator=generator).to(dtype)
    return ClipFeatures(values, [rows // 2, rows - rows // 2], USED, 5_000_000)


def key(number: int) -> str:
    return f"{number:064x}"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


def age(folder: Path, name: str, seconds: float) -> None:
    """Make a key look as if it was used so many seconds ago."""
    (path,) = folder.rglob(f"{name}*")
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_comes_back_is_what_went_in(tmp_path: Path, dtype: torch.dtype) -> None:
    cache, put = FeatureCache(tmp_path, max_bytes=ANY_SIZE), features(dtype=dtype)
    assert cache.get(key(1)) is None
    cache.put(key(1), put)
    for reader in (cache, FeatureCache(tmp_path, max_bytes=ANY_SIZE)):
        got = reader.get(key(1))
        assert got is not None
        assert got.features.dtype == dtype
        assert torch.equal(got.features, put.features)
        assert (got.token_counts, got.frames, got.duration_us) == ([2, 2], USED, 5_000_000)
    assert (cache.hits, cache.misses) == (1, 1)


def test_a_slice_of_a_larger_tensor_is_kept_as_itself(tmp_path: Path) -> None:
    cache, whole = FeatureCache(tmp_path, max_bytes=ANY_SIZE), torch.arange(400.0).reshape(50, 8)
    cache.put(key(1), replace(features(), features=whole[3:7]))
    got = cache.get(key(1))
    assert got is not None
    assert torch.equal(got.features, whole[3:7])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[-3] ^= 1
    path.write_bytes(blob)


def flip_early(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[60] ^= 1
    path.write_bytes(blob)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_clip(path: Path) -> None:
    other = FeatureCache(path.parent / "other", max_bytes=ANY_SIZE)
    other.put(key(2), features(2))
    path.write_bytes(files(path.parent / "other")[0].read_bytes())


@pytest.mark.parametrize("damage", [cut, flip, flip_early, empty, other_clip])
def test_a_damaged_file_is_never_trusted_and_goes(
    tmp_path: Path, damage: "type[cut]", caplog: pytest.LogCaptureFixture
) -> None:
    cache = FeatureCache(tmp_path, max_bytes=ANY_SIZE)
    cache.put(key(1), features())
    (path,) = files(tmp_path)
    damage(path)
    assert cache.get(key(1)) is None
    assert not path.exists()
    assert "damaged" in caplog.text
    cache.put(key(1), features())
    assert cache.get(key(1)) is not None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=ANY_SIZE)
    cache.put(key(0), features())
    size = stored_bytes(tmp_path)
    cache = FeatureCache(tmp_path, max_bytes=size * 10)
    for number in range(10):
        cache.put(key(number), features(number))
        age(tmp_path, key(number), 1000 - number)
    assert cache.get(key(0)) is not None, "the oldest, but used now"
    cache.put(key(10), features(10))
    assert [number for number in range(11) if cache.get(key(number)) is None] == [1, 2]


def test_the_folder_never_outgrows_its_limit(tmp_path: Path) -> None:
    limit = 20_000
    cache = FeatureCache(tmp_path, max_bytes=limit)
    for number in range(60):
        cache.put(key(number), features(number, rows=4 + number))
        assert stored_bytes(tmp_path) <= limit
    assert cache.get(key(59)) is not None


def test_what_alone_exceeds_the_limit_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = FeatureCache(tmp_path, max_bytes=100)
    cache.put(key(1), features())
    assert files(tmp_path) == []
    assert "exceed the whole cache" in caplog.text
    with pytest.raises(ValueError, match="positive"):
        FeatureCache(tmp_path, max_bytes=0)


def test_a_full_disk_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FeatureCache(tmp_path, max_bytes=ANY_SIZE)
    real = os.fdopen

    def full(descriptor: int, mode: str) -> object:
        file = real(descriptor, mode)

        class Full:
            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, blob: bytes) -> None:
                file.write(blob[:10])
                raise OSError(errno.ENOSPC, "No space left on device")

        return Full()

    with monkeypatch.context() as patched:
        patched.setattr("model_assist.crashchat.feature_cache.os.fdopen", full)
        cache.put(key(1), features())
    assert "No space left" in caplog.text
    assert files(tmp_path) == [], "nothing half-written stays"
    cache.put(key(1), features())
    assert cache.get(key(1)) is not None


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = FeatureCache(tmp_path / "file" / "cache", max_bytes=ANY_SIZE)
    cache.put(key(1), features())
    assert cache.get(key(1)) is None
    assert "not cached" in caplog.text


def test_what_a_killed_process_left_half_written_goes_in_time(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=ANY_SIZE)
    cache.put(key(1), features())
    folder = files(tmp_path)[0].parent
    old, new = folder / "a.part", folder / "b.part"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    then = time.time() - ABANDONED_SECONDS - 1
    os.utime(old, (then, then))
    FeatureCache(tmp_path, max_bytes=ANY_SIZE).put(key(2), features())
    assert (old.exists(), new.exists()) == (False, True)


WRITER = """
    import sys
    from pathlib import Path
    from model_assist.crashchat.feature_cache import FeatureCache
    from tests.unit.model_assist.crashchat.test_feature_cache import features, key
    import torch
    folder, start, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    cache = FeatureCache(folder, max_bytes=limit)
    wrong = 0
    for turn in range(60):
        number = (start + turn) % 40
        got = cache.get(key(number))
        if got is None:
            cache.put(key(number), features(number))
        else:
            wrong += not torch.equal(got.features, features(number).features)
    sys.exit(wrong)
"""


def test_several_processes_share_one_folder(tmp_path: Path) -> None:
    FeatureCache(tmp_path, max_bytes=ANY_SIZE).put(key(0), features())
    limit = stored_bytes(tmp_path) * 20
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(start), str(limit)],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}, stderr=subprocess.PIPE, text=True,
        )
        for start in (0, 20)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert "damaged" not in errors
    assert stored_bytes(tmp_path) <= limit * (1 + 2 / 16)
    assert not list(tmp_path.rglob("*.part"))


def test_the_key_names_all_that_the_features_depend_on(bare: LoadedModel, loaded: LoadedModel) -> None:
    settings, tower = EngineSettings(), vision_tower_hash(bare)
    usual = features_key("a" * 64, tower, settings, bare)
    others = [
        features_key("b" * 64, tower, settings, bare),
        features_key("a" * 64, "0" * 64, settings, bare),
        *(
            features_key("a" * 64, tower, replace(settings, **change), bare)  # type: ignore[arg-type]
            for change in ({"fps": 5.0}, {"max_frames": 8}, {"max_tokens": 16384}, {"decode": "fast"})
        ),
        features_key("a" * 64, tower, settings, replace(bare, dtype=torch.bfloat16)),
        features_key("a" * 64, tower, settings, replace(bare, attention="flash_attention_2")),
        features_key("a" * 64, tower, settings, replace(bare, device=torch.device("cuda"))),
    ]
    assert len({usual, *others}) == 1 + len(others)
    same = replace(
        settings, clips_per_batch=9, gate_localisation=False, max_new_tokens={"crash_recognition": 2}
    )
    assert features_key("a" * 64, tower, same, bare) == usual
    assert vision_tower_hash(loaded) == tower, "adapters leave the tower alone"
    assert features_key("a" * 64, tower, settings, loaded) == usual


def test_another_tower_has_another_hash(bare: LoadedModel) -> None:
    before = vision_tower_hash(bare)
    weight = next(bare.network.model.vision_model.parameters())
    kept = weight.data.clone()
    try:
        weight.data.flatten()[0] += 1
        assert vision_tower_hash(bare) != before
    finally:
        weight.data.copy_(kept)


@dataclass
class Counting:
    """A reader and a look at the vision tower, counted."""

    reader: FrameReader
    read: int = 0
    seen: int = 0

    def begin(self, path: Path, **how: object) -> object:
        self.read += 1
        return self.reader.begin(path, **how)  # type: ignore[arg-type]


@pytest.fixture
def counting(loaded: LoadedModel) -> Iterator[Counting]:
    with FrameReader(timeout_s=120) as reader:
        counting = Counting(reader)

        def count(*_: object) -> None:
            counting.seen += 1

        hook = loaded.network.model.vision_model.register_forward_pre_hook(count)
        yield counting
        hook.remove()


def test_asking_again_skips_the_decoder_and_the_vision_tower(
    tmp_path: Path, loaded: LoadedModel, clip: Path, counting: Counting
) -> None:
    cache, settings = (
        FeatureCache(tmp_path, max_bytes=ANY_SIZE),
        replace(TINY_SETTINGS, gate_localisation=False),
    )
    name = features_key("a" * 64, vision_tower_hash(loaded), settings, loaded)

    def ask(
        prompts: dict[str, str], features_key: str | None = name, routing: str = "linguistic"
    ) -> list[str]:
        routed = replace(settings, routing=dict.fromkeys(settings.routing, routing))
        engine = Engine(loaded, settings=routed, frame_reader=counting, features=cache)  # type: ignore[arg-type]
        [(_, said)] = engine.answer_many([ClipRequest(clip, prompts, features_key=features_key)])
        assert not isinstance(said, Exception), said
        return [answer.raw_text for answer in said.answers.values()]

    first = ask({})
    assert (counting.read, counting.seen) == (1, 1)
    assert ask({}) == first
    ask({"crash_recognition": "Is there a crash here?"})
    other_adapter = ask({}, routing="perception")
    assert (counting.read, counting.seen) == (1, 1), "neither the decoder nor the tower was asked again"
    assert ask({}, None, routing="perception") == other_adapter
    assert (counting.read, counting.seen) == (2, 2), "without a key nothing is looked up"
