"""For MCP servers: a tool that runs only with a fresh proof of the person on whose behalf an agent calls it.

::

    server = MCPServer("payday", middleware=[answer_step_up])

    @server.tool()
    @requires_step_up("webhook_secret_rotation")
    async def rotate_webhook_secret(subscription: int) -> str: ...

    app = StepUpMiddleware(server.streamable_http_app(), stepup=stepup)

The agent is told a link and two digits, its person approves the call in a browser of theirs, and the agent calls the
tool again. Needs the extra ``mcp``: the official SDK, ``mcp`` 2.
"""

from __future__ import annotations

from .tools import (
    ToolStepUpRequired,
    answer_step_up,
    require_step_up_tool,
    requires_step_up,
)

__all__ = ["ToolStepUpRequired", "answer_step_up", "require_step_up_tool", "requires_step_up"]
