"""Causal language models that run here, with Hugging Face transformers (the extra ``local``).

    {llm_id: smol, provider: transformers, model: HuggingFaceTB/SmolLM-135M-Instruct, device: auto, batch_size: 16}
    {llm_id: mine, provider: transformers, model: weights/mine}               # a folder in the project
    {llm_id: small, provider: transformers, model: weights/small.gguf}        # read as transformers does (needs the package gguf)

A tokenizer with a chat template gets messages; a template without a system role, and a model without a template, get the system
message in front of the prompt. The detail of an answer says so (``system: folded``, ``template: none``). What a model thinks
between special tokens is parted from its text. Temperature 0 is greedy;
no temperature means what the model's own generation settings say.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bclust.functions import Answer, CallError, Context, Limits
from udfs._memory import in_words, needed
from udfs._reasoning import parted
from udfs._weights import Loaded, Source, fingerprint, identity_of, located, rest, weights, written_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from udfs.providers import Chat

_MOST_TOKENS = 256  # where max_tokens is not set
_TOP = 20  # first tokens whose log-probabilities are kept
_WRITES = re.compile(r"ForCausalLM|LMHead|ForConditionalGeneration|ForImageTextToText")  # architectures that generate text


class Prompt(NamedTuple):
    """A chat as tokens, and how it became them."""

    tokens: list[int]
    detail: dict[str, Any]


class Provider:
    """``model`` is a name on the hub or a folder; ``dtype`` is float32, bfloat16 or float16 (auto: on a GPU as it was saved)."""

    free, heavy = True, True

    def __init__(
        self,
        context: Context,
        *,
        model: str,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        top_p: float | None = None,
    ) -> None:
        self._root, self._source = context.root, located(context.root, model)
        self._name, self._revision, self._dtype, self._device, self._top_p = model, revision, dtype, device, top_p
        self.limits = Limits(max_concurrency=1, batch_size=16, timeout_s=None, max_retries=0, sort_by_length=True)

    @functools.cached_property
    def files(self) -> str | None:
        """A fingerprint of the files of the model; None for a name on the hub."""
        found = self._source
        return fingerprint(self._root, found.folder, found.gguf) if found.folder else None

    def identity(self) -> dict[str, Any]:
        """The model (of a folder: what is in it, whatever its path) and its precision, and how it is sampled."""
        asked = {"revision": self._revision, "top_p": self._top_p, "dtype": None if self._dtype == "auto" else self._dtype}
        model = identity_of(self._root, self._name, self.files) if self.files else {"model": self._name}
        return {"provider": "transformers", **model, **{k: v for k, v in asked.items() if v is not None}}

    def complete_batch(self, chats: Sequence[Chat]) -> list[Answer | CallError]:
        """Generate; chats that are sampled alike go through the model together. Raises CallError (fatal): no such model."""
        loaded = self._loaded()
        with loaded.lock:
            tokenizer, model = loaded.tokenizer, loaded.model
            prompts = [_prompt(tokenizer, chat) for chat in chats]
            answers: dict[int, Answer | CallError] = {}
            alike: dict[tuple[float | None, int], list[int]] = {}
            for i, (chat, prompt) in enumerate(zip(chats, prompts, strict=True)):
                most = chat.max_tokens or _MOST_TOKENS
                room = getattr(model.config, "max_position_embeddings", None)
                if room is not None and len(prompt.tokens) + most > room:
                    answers[i] = CallError(f"{len(prompt.tokens)} tokens and {most} to come do not fit into {room}")
                else:
                    alike.setdefault((chat.temperature, most), []).append(i)
            for (temperature, most), rows in alike.items():
                generated = self._generate(
                    tokenizer, model, [prompts[i] for i in rows], [chats[i] for i in rows], temperature, most
                )
                answers.update(zip(rows, generated, strict=True))
        return [answers[i] for i in range(len(chats))]

    def _generate(
        self, tokenizer: Any, model: Any, prompts: list[Prompt], chats: list[Chat], temperature: float | None, most: int
    ) -> list[Answer]:
        import torch

        inputs = tokenizer.pad({"input_ids": [p.tokens for p in prompts]}, padding_side="left", return_tensors="pt").to(
            model.device
        )
        sampling: dict[str, Any] = {} if temperature is None else {"do_sample": temperature > 0}
        if temperature:
            sampling |= {"temperature": temperature, "top_p": self._top_p or 1.0, "top_k": 0}
        elif temperature == 0:
            sampling |= {"temperature": None, "top_p": None, "top_k": None}
        first = _FirstScores()
        seed = hashlib.sha256(repr([(c.prompt, c.system, c.draw) for c in chats]).encode()).digest()
        torch.manual_seed(int.from_bytes(seed[:4], "big"))
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=most, pad_token_id=tokenizer.pad_token_id, logits_processor=[first], **sampling
            )
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        ends = _ends(model, tokenizer)
        return [
            _answer(tokenizer, tokens, ends, most, prompt, first.top(tokenizer, row) if chat.logprobs else None)
            for row, (tokens, prompt, chat) in enumerate(zip(new, prompts, chats, strict=True))
        ]

    def _loaded(self) -> Loaded:
        settings = (self._revision, self._device, self._dtype)
        name, gguf = self._source.name, self._source.gguf
        here = _device(self._device) == "cpu"
        load = functools.partial(_load, self._source, *settings)
        return weights(name, "causal", gguf, *settings, load=load, size=(self._size or 0) if here else 0)

    @functools.cached_property
    def _size(self) -> int | None:
        """Bytes of the weights, at most: on a GPU they may be as they were saved. None: on the hub, or not to be known."""
        number = {"auto": 4, "float32": 4, "bfloat16": 2, "float16": 2}.get(self._dtype)
        return needed(self._source.folder, self._source.gguf, number) if self._source.folder else None

    def needs(self) -> str:
        """What a plan says of it; whether there is a GPU is not looked up for that."""
        most = "" if self._device == "cpu" or self._dtype != "auto" else "at most "
        return f"weights of {most}{in_words(self._size)}" if self._size else ""

    async def close(self) -> None:
        """The model stays loaded where there is room: more may be asked soon."""
        rest()


def _device(name: str) -> str:
    """Where a model runs: as it is named, or on a GPU where there is one. Raises CallError (fatal): a package is missing."""
    try:
        import torch
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise CallError(f"{error.name} is not installed: pip install 'bclust[local]'", fatal=True) from error
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


class _FirstScores:
    """A logits processor that changes nothing and remembers the scores of the first new token."""

    def __init__(self) -> None:
        self.scores: Any = None

    def __call__(self, _: Any, scores: Any) -> Any:
        if self.scores is None:
            self.scores = scores.float().log_softmax(-1).cpu()
        return scores

    def top(self, tokenizer: Any, row: int) -> list[dict[str, Any]]:
        values, tokens = self.scores[row].topk(min(_TOP, self.scores.shape[-1]))
        return [{"token": tokenizer.decode([t]), "logprob": v} for v, t in zip(values.tolist(), tokens.tolist(), strict=True)]


def _prompt(tokenizer: Any, chat: Chat) -> Prompt:
    """Messages through the chat template where there is one, and never without the system message."""
    if not tokenizer.chat_template:
        return Prompt(tokenizer(chat.folded)["input_ids"], {"template": "none", **({"system": "folded"} if chat.system else {})})
    detail: dict[str, Any] = {}
    text = _rendered(tokenizer, chat.messages)
    if text is None or (chat.system and chat.system.strip() not in text):
        detail["system"] = "folded"
        text = _rendered(tokenizer, [{"role": "user", "content": chat.folded}])
    if text is None:
        raise CallError("the chat template of this model cannot be used", fatal=True)
    return Prompt(tokenizer(text, add_special_tokens=False)["input_ids"], detail)


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except TemplateError:  # how a template says that it knows no system role
        return None


def _answer(
    tokenizer: Any, tokens: list[int], ends: set[int], most: int, prompt: Prompt, top: list[dict[str, Any]] | None
) -> Answer:
    length = next((i for i, token in enumerate(tokens) if token in ends), None)
    text, reasoning = _text(tokenizer, tokens[:length])
    detail = {**prompt.detail, **({"reasoning": reasoning} if reasoning else {}), **({"top_logprobs": top} if top else {})}
    return Answer(
        text,
        "stop" if length is not None else "length",
        len(prompt.tokens),
        min(most, len(tokens) if length is None else length + 1),
        detail=json.dumps(detail, ensure_ascii=False) if detail else None,
    )


def _text(tokenizer: Any, tokens: list[int]) -> tuple[str, str | None]:
    """The text, and what was thought before where that is marked by special tokens, which are no part of a text."""
    text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    whole = tokenizer.decode(tokens, skip_special_tokens=False).strip()
    if text == whole:
        return text, None
    marked, plain = parted(whole), parted(text)
    if marked.reasoning == plain.reasoning and marked.unfinished == plain.unfinished:
        return text, None  # those marks are words, and stay
    special = re.compile("|".join(map(re.escape, sorted(tokenizer.all_special_tokens, key=len, reverse=True))))
    if marked.unfinished:
        return whole, None
    return special.sub("", marked.answer).strip(), special.sub("", marked.reasoning or "").strip()


def _ends(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    return {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}


def _load(source: Source, revision: str | None, device: str, dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model. Raises CallError (fatal) that says what is wrong with the files."""
    names = written_by(source.folder) if source.folder else []
    if names and not any(_WRITES.search(name) for name in names):
        what = f"{source.name} is a {names[0]}, which reads texts and writes none"
        raise CallError(f"{what} (it may be an embedder: provider: transformers there)", fatal=True)
    device = _device(device)
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as said

    said.set_verbosity_error()  # type: ignore[no-untyped-call]  # what it says in between is for those who write models
    said.disable_progress_bar()  # type: ignore[no-untyped-call]
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    try:
        asked = {"revision": revision, **({"gguf_file": source.gguf} if source.gguf else {})}
        tokenizer = AutoTokenizer.from_pretrained(source.name, **asked)
        model: Any = AutoModelForCausalLM.from_pretrained(source.name, dtype=dtype, **asked)
        model.to(device)
    except Exception as error:
        raise CallError(f"{_what(source)} cannot be loaded on {device}: {_words(error)}{_serve(source)}", fatal=True) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer, model.eval()


def _what(source: Source) -> str:
    return f"the file {source.name}/{source.gguf}" if source.gguf else f"the model {source.name}"


def _words(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _serve(source: Source) -> str:
    """Another way for files that transformers does not read."""
    return "; serve it instead: llama-server -m FILE (docs/how-to/use-a-local-server.md)" if source.gguf else ""
