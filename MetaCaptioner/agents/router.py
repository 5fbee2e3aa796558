"""The router: which of the domains, and which subdomain, a picture or clip belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate, ask, base_texts
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import Domain, Modality
from MetaCaptioner.engine.base import Completion, Constraint
from MetaCaptioner.errors import ErrorKind, SampleError, UserError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.records.record import Record


@dataclass(frozen=True)
class Route:
    """Where a sample goes. The confidences are shares of the probability of all domains that were asked for; None where
    the engine does not tell them."""

    task: str
    subdomain: str
    confidence: float | None
    runner_up: str | None
    runner_up_confidence: float | None

    def fields(self) -> Record:
        """What a route record adds to the identity of the sample."""
        runner_up = (
            None if self.runner_up is None else {"task": self.runner_up, "task_confidence": self.runner_up_confidence}
        )
        return {
            "task": self.task,
            "task_source": "router",
            "task_confidence": self.confidence,
            "subdomain": self.subdomain,
            "runner_up": runner_up,
        }


class Router:
    """Asks the model for a code such as B2: a letter for the domain, a number for the subdomain.

    Codes are short and start differently for every domain, so that the probabilities of the first token are those of
    the domains, whatever the model's tokenizer.

    Raises:
        UserError: there are more domains than letters.
    """

    def __init__(self, prompts: Prompts) -> None:
        if len(prompts.domains) > len(ascii_uppercase):
            raise UserError(f"{len(prompts.domains)} domains: the router can tell {len(ascii_uppercase)} apart at most")
        self._prompts = prompts
        self._letters = {domain.name: letter for domain, letter in zip(prompts.domains, ascii_uppercase, strict=False)}

    async def route(self, sample: Sample, media: Media, generate: Generate) -> Route:
        """Choose among the domains that take this kind of media.

        Raises:
            SampleError: the answer is no code that was offered.
        """
        candidates = self._candidates(media.modality)
        codes = {code: (domain, name) for domain in candidates for code, name in self._codes(domain)}
        texts = base_texts(sample, media, None) | {"domains": self.menu(media.modality)}
        completion = await self._ask(list(codes), texts, generate)
        domain, subdomain = codes[completion.text.strip()]
        if completion.first_token_probabilities is None:
            return Route(domain.name, subdomain, None, None, None)
        shares = self._shares(completion, candidates, domain)
        likeliest = max(candidates, key=lambda one: (shares[one.name], one is domain))
        if likeliest is not domain:  # its share is split over several first tokens, each less likely than another's one
            domain = likeliest
            again = await self._ask([code for code, _ in self._codes(domain)], texts, generate)
            _, subdomain = codes[again.text.strip()]
        others = sorted(((share, name) for name, share in shares.items() if name != domain.name), reverse=True)
        best = others[0] if others else (None, None)
        return Route(domain.name, subdomain, shares[domain.name], best[1], best[0])

    async def _ask(self, codes: Sequence[str], texts: Mapping[str, str], generate: Generate) -> Completion:
        """Have one of the codes chosen.

        Raises:
            SampleError: `bad_route`.
        """
        agent = replace(self._prompts.router, constraint=Constraint(choices=tuple(codes)))
        completion = await ask(agent, texts, generate)
        answer = completion.text.strip()
        if answer not in codes:
            raise SampleError(ErrorKind.BAD_ROUTE, f"the router answered '{answer[:40]}', which is no code of a domain")
        return completion

    def menu(self, modality: Modality) -> str:
        """What the router's prompt offers for this kind of media."""
        return "\n".join(self._entry(domain) for domain in self._candidates(modality))

    def code(self, task: str, subdomain: str) -> str:
        """The answer that means this domain and subdomain."""
        codes = next(self._codes(domain) for domain in self._prompts.domains if domain.name == task)
        return next(code for code, name in codes if name == subdomain)

    def _candidates(self, modality: Modality) -> list[Domain]:
        return [domain for domain in self._prompts.domains if domain.modality == modality]

    def _codes(self, domain: Domain) -> list[tuple[str, str]]:
        letter = self._letters[domain.name]
        return [(f"{letter}{number}", name) for number, name in enumerate(domain.subdomains, start=1)]

    def _entry(self, domain: Domain) -> str:
        """A domain's lines in the menu."""
        subdomains = "; ".join(f"{code} {name}" for code, name in self._codes(domain))
        head = f"{self._letters[domain.name]} = {domain.name}: {self._prompts.descriptions[domain.name]}"
        return f"{head}\n  {subdomains}"

    def _shares(self, completion: Completion, candidates: Sequence[Domain], chosen: Domain) -> dict[str, float]:
        """Probability mass by domain, made to add up to 1 over the candidates.

        Raises:
            SampleError: the engine gave no probability to the answer that it chose.
        """
        codes = {domain.name: [code for code, _ in self._codes(domain)] for domain in candidates}
        shares = completion.shares(codes)
        if not shares.get(chosen.name):
            raise SampleError(ErrorKind.BAD_ROUTE, f"no probability was reported for the chosen domain '{chosen.name}'")
        return {name: round(share, 4) for name, share in shares.items()}
