"""The verbs as tools for agents: an MCP server over stdin and stdout. Behind ``modelgpt mcp``."""
