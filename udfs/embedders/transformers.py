"""Text embedding models that run here, with Hugging Face transformers: mean-pooled, in batches of texts of like length.

The vector of a text does not depend on what is embedded with it.

    {embedder: minilm, provider: transformers}                             # sentence-transformers/all-MiniLM-L6-v2
    {embedder: mine, provider: transformers, model: path/or/hub-name, device: cuda, max_length: 512}

bfloat16 autocast is used where the CPU or GPU has it: 4.4 times faster than float32 for MiniLM on a CPU that does, at a cosine
of at least 0.99997 to it. Mean pooling over the tokens that are no padding: Reimers & Gurevych 2019, arXiv:1908.10084.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import CallError, Context, Limits
from udfs._weights import Loaded, fingerprint, identity_of, located, weights
from udfs.embedders import Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEP = 8  # tokens between two widths of batches
_MOST_TEXTS, _MOST_TOKENS = 64, 4096  # in one batch


class Embedder:
    """``prefix`` is put before each text, as some models want ("query: "); ``revision`` pins a version on the hub."""

    free, heavy = True, True

    def __init__(
        self,
        context: Context,
        *,
        model: str = "sentence-transformers/all-MiniLM-L6-v2",
        revision: str | None = None,
        prefix: str = "",
        max_length: int = 256,
        device: str = "auto",
    ) -> None:
        found = located(context.root, model)
        self._root, self._folder, self._source = context.root, found.folder, found.name
        self._model_name, self._revision, self._prefix, self._max_length = model, revision, prefix, max_length
        self._device_name = device
        # large batches are cut into small ones of like length below
        self.limits = Limits(max_concurrency=1, batch_size=256, timeout_s=None, max_retries=1, sort_by_length=True)

    @functools.cached_property
    def files(self) -> str | None:
        """A fingerprint of the files of the model; None for a name on the hub."""
        return fingerprint(self._root, self._folder) if self._folder else None

    def identity(self) -> dict[str, Any]:
        """What decides the vector: the model (of a folder: what is in it), and how texts are cut and marked."""
        model = identity_of(self._root, self._model_name, self.files) if self.files else {"model": self._model_name}
        return {
            "provider": "transformers",
            **model,
            "revision": self._revision,
            "prefix": self._prefix,
            "max_length": self._max_length,
        }

    def embed_batch(self, texts: Sequence[str]) -> Vectors:
        """Mean-pooled vectors and token counts. Raises CallError (fatal) when the model cannot be loaded."""
        import numpy as np
        import torch

        loaded = self._loaded()
        tokenizer, model = loaded.tokenizer, loaded.model
        device = next(model.parameters()).device
        kind = "cpu" if device.type == "cpu" else "cuda"
        encoded = tokenizer([self._prefix + t for t in texts], truncation=True, max_length=self._max_length)["input_ids"]
        lengths = [len(ids) for ids in encoded]
        values = np.zeros((len(texts), model.config.hidden_size), np.float32)
        with loaded.lock, torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=_has_bfloat16(device.type)):
            for width, some in _alike(lengths, self._max_length):
                filled = [*some, *some[:1] * (_rows(width) - len(some))]
                inputs = {"input_ids": [encoded[i] for i in filled]}
                batch = tokenizer.pad(inputs, padding="max_length", max_length=width, return_tensors="pt").to(device)
                hidden = model(**batch).last_hidden_state.float()
                mask = batch["attention_mask"].unsqueeze(-1).float()
                pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
                values[some] = pooled[: len(some)].cpu().numpy()
        return Vectors(values, lengths)

    async def close(self) -> None:
        """The model stays loaded: more may be asked soon."""

    def _loaded(self) -> Loaded:
        settings = (self._revision, self._device_name)
        return weights(self._source, "encoder", *settings, load=lambda: _load(self._source, *settings))


def _load(source: str, revision: str | None, device: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        model = AutoModel.from_pretrained(source, revision=revision)
    except (OSError, ValueError) as error:
        raise CallError(f"the model {source} cannot be loaded: {str(error).splitlines()[0]}", fatal=True) from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise FunctionError(f"the device {device} cannot be used: {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer, model.eval()


def _alike(lengths: Sequence[int], max_length: int) -> list[tuple[int, list[int]]]:
    """Batches of texts that are padded to the same width: the width, and which texts.

    A vector must not depend on who shares its batch, and kernels add in another order where shapes differ. So the shape of a
    batch follows from each of its texts alone: a width of the next ``_STEP`` tokens, and as many rows as that width allows.
    """
    by_width: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_width.setdefault(min(-(-length // _STEP) * _STEP, max_length), []).append(i)
    return [
        (width, some[start : start + _rows(width)])
        for width, some in sorted(by_width.items())
        for start in range(0, len(some), _rows(width))
    ]


def _rows(width: int) -> int:
    """How many texts of that width go through the model together."""
    return max(1, min(_MOST_TEXTS, _MOST_TOKENS // width))


def _has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster here, not merely possible."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = torch.backends.cpu.get_cpu_capability()
    return device == "cpu" and ("AMX" in flags or torch.cpu._is_avx512_bf16_supported())
