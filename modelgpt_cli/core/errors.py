"""What goes wrong, said once: every error a user can meet is a `ModelGPTError` with an exit code.

Commands print ``Error: <problem>`` with the cause and the next command below it, and leave with `exit_code`.
"""

from __future__ import annotations


class ModelGPTError(Exception):
    """One error, for a person: the problem, the cause, the next command.

    Parameters
    ----------
    problem : str
        What went wrong, in one line.
    cause : str
        Why, where that is known (several lines are fine).
    hint : str
        What to do or type next.
    """

    exit_code = 1

    def __init__(self, problem: str, cause: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.problem, self.cause, self.hint) if part)


class UsageError(ModelGPTError):
    """The request itself is off: an option, a requirement file, a column name (exit 2)."""

    exit_code = 2


class VerificationError(ModelGPTError):
    """A limit was not met, or an exported model failed its verification (exit 3)."""

    exit_code = 3


class UnreachableError(ModelGPTError):
    """An LLM or a hub was out of reach, or gave no usable answer (exit 4)."""

    exit_code = 4


def damaged(name: str, error: Exception | str) -> ModelGPTError:
    """The error for a file that breaks off or fails its own checks."""
    return ModelGPTError(f"{name} is damaged or cut short.", str(error), "Copy or download the file again.")
