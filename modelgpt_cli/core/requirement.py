"""The requirement: what is wanted, and of what data. It goes from the requirement generator to the model generator."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.domain import Domain, domain_names, find_domain, role_domain, task_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import Column, TaskType, task_types

BLOCKS: tuple[type[Limits] | type[Quality] | type[Deploy], ...] = (Limits, Quality, Deploy)
"""What a requirement promises of a model, each under its name."""
LABEL_METRICS = ("f1", "log_loss")
"""What `quality` may promise of a model that gives any number of labels."""
FILE_HINT = "A requirement file is one sentence, then optionally a line --- and YAML; modelgpt describe writes one."


@dataclass(frozen=True)
class Requirement:
    """What is wanted, in words, and what is known of the data it is wanted for.

    Raises
    ------
    UsageError
        If the parts contradict each other; names the key.
    """

    sentence: str
    task: TaskType | None = None
    """Follows from `classes` where only these are given."""
    target: str | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    data: str | None = None
    """Path of the data. In the file, relative to it; `read_requirement` makes it absolute."""
    fingerprint: str | None = None
    limits: Limits = field(default_factory=Limits)
    quality: Quality = field(default_factory=Quality)
    deploy: Deploy = field(default_factory=Deploy)
    author: str | None = None
    """The LLM that wrote the sentence, or "offline"."""
    domain: str | None = None
    """The name of a `Domain`; where it is not given, the columns and the data say it."""
    target_mean: float | None = None
    """Regression: mean of the target, so that a model made without data can speak in its units."""
    target_std: float | None = None
    """Regression: standard deviation of the target."""
    target_reading: ReadingRule = PLAIN
    """How the cells of the target are written."""
    multi_label: bool = False
    """Whether a row has any number of the classes, rather than one."""

    def __post_init__(self) -> None:
        if not self.sentence.strip():
            raise UsageError("The requirement has no sentence.", hint=FILE_HINT)
        if self.task is not None and self.task not in task_types():
            raise UsageError(f"task can't be {self.task!r}.", f"It is one of {', '.join(task_types())}.")
        self._check_own_task()
        if self.classes and self.task is None:
            object.__setattr__(self, "task", "classification")
        if self.classes and self.task == "regression":
            raise UsageError("classes: a regression has none.", hint="Leave classes out, or set task: classification.")
        if len(self.classes) == 1 and task_domain(self.task) is None:
            raise UsageError(f"classes: one class, {self.classes[0]!r}, leaves nothing to tell apart.")
        names = [column.name for column in self.columns]
        for key, values in (("classes", list(self.classes)), ("columns", names)):
            if len(set(values)) < len(values):
                repeated = next(value for i, value in enumerate(values) if value in values[:i])
                raise UsageError(f"{key}: {repeated!r} is there twice.", hint="Keep one of the two.")
        if self.target is not None and self.target in names:
            raise UsageError(f"columns: {self.target!r} is the target, so it can't be an input too.")
        if self.multi_label:
            self._check_multi_label()
        self.quality.check_task(self.task)
        if self.domain is not None and self.domain not in domain_names():
            raise UsageError(f"domain can't be {self.domain!r}.", f"It is one of {', '.join(domain_names())}.")
        domain = self._check_roles() or (find_domain(self.domain) if self.domain is not None else None)
        if domain is not None:
            domain.part("requirement").check(self)
        self._check_scale()

    def _check_own_task(self) -> None:
        """Fill in what follows from a task that one domain alone has, or from such a domain."""
        own = task_domain(self.task)
        if own is not None and self.domain is None:
            object.__setattr__(self, "domain", own.name)
        named = find_domain(self.domain) if self.domain in domain_names() else None
        if named is not None and named.task and self.task is None:
            object.__setattr__(self, "task", named.task)
        if named is not None and (named.task or own) and self.task != named.task:
            raise UsageError(f"task {self.task} is not for the domain {named.name}.", hint="Leave out one of the two.")

    def _check_multi_label(self) -> None:
        if self.task not in (None, "classification"):
            raise UsageError(f"multi_label is not for the task {self.task}.", hint="Leave it out.")
        for metric in self.quality.to_mapping():
            if metric not in LABEL_METRICS:
                raise UsageError(
                    f"quality: {metric} is for rows of one label, and multi_label is true.",
                    f"Its metrics are {', '.join(LABEL_METRICS)}.",
                )
        for label in self.classes:
            if ";" in label:
                raise UsageError(f"classes: with multi_label a label can't hold ';': {label!r}.", hint="Rename it.")

    def _check_roles(self) -> Domain | None:
        """Make sure that the columns' roles are those of one domain, and return it; None where there are no roles."""
        found: Domain | None = None
        for column in self.columns:
            if not column.role:
                continue
            of = role_domain(column.role)
            if of is None or of.roles[column.role] != column.type:
                why = "There is no such role." if of is None else f"It is a role of {of.roles[column.role]} columns."
                raise UsageError(f"columns: {column.name}: a {column.type} column has no role {column.role}.", why)
            if self.domain not in (None, of.name):
                raise UsageError(
                    f"columns: the role {column.role} is for the {of.name} domain, and domain is {self.domain}.",
                    hint="Drop one of them.",
                )
            if found is not None and of.name != found.name:
                raise UsageError(
                    f"columns: the role {column.role} is for the {of.name} domain, and others are for the "
                    f"{found.name} domain.",
                    hint="Keep those of one domain.",
                )
            found = of
        return found

    def _check_scale(self) -> None:
        if (self.target_mean is None) != (self.target_std is None):
            raise UsageError("target_mean and target_std go together.", hint="Give both, or leave both out.")
        if self.target_std is not None and (self.task == "classification" or self.target_std <= 0):
            why = "A classification has no such number." if self.task == "classification" else "It is more than 0."
            raise UsageError(f"target_std can't be {self.target_std:g}.", why)
