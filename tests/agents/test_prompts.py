import re
from pathlib import Path

import pytest
import yaml

from MetaCaptioner.agents.changed_prompts import limit_output, resampling
from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import NO_DOMAINS, PROMPTS_FOLDER, Prompts, load_prompts, system_prompt_map_dict
from MetaCaptioner.agents.workflow import placeholders
from MetaCaptioner.data.taxonomy import DOMAINS
from tests.helpers import MAPS, Row, write_prompts

SHIPPED = sorted(path for path in PROMPTS_FOLDER.glob("*.yaml") if path.name not in NO_DOMAINS)


def agent(name: str, **fields: object) -> Row:
    return {"name": name, "prompt": "Look.", **fields}


def domain(*agents: Row, **fields: object) -> Row:
    return {"domain": "Maps", "description": "Drawn maps.", "agents": list(agents), **fields}


def opened(prompt: str) -> str:
    """The prompt as an agent that sees the media is given it."""
    return f"{' '.join((PROMPTS_FOLDER / 'opening.txt').read_text().split())}\n\n{prompt}"


def refused(folder: Path, content: object, file: str = "maps.yaml") -> str:
    """The message with which the one file of a prompts folder is refused; it must name the file."""
    write_prompts(folder, **{file.removesuffix(".yaml"): content})
    with pytest.raises(PromptError) as raised:
        load_prompts(folder)
    message = str(raised.value)
    assert str(folder / file) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("description: Drawn maps.", "description: x\ndescription: Drawn maps.", "description"),
        ("  prompt: List the places.", "  prompt: first\n  prompt: List the places.", "prompt"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, old: str, new: str, key: str) -> None:
    content = yaml.safe_dump(MAPS)
    assert old in content
    told = refused(tmp_path, content.replace(old, new))
    assert f"is no valid YAML: the key '{key}' is there twice" in told


