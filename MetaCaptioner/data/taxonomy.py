"""The nine visual domains and their subdomains."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Modality = Literal["image", "video"]

# Values of `task` that mean "let the router decide".
ROUTED_TASKS = frozenset({"", "auto"})


@dataclass(frozen=True)
class Domain:
    """One visual domain: the value of `task`, its subdomains and the media that the router may send to it."""

    name: str
    subdomains: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    modality: Modality = "image"

    def words(self) -> frozenset[str]:
        """What `task` may say to mean this domain, in lower case: its name, its plain first word, its aliases."""
        return frozenset(word.strip().casefold() for word in (self.name, self.name.split()[0], *self.aliases))

    def answers_to(self, task: str) -> bool:
        """Whether `task` names this domain, in any case."""
        return task.strip().casefold() in self.words()


DOMAINS: tuple[Domain, ...] = (
    Domain("Natural", ("Scenes Object", "Social Activity", "Animal and Plants", "Remote Sensing")),
    Domain("Structure & Math", ("Chart", "Table", "Equation", "Geometry", "Diagram")),
    Domain("Infographic & Document", ("Natural OCR", "Document", "Poster", "Table Docs")),
    Domain("Medical & Bio-Imaging", ("Radiology", "Pathology", "Clinical", "Case Report")),
    Domain("UI & Interaction", ("Website", "Mobile", "Tablet")),
    Domain("Code & Programming", ("Code OCR", "Code Understanding", "Web Code")),
    Domain("Knowledge & Education", ("Science Knowledge", "Art", "Culture", "Natural Biology", "Celebrity")),
    Domain("Synthetic & Aesthetic", ("Text2Image", "Aesthetic")),
    Domain(
        "Video & Temporal",
        ("Human Activity", "Education", "Movies", "Egocentric", "Reasoning", "Sports"),
        modality="video",
    ),
)


def find_domain(task: str, domains: Iterable[Domain]) -> Domain:
    """The domain that `task` names.

    Raises:
        ValueError: no domain answers to it; the message names the nearest one.
    """
    known = tuple(domains)
    for domain in known:
        if domain.answers_to(task):
            return domain
    names = [domain.name for domain in known]
    near = difflib.get_close_matches(task.casefold(), [name.casefold() for name in names], n=1, cutoff=0.5)
    hint = next((f"; did you mean '{name}'?" for name in names if near and name.casefold() == near[0]), "")
    raise ValueError(f"task '{task}' is no domain{hint} (known: {', '.join(names)}, or 'auto')")
