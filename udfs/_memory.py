"""How much memory the weights of a model take here, known before they are loaded."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from pathlib import Path

_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}
_SAVED = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes of a number in older files, as config.json names it


def needed(folder: Path, gguf: str | None, number: int | None) -> int | None:
    """Bytes of the weights in a folder, or of one GGUF file in it, when they are loaded.

    ``number``: the bytes of one number there; None: as it was saved. Returns None where it cannot be known.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, struct.error, ImportError):
        if gguf is not None:
            from gguf import GGUFReader

            return sum(int(tensor.n_elements) for tensor in GGUFReader(folder / gguf).tensors) * (number or 4)
        tensors = sorted(folder.glob("*.safetensors"))
        if tensors:
            return sum(_in_header(file, number) for file in tensors) or None
        saved = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("torch_dtype", "float32")
        size = sum(file.stat().st_size for file in folder.glob("pytorch_model*.bin"))
        return size * (number or _SAVED[saved]) // _SAVED[saved] or None
    return None


def _in_header(file: Path, number: int | None) -> int:
    """Of a safetensors file: eight bytes that say how long its header is, then that, as JSON."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > file.stat().st_size:
            raise ValueError(f"{file} has no header")
        header = json.loads(opened.read(length))
    tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
    return sum(math.prod(tensor["shape"]) * (number or _BYTES[tensor["dtype"]]) for tensor in tensors)


def available() -> int | None:
    """Bytes that can be had without swapping, by Linux's own word; None elsewhere."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/meminfo").read_text(encoding="ascii").split("MemAvailable:")[1].split()[0]) * 1024
    return None


def in_words(size: int) -> str:
    """
    >>> in_words(538_000_000), in_words(6_170_000_000), in_words(90_000)
    ('0.54 GB', '6.2 GB', '0.00 GB')
    """
    return f"{size / 1e9:.{2 if size < 1e9 else 1}f} GB"