@pytest.fixture(scope="module")
def shipped() -> Prompts:
    return load_prompts()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_makes_a_workflow(shipped: Prompts, path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    workflow = shipped.workflows[content["domain"]]
    assert {made.name for made in workflow.agents} == {written["name"] for written in content["agents"]}
    assert [made.role for made in workflow.agents].count("summary") == 1
    assert workflow.agents[-1].role == "summary"
    seen: set[str] = set()
    for made in workflow.agents:
        assert seen.issuperset(made.requires)
        assert set(made.requires) <= set(placeholders(made.prompt))
        assert made.prompt == made.prompt.strip()
        seen.add(made.name)


def test_the_nine_domains_have_a_file_each_and_the_router_and_judge_are_there(shipped: Prompts) -> None:
    assert len(SHIPPED) == 9
    assert set(shipped.workflows) == set(shipped.descriptions) == {domain.name for domain in DOMAINS}
    assert (shipped.router.role, shipped.judge.role) == ("router", "judge")
    assert "{domains}" in shipped.router.prompt
    assert "{caption}" in shipped.judge.prompt


def test_what_the_map_holds_is_what_runs(monkeypatch: pytest.MonkeyPatch, shipped: Prompts) -> None:
    first = shipped.workflows["Natural"].agents[0]
    assert opened(system_prompt_map_dict["Natural"][first.name]) == first.prompt
    monkeypatch.setitem(system_prompt_map_dict["Natural"], first.name, "Count the birds.")
    changed = load_prompts()
    assert changed.workflows["Natural"].agents[0].prompt == opened("Count the birds.")
    assert changed.digest() != shipped.digest()


def test_a_change_in_the_map_is_checked_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(system_prompt_map_dict["Natural"], "objects", "Use {nothing_known}.")
    with pytest.raises(PromptError, match=r"system_prompt_map_dict\['Natural'\].*'\{nothing_known\}'"):
        load_prompts()


SUMMARY = agent("summary", role="summary")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (domain(agent("a", prompt="See {b}."), SUMMARY), "agent 'a': unknown placeholder '{b}'"),
        (
            domain(agent("a"), agent("summary", role="summary", prompt="Use {a}.")),
            "agent 'summary': unknown placeholder '{a}' (is it missing in 'requires'?)",
        ),
        (domain(agent("a", prompt="JSON {0}"), SUMMARY), "'{0}' is no plain placeholder"),
        (domain(agent("a", prompt="{}"), SUMMARY), "no plain placeholder"),
        (domain(agent("a", prompt="{duration!r}"), SUMMARY), "no plain placeholder"),
        (domain(agent("a", prompt="{duration.real}"), SUMMARY), "no plain placeholder"),
        (domain(agent("a", prompt=r"\frac{x"), SUMMARY), "agent 'a': "),
        (domain(agent("a", prompt="x}"), SUMMARY), "agent 'a': "),
        (
            domain(agent("a", prompt="{b}", requires=["b"]), agent("b", prompt="{a}", requires=["a"]), SUMMARY),
            "agents require each other in a cycle: a, b",
        ),
        (domain(agent("a", prompt="{a}", requires=["a"]), SUMMARY), "in a cycle: a"),
        (domain(SUMMARY, agent("other", role="summary")), "exactly one agent with role 'summary', has 2"),
        (domain(agent("a")), "exactly one agent with role 'summary', has 0"),
        (
            domain(SUMMARY, agent("a", prompt="{summary}", requires=["summary"])),
            "agent 'a' requires the summary, which must come last",
        ),
        (domain(agent("a", prompt="{b}", requires=["b"]), SUMMARY), "requires 'b', which is not in the file"),
        (domain(agent("a"), agent("b", requires=["a"]), SUMMARY), "requires 'a' but does not use '{a}'"),
        (domain(agent("a"), agent("a"), SUMMARY), "two agents are named 'a'"),
        (domain(agent("reason"), SUMMARY), "an agent cannot be named 'reason': '{reason}' is another text in prompts"),
        (domain(agent("duration"), SUMMARY), "an agent cannot be named 'duration'"),
        (domain(agent("a", tokens=3), SUMMARY), "agents.0.tokens: Extra inputs are not permitted"),
        (domain(SUMMARY, comment="x"), "comment: Extra inputs are not permitted"),
        (domain(agent("Big Name"), SUMMARY), "agents.0.name: "),
        (domain(agent("a", role="thinker"), SUMMARY), "agents.0.role: "),
        (domain(agent("a", prompt=""), SUMMARY), "agents.0.prompt: "),
        (domain(agent("a", max_tokens=0), SUMMARY), "agents.0.max_tokens: "),
        (domain(agent("a", temperature=-1), SUMMARY), "agents.0.temperature: "),
        (domain(), "agents: "),
        ({"description": "x", "agents": [SUMMARY]}, "domain: Field required"),
        ({"domain": "Maps", "agents": [SUMMARY]}, "description: Field required"),
        (domain(SUMMARY, domain=" "), ""),
        (domain(SUMMARY, modality="audio"), "modality: "),
        (domain(SUMMARY, domain="Natural", subdomains=["Cats"]), "of the nine domains are fixed"),
        (domain(SUMMARY, domain="natural"), "also means"),
        ("domain: [", "is no valid YAML"),
        ("a: b: c", "is no valid YAML"),
        ("!!python/object/apply:os.getcwd []", "is no valid YAML"),
        ("", "valid dictionary"),
        ("- a", "valid dictionary"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, content: object, complaint: str) -> None:
    assert complaint in refused(tmp_path, content)


def test_a_domain_in_two_files_names_both(tmp_path: Path) -> None:
    write_prompts(tmp_path, first=MAPS)
    assert f"domain 'Maps' is in {tmp_path / 'first.yaml'} already" in refused(tmp_path, MAPS, "second.yaml")


@pytest.mark.parametrize(
    ("name", "prompt", "complaint"),
    [
        ("router.yaml", "Choose.", "the prompt does not use '{domains}'"),
        ("judge.yaml", "Mark.", "the prompt does not use '{caption}'"),
        ("judge.yaml", "Mark {domains}.", "unknown placeholder '{domains}'"),
    ],
)
def test_a_router_or_judge_without_its_placeholder_is_refused(
    tmp_path: Path, name: str, prompt: str, complaint: str
) -> None:
    assert complaint in refused(tmp_path, {"agent": agent("one", prompt=prompt)}, name)


def test_a_blind_judge_is_refused(tmp_path: Path) -> None:
    content = {"agent": agent("judge", prompt="{caption}", sees_media=False)}
    assert "the judge must see the media" in refused(tmp_path, content, "judge.yaml")


def test_a_prompts_folder_that_is_none_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="is not a folder"):
        load_prompts(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PromptError, match=r"holds no \.yaml file"):
        load_prompts(tmp_path)


