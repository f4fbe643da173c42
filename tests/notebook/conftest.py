"""A real ipykernel, driven over the kernel protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel


@dataclass
class Answer:
    """What a cell gave back."""

    status: str = ""
    text: str = ""
    value: str | None = None
    displayed: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    evalue: str = ""
    number: int = 0
    """What the prompt shows."""


class Kernel:
    """A running kernel."""

    def __init__(self, client: Any, manager: Any) -> None:
        self.client = client
        self.manager = manager

    def run(self, code: str, timeout: float = 60) -> Answer:
        """Run a cell as a front end does."""
        answer = Answer()

        def on_message(message: dict[str, Any]) -> None:
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    answer.text += content["text"]
                case "display_data":
                    answer.displayed.append(content["data"])
                case "execute_result":
                    answer.value = content["data"]["text/plain"]
                case "error":
                    answer.errors.append("\n".join(content["traceback"]))

        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=on_message, store_history=True)
        answer.status = reply["content"]["status"]
        answer.number = reply["content"]["execution_count"]
        answer.evalue = reply["content"].get("evalue", "")
        return answer

    def complete(self, code: str) -> list[str]:
        """Return the completions at the end of the code."""
        self.client.complete(code)
        while True:
            reply = self.client.get_shell_msg(timeout=30)
            if reply["msg_type"] == "complete_reply":
                return list(reply["content"]["matches"])

    def attach_debugger(self) -> None:
        """Attach it as JupyterLab does, by the control channel."""
        about = {"clientID": "test", "clientName": "test", "adapterID": "", "pathFormat": "path"}
        lines = {"linesStartAt1": True, "columnsStartAt1": True}
        for number, (command, arguments) in enumerate(
            [("initialize", about | lines), ("attach", {}), ("configurationDone", {})], 1
        ):
            content = {"type": "request", "seq": number, "command": command, "arguments": arguments}
            message = self.client.session.msg("debug_request", content)
            self.client.control_channel.send(message)
            asked = message["header"]["msg_id"]
            while self.client.get_control_msg(timeout=30)["parent_header"].get("msg_id") != asked:
                pass


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """One kernel with the extension loaded."""
    yield from started()


def started(*, load: bool = True) -> Iterator[Kernel]:
    """Start a kernel, with the extension loaded, and end it."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        made = Kernel(client, manager)
        assert not load or made.run("%load_ext ior_nb").status == "ok"
        yield made
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
