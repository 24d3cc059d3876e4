"""The benchmark against peers: its server answers in their forms, and a peer that is absent is seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from benchmarks._peers.environments import NotInstalledError, Peer, python_of
from benchmarks._peers.server import PeerServer
from benchmarks._processes import last_json, requests
from tests.functional.loopback import Behavior

LABELS = "<label>love of cats</label> <label>fear of dogs</label>"


def ask(client: openai.OpenAI, prompt: str, **settings: Any) -> Any:
    return (
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt}], **settings).choices[0].message
    )


def test_the_server_answers_as_each_peer_asks_and_counts_it() -> None:
    properties = {"name": {"type": "string"}, "label": {"type": "string"}, "score": {"type": "integer", "minimum": 2}}
    schema = {"type": "object", "properties": properties | {"parts": {"type": "array"}}, "required": [*properties, "parts"]}
    tools = [{"type": "function", "function": {"name": "Cluster", "parameters": schema}}]
    with PeerServer(Behavior()) as server, openai.OpenAI(api_key="none", base_url=server.url) as client:
        [called] = ask(client, f"kittens and puppies {LABELS}", tools=tools).tool_calls
        filled = json.loads(called.function.arguments)
        assert filled["label"] in {"love of cats", "fear of dogs"}
        assert (filled["score"], len(filled["parts"])) == (2, 3)
        assert filled["name"]
        assert ask(client, "- first one\n- second one\n\nFine grained property: x").content in {"first one", "second one"}
        [found] = json.loads(ask(client, "## BEGINNING OF CONVERSATION TO ANAZLYZE\nOutput Trace:\nI agree.\n## END").content)
        assert found["property_description"] == "I agree."
        assert ask(client, "Name these: kittens").content.startswith("1. ")
        assert requests(server.url) == 4


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(NotInstalledError, match="no-such-peer"):
        python_of(Peer("absent", "no-such-peer", ("no-such-peer==1",)), tmp_path)


def test_a_script_that_fails_is_an_error_with_its_own_words() -> None:
    with pytest.raises(RuntimeError, match="the reason"):
        last_json([sys.executable, "-c", "raise SystemExit('the reason')"])
    with pytest.raises(RuntimeError, match="no JSON"):
        last_json([sys.executable, "-c", "print('done')"])
    assert last_json([sys.executable, "-c", "print('{\"n\": 1}'); print('closing')"]) == {"n": 1}