def test_a_file_adds_a_domain(tmp_path: Path, shipped: Prompts) -> None:
    prompts = load_prompts(write_prompts(tmp_path, maps=MAPS))
    assert [domain.name for domain in prompts.domains] == [*(domain.name for domain in DOMAINS), "Maps"]
    maps = prompts.domains[-1]
    assert (maps.subdomains, maps.modality) == (("City", "Relief"), "image")
    assert maps.answers_to("Cartography")
    assert [made.name for made in prompts.workflows["Maps"].agents] == ["places", "summary"]
    assert prompts.workflows["Natural"] == shipped.workflows["Natural"]


def test_a_file_replaces_a_domain_whole(tmp_path: Path, shipped: Prompts) -> None:
    content = domain(agent("summary", role="summary", prompt="Say it."), domain="Natural", description="Nature.")
    prompts = load_prompts(write_prompts(tmp_path, mine=content))
    assert [made.prompt for made in prompts.workflows["Natural"].agents] == [opened("Say it.")]
    assert prompts.descriptions["Natural"] == "Nature."
    assert prompts.domains == shipped.domains


def test_a_replaced_router_or_judge_is_used(tmp_path: Path) -> None:
    write_prompts(tmp_path, judge={"agent": agent("judge", prompt="Mark {caption}.")})
    prompts = load_prompts(tmp_path)
    assert prompts.judge.prompt == opened("Mark {caption}.")


def test_all_that_see_the_media_open_with_the_same_words(shipped: Prompts) -> None:
    agents = [agent for workflow in shipped.workflows.values() for agent in workflow.agents]
    opening = opened("")
    assert len(opening.split()) >= 24  # more than a block of 16 tokens, in any tokenizer
    assert all(agent.prompt.startswith(opening) for agent in [*agents, shipped.router, shipped.judge])


def test_the_opening_can_be_replaced_and_left_out(tmp_path: Path) -> None:
    write_prompts(tmp_path, maps=domain(agent("a", sees_media=False), SUMMARY))
    assert [made.prompt for made in load_prompts(tmp_path).workflows["Maps"].agents] == ["Look.", opened("Look.")]
    (tmp_path / "opening.txt").write_text("This is\na map.\n")
    assert [made.prompt for made in load_prompts(tmp_path).workflows["Maps"].agents] == [
        "Look.",
        "This is a map.\n\nLook.",
    ]
    (tmp_path / "opening.txt").write_text("")
    assert [made.prompt for made in load_prompts(tmp_path).workflows["Maps"].agents] == ["Look.", "Look."]
    (tmp_path / "opening.txt").write_text("This is a {subdomain}.")
    with pytest.raises(PromptError, match=r"opening\.txt: holds a placeholder"):
        load_prompts(tmp_path)


@pytest.mark.parametrize("name", ["natural", "Medical", "video & temporal", "Code"])
def test_a_domain_of_ones_own_may_not_be_called_as_one_of_the_nine(tmp_path: Path, name: str) -> None:
    write_prompts(tmp_path, maps=domain(SUMMARY, domain=name))
    with pytest.raises(PromptError, match="also means"):
        load_prompts(tmp_path)


