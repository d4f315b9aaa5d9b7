"""The whole way in wall-clock and memory, through the installed ``modelgpt`` command."""
