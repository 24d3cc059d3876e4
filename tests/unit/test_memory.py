"""What weights take is known before they are loaded, and models go where there is no room."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from bclust.functions import CallError, Context
from udfs import _memory, _weights
from udfs.providers import Chat
from udfs.providers.transformers import Provider

torch = pytest.importorskip("torch")
GB = 10**9


def saved(folder: Path, width: int = 32, **how: Any) -> Any:
    """A randomly initialised Llama in a folder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=24, hidden_size=width, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder, **how)
    return model


@pytest.mark.parametrize("shards", ["10GB", "30KB"])
def test_what_a_folder_of_weights_takes_is_what_its_parameters_take(tmp_path: Path, shards: str) -> None:
    parameters = saved(tmp_path, max_shard_size=shards).num_parameters()
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 or shards == "30KB"
    assert _memory.needed(tmp_path, None, 4) == 4 * parameters
    assert _memory.needed(tmp_path, None, 2) == 2 * parameters
    assert _memory.needed(tmp_path, None, None) == 4 * parameters


def test_a_gguf_file_takes_what_its_numbers_take_when_they_are_unpacked(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    import numpy as np

    writer = gguf.GGUFWriter(tmp_path / "small.gguf", "llama")
    writer.add_tensor("a", np.zeros((32, 64), np.float16))
    writer.add_tensor(
        "b",
        gguf.quants.quantize(np.ones((4, 256), np.float32), gguf.GGMLQuantizationType.Q8_0),
        raw_dtype=gguf.GGMLQuantizationType.Q8_0,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert _memory.needed(tmp_path, "small.gguf", 4) == 4 * (32 * 64 + 4 * 256)


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{}", b"\xff" * 40])
def test_odd_files_are_not_known_and_no_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    (tmp_path / "odd.gguf").write_bytes(content)
    assert _memory.needed(tmp_path, None, 4) is None
    assert _memory.needed(tmp_path, "odd.gguf", 4) is None
    assert _memory.needed(tmp_path / "nowhere", None, 4) is None


class Model:
    """Something that can be seen to go."""


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Memory as it would be: 10 GB, less what is loaded."""
    monkeypatch.setattr(_weights, "_LOADED", {})

    def left() -> int:
        return 10 * GB - sum(loaded.size for loaded in _weights._LOADED.values())

    monkeypatch.setattr(_weights, "available", left)
    return left


def load(name: str, size: int) -> weakref.ref[Model]:
    return weakref.ref(_weights.weights(name, load=lambda: (None, Model()), size=size).model)


def test_the_longest_unused_model_goes_where_another_one_needs_its_memory(free: Any) -> None:
    first, second = load("first", 4 * GB), load("second", 4 * GB)
    load("first", 4 * GB)  # asked again
    third = load("third", 5 * GB)
    assert (first() is not None, second(), third() is not None) == (True, None, True)
    assert free() == 1 * GB


def test_a_model_that_is_in_use_stays_and_what_does_not_fit_is_said_before_it_is_loaded(free: Any) -> None:
    used = _weights.weights("used", load=lambda: (None, Model()), size=6 * GB)
    with used.lock, pytest.raises(CallError, match=r"large takes 5.0 GB of memory, and 4.0 GB are free: .*bfloat16") as raised:
        load("large", 5 * GB)
    assert raised.value.fatal and free() == 4 * GB
    assert load("large", 5 * GB)() is not None, "in use no more, it went"
    assert free() == 5 * GB


def test_models_rest_where_there_is_room_and_go_where_there_is_none(free: Any) -> None:
    small = load("small", 4 * GB)
    _weights.rest()
    assert small() is not None
    large = load("large", 2 * GB)
    _weights.rest()
    assert (small(), large()) == (None, None)
    assert free() == 10 * GB


def test_a_plan_is_told_and_a_model_that_does_not_fit_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = saved(tmp_path / "weights", width=512).num_parameters()
    provider = Provider(Context(tmp_path), model="weights")
    assert provider.needs() == f"weights of at most {4 * parameters / 1e9:.2f} GB"
    half = Provider(Context(tmp_path), model="weights", dtype="bfloat16")
    assert half.needs() == f"weights of {2 * parameters / 1e9:.2f} GB"
    assert Provider(Context(tmp_path), model="somebody/on-the-hub").needs() == ""
    monkeypatch.setattr(_weights, "available", lambda: 1000)
    monkeypatch.setattr(_weights, "_LOADED", {})
    with pytest.raises(CallError, match=r"weights takes 0.\d\d GB of memory, and 0.00 GB are free") as raised:
        provider.complete_batch([Chat("Hello")])
    assert raised.value.fatal


def test_a_package_that_is_missing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "weights")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CallError, match=r"torch is not installed: pip install 'bclust\[local\]'") as raised:
        Provider(Context(tmp_path), model="weights").complete_batch([Chat("Hello")])
    assert raised.value.fatal