def test_two_domains_may_not_share_a_word(tmp_path: Path) -> None:
    """`task: medical` would mean the one or the other."""
    write_prompts(tmp_path, maps=domain(SUMMARY, aliases=["medical"]))
    with pytest.raises(PromptError, match="'Medical & Bio-Imaging'"):
        load_prompts(tmp_path)


def test_agents_are_put_in_an_order_in_which_they_can_run(tmp_path: Path) -> None:
    content = domain(
        agent("summary", role="summary", prompt="{c} {a}", requires=["c", "a"]),
        agent("c", role="reasoning", prompt="{b}", requires=["b"]),
        agent("b"),
        agent("a"),
    )
    prompts = load_prompts(write_prompts(tmp_path, maps=content))
    assert [made.name for made in prompts.workflows["Maps"].agents] == ["b", "c", "a", "summary"]


def test_sampling_settings_reach_the_agent(tmp_path: Path) -> None:
    written = agent("summary", role="summary", max_tokens=7, temperature=0.5, top_p=0.9, repetition_penalty=1.1)
    [made] = load_prompts(write_prompts(tmp_path, maps=domain(written))).workflows["Maps"].agents
    sampling = made.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (7, 0.5, 0.9)
    assert sampling.repetition_penalty == 1.1


@pytest.mark.parametrize(
    "change",
    [
        domain(agent("summary", role="summary", prompt="Say more.")),
        domain(agent("summary", role="summary", temperature=0.9)),
        domain(agent("summary", role="summary", max_tokens=9)),
        domain(agent("summary", role="summary"), description="Other."),
        domain(agent("summary", role="summary"), subdomains=["City"]),
        domain(agent("summary", role="summary"), domain="Atlas"),
    ],
)
def test_the_digest_changes_with_anything_that_is_asked(tmp_path: Path, change: Row) -> None:
    before = load_prompts(write_prompts(tmp_path, maps=domain(SUMMARY))).digest()
    assert load_prompts(write_prompts(tmp_path, maps=domain(SUMMARY))).digest() == before
    assert load_prompts(write_prompts(tmp_path, maps=change)).digest() != before


def test_a_summary_may_have_the_name_of_a_text_that_none_is_told(tmp_path: Path) -> None:
    summary = {**agent("caption", prompt="{a}", requires=["a"]), "role": "summary"}
    folder = write_prompts(tmp_path / "prompts", maps=domain(agent("a"), summary))
    assert [one.name for one in load_prompts(folder).workflows["Maps"].agents] == ["a", "caption"]


def test_a_limit_on_the_output_spares_router_and_judge(shipped: Prompts) -> None:
    limited = limit_output(shipped, 5)
    budgets = {a.sampling.max_tokens for workflow in limited.workflows.values() for a in workflow.agents}
    assert budgets == {5}
    assert (limited.router, limited.judge) == (shipped.router, shipped.judge)
    assert limit_output(shipped, 10**6).workflows == shipped.workflows


# --- every domain, earlier texts, sampling again


def test_a_file_of_every_domain_gives_its_agents_to_all_without_a_file(tmp_path: Path, shipped: Prompts) -> None:
    own = {"domain": "Natural", "description": "Pictures.", "agents": [SUMMARY]}
    every = {"domain": "*", "agents": [agent("all", role="summary")]}
    prompts = load_prompts(write_prompts(tmp_path / "p", natural=own, every=every))
    assert {name: workflow.agents[0].name for name, workflow in prompts.workflows.items()} == {
        domain.name: "summary" if domain.name == "Natural" else "all" for domain in DOMAINS
    }
    assert prompts.descriptions["Natural"] == "Pictures."
    assert prompts.descriptions["UI & Interaction"] == shipped.descriptions["UI & Interaction"]
    assert prompts.files["UI & Interaction"] == tmp_path / "p" / "every.yaml"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"domain": "*", "description": "x", "agents": [SUMMARY]}, "description: Extra inputs are not permitted"),
        ({"domain": "*", "agents": []}, "agents: Tuple should have at least 1 item"),
        ({"domain": "*", "agents": [agent("a")]}, "exactly one agent with role 'summary'"),
        ({"domain": "*", "agents": [agent("s", role="summary", prompt="{captions}")]}, "placeholder '{captions}'"),
        ({"domain": "*", "agents": [agent("s", role="summary", prompt="{agents.}")]}, "no plain placeholder"),
        ({"domain": "*", "agents": [agent("s", role="summary", prompt="{agents.a..b}")]}, "no plain placeholder"),
    ],
)
def test_a_file_of_every_domain_is_checked_like_any(tmp_path: Path, content: Row, complaint: str) -> None:
    assert complaint in refused(tmp_path, content)


def test_two_files_of_every_domain_are_one_too_many(tmp_path: Path) -> None:
    write_prompts(tmp_path, a={"domain": "*", "agents": [SUMMARY]})
    assert f"domain '*' is in {tmp_path / 'a.yaml'} already" in refused(
        tmp_path, {"domain": "*", "agents": [SUMMARY]}, "b.yaml"
    )


@pytest.mark.parametrize("file", ["router.yaml", "judge.yaml"])
def test_router_and_judge_have_no_answers_of_agents(tmp_path: Path, file: str) -> None:
    prompt = "{domains} {caption} {agents.objects}"
    assert "unknown placeholder" in refused(tmp_path, {"agent": agent("x", prompt=prompt)}, file)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"note": "x", "temperature": 3}, "temperature: "),
        ({"note": "{scores}"}, "unknown placeholder '{scores}'"),
        ({"note": "{reason"}, "expected '}'"),
        ({}, "note: Field required"),
    ],
)
def test_a_resample_file_is_checked(tmp_path: Path, content: Row, complaint: str) -> None:
    assert complaint in refused(tmp_path, content, "resample.yaml")


def test_with_an_empty_note_only_the_temperature_changes(tmp_path: Path, shipped: Prompts) -> None:
    changed = resampling(load_prompts(write_prompts(tmp_path, resample={"note": ""})))
    for name, workflow in changed.workflows.items():
        assert [made.prompt for made in workflow.agents] == [made.prompt for made in shipped.workflows[name].agents]
        assert {made.sampling.temperature for made in workflow.agents} == {0.7}


def test_sampling_again_tells_every_agent_and_draws_more_freely(tmp_path: Path, shipped: Prompts) -> None:
    prompts = load_prompts(write_prompts(tmp_path, resample={"note": "It was: {reason}\n", "temperature": 0.5}))
    assert prompts.digest() == shipped.digest()
    changed = resampling(prompts)
    assert changed.digest() != shipped.digest()
    for name, workflow in changed.workflows.items():
        for before, after in zip(shipped.workflows[name].agents, workflow.agents, strict=True):
            assert after.prompt == f"{before.prompt}\n\nIt was: {{reason}}"
            assert after.sampling.temperature == max(before.sampling.temperature, 0.5)
    assert (changed.judge, changed.router) == (shipped.judge, shipped.router)


def test_what_the_page_of_prompts_shows_is_as_it_says(tmp_path: Path) -> None:
    page = (PROMPTS_FOLDER.parents[1] / "docs" / "prompts.md").read_text()
    shown = dict(re.findall(r"^```yaml\n# my_prompts/(\w+)\.yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    assert set(shown) == {"maps", "natural", "judge", "refusals"}
    prompts = load_prompts(write_prompts(tmp_path, **shown))
    assert [one.name for one in prompts.workflows["Natural"].agents] == ["scene", "summary"]
    assert [(one.name, one.weight) for one in prompts.dimensions] == [("truth", 3), ("style", 1)]
    assert prompts.judge.refusals.is_one("Het spijt me, maar ik kan u daarmee niet helpen.")
    assert "Maps" in prompts.workflows
