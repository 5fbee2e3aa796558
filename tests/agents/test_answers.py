"""Answers that have to fit a schema: what is refused at load, what of an answer is, and fields in later prompts."""

import asyncio
import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from MetaCaptioner.agents.answers import field_texts, parse_answer
from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.agents.workflow import Agent, Workflow, check_completion, earlier_texts, run_workflow
from MetaCaptioner.engine.base import SYSTEM_MESSAGE, Completion, Constraint
from MetaCaptioner.errors import SampleError
from tests.helpers import Row, completion, write_prompts

TOWN: Row = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "streets": {"type": "integer", "minimum": 0},
        "river": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "motto": {"type": "string"},
    },
    "required": ["name", "streets", "river"],
}


def maps(schema: object, prompt: str = "Write. {places}", **more: object) -> Row:
    places = {"name": "places", "prompt": "List the places.", "schema": schema}
    summary = {"name": "summary", "role": "summary", "requires": ["places"], "prompt": prompt}
    return {"domain": "Maps", "description": "Drawn maps.", "agents": [places, summary | more]}


def refused(folder: Path, content: Row) -> str:
    with pytest.raises(PromptError) as raised:
        load_prompts(write_prompts(folder, maps=content))
    message = str(raised.value)
    assert message.startswith(f"prompt file {folder / 'maps.yaml'}: ")
    assert "\n" not in message
    return message


def properties(**named: object) -> Row:
    return {"type": "object", "properties": named}


# --- what is refused when prompts are loaded


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ("text", "agents.0.schema: Input should be a valid dictionary"),
        ({}, "agent 'places': schema: asks nothing of an answer"),
        ({"title": "Nothing"}, "asks nothing of an answer"),
        ({"type": "objekt"}, "is no JSON Schema: at type: 'objekt' is not valid"),
        (properties(a={"type": 3}), "is no JSON Schema: at properties.a.type: "),
        ({"type": "object", "required": "a"}, "is no JSON Schema: at required: "),
        ({"type": "string", "pattern": "("}, "is no JSON Schema: at pattern: "),
        ({"$schema": ["x"], "type": "string"}, "'$schema' must be text"),
        ({"type": "object", "properties": {1: {"type": "string"}}}, "a name that is a number: write it in quotes"),
        ({"type": "object", "requried": ["a"]}, "no engine can hold an answer to 'requried'; did you mean required?"),
        (
            properties(a={"type": "array", "uniqueItems": True}),
            "at properties.a: no engine can hold an answer to '",
        ),
        ({"type": "integer", "multipleOf": 5}, "no engine can hold an answer to 'multipleOf'"),
        ({"not": {"type": "string"}}, "no engine can hold an answer to 'not'"),
        ({"allOf": [{"type": "string"}]}, "no engine can hold an answer to 'allOf'"),
        ({"type": "object", "if": {"type": "object"}}, "no engine can hold an answer to 'if'"),
        ({"type": "array", "items": {"type": "object", "minProperties": 1}}, "at items: no engine"),
        ({"$defs": {"n": {"const": 1, "x": 1}}, "type": "string"}, "at $defs.n: no engine can hold an answer to 'x'"),
        ({"anyOf": [{"type": "string"}], "minLength": 1}, "no engine can hold an answer to 'minLength' beside 'anyOf'"),
        ({"type": "string", "format": "colour"}, "no engine can hold an answer to the format 'colour'"),
        ({"type": "string", "pattern": "^a", "maxLength": 3}, "a length beside 'pattern' or 'format'"),
        ({"type": "object", "required": ["a"]}, "'a' is required, but not among the properties"),
        ({"type": "string", "enum": [True, False]}, "true is no string (YAML's yes and no need quotes)"),
        ({"type": "integer", "const": "3"}, '"3" is no integer'),
        ({"$ref": "#/$defs/none"}, "'$ref': there is no '#/$defs/none' in the schema"),
        ({"$ref": "#"}, "'$ref' refers to itself"),
        ({"$ref": "http://127.0.0.1:9/s"}, "'$ref' must be of a place within the schema ('#/$defs/NAME'), not 'http"),
        ({"$ref": "other.json"}, "'$ref' must be of a place within the schema"),
    ],
)
def test_a_schema_that_is_none_or_cannot_be_held_is_one_line(tmp_path: Path, schema: object, complaint: str) -> None:
    assert complaint in refused(tmp_path, maps(schema))


def test_a_date_in_a_schema_is_no_json(tmp_path: Path) -> None:
    text = "domain: Maps\ndescription: x\nagents:\n- {name: s, role: summary, prompt: x, schema: {const: 2026-01-01}}"
    write_prompts(tmp_path, maps=text)
    with pytest.raises(PromptError, match="agent 's': schema: cannot be written as JSON"):
        load_prompts(tmp_path)


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        (
            "{places.nam}",
            "'{places.nam}': the schema has no property 'nam'; did you mean name? (it has motto, name, river",
        ),
        ("{places.motto}", "an answer may be without 'motto': name it in 'required' of the schema"),
        ("{places.river.length}", "the schema has no property 'length' (it has name)"),
        ("{places.name.x}", "the schema has no property 'x' (it has no properties)"),
        ("{places.}", "'{places.}' is no plain placeholder"),
        ("{places.0}", "'{places.0}' is no plain placeholder"),
        ("{towns.name} {places}", "unknown placeholder '{towns.name}' (is it missing in 'requires'?)"),
        ("{duration.x} {places}", "'{duration.x}' is no plain placeholder"),
    ],
)
def test_a_field_that_no_answer_need_have_is_refused(tmp_path: Path, prompt: str, complaint: str) -> None:
    assert complaint in refused(tmp_path, maps(TOWN, prompt))


def test_an_agent_without_a_schema_has_no_fields(tmp_path: Path) -> None:
    content = maps(TOWN, "{places.name}")
    del content["agents"][0]["schema"]
    told = "agent 'summary' uses '{places.name}': agent 'places' has no schema, so its answer has no fields"
    assert told in refused(tmp_path, content)


def test_an_agent_called_as_earlier_texts_are_has_no_schema(tmp_path: Path) -> None:
    content = maps(TOWN, "{agents}", requires=["agents"])
    content["agents"][0]["name"] = "agents"
    assert "an agent with a schema cannot be named 'agents'" in refused(tmp_path, content)


@pytest.mark.parametrize("name", ["router", "judge"])
def test_router_and_judge_have_none(tmp_path: Path, name: str) -> None:
    agent = {"name": name, "prompt": "{domains}" if name == "router" else "{caption}", "schema": TOWN}
    write_prompts(tmp_path, **{name: {"agent": agent}})
    with pytest.raises(PromptError, match=f"the {name}'s answer is not for a 'schema' to say"):
        load_prompts(tmp_path)


@pytest.mark.parametrize(
    "schema",
    [
        TOWN,
        {"type": "array", "items": {"enum": ["a", 1, None]}, "minItems": 1, "maxItems": 3},
        {"$defs": {"n": properties(next={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]})}, "$ref": "#/$defs/n"},
        {"type": ["string", "null"], "description": "a name, if there is one"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "format": "date"},
    ],
)
def test_a_sound_schema_reaches_the_engine_as_it_is(tmp_path: Path, schema: Row) -> None:
    prompts = load_prompts(write_prompts(tmp_path, maps=maps(schema)))
    [places, summary] = prompts.workflows["Maps"].agents
    assert places.constraint == Constraint(json_schema=schema)
    assert summary.constraint is None


def test_prompts_without_a_schema_are_the_same_as_before_there_were_any() -> None:
    """Else every result that there is would be one of other prompts: their digest is of this text."""
    sampling = "Sampling(max_tokens=256, temperature=0.2, top_p=1.0, repetition_penalty=1.0, seed=None)"
    fields = "name='a', role='judge', prompt='x', requires=(), sees_media=True"
    before = f"Agent({fields}, sampling={sampling}, constraint=None)"
    judge = Agent("a", "judge", "x", refusals=load_prompts().judge.refusals)
    assert repr(judge) == before
    content = json.dumps({"judge": before, "system": SYSTEM_MESSAGE}, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:10]
    assert replace(load_prompts(), judge=judge).digest(["judge"]) == digest


def test_a_schema_is_part_of_what_is_asked(tmp_path: Path) -> None:
    digests = {load_prompts(write_prompts(tmp_path, maps=maps(schema))).digest() for schema in (TOWN, properties())}
    assert len(digests) == 2


# --- answers


def answer(text: str, cut: int | None = None) -> object:
    return parse_answer("places", text, TOWN, cut)


def town(**changes: object) -> str:
    return json.dumps({"name": "Ulm", "streets": 3, "river": {"name": "Donau"}} | changes)


def test_an_answer_that_fits_is_its_value() -> None:
    assert answer(town(motto="x")) == {"name": "Ulm", "streets": 3, "river": {"name": "Donau"}, "motto": "x"}
    assert answer('{"name": "two\nlines", "streets": 0, "river": {"name": ""}}') is not None


@pytest.mark.parametrize(
    ("text", "cut", "complaint"),
    [
        ('{"name": "Ul', 128, "agent 'places': the answer was cut at 128 tokens"),
        ("Ulm has three streets.", None, "the answer is no JSON"),
        (town(streets="3"), None, "does not fit its schema: $.streets: '3' is not of type 'integer'"),
        (town(streets=-1), None, "$.streets: -1 is less than the minimum"),
        ("[]", None, "$: [] is not of type 'object'"),
        ('{"name": "Ulm"}', None, "is a required property"),
        (town(streets=float("nan")), None, "holds NaN"),
        ("[" * 900 + "]" * 900, None, ""),
        ("[" * 100_000, None, "nested too deep"),
    ],
)
def test_an_answer_that_does_not_fit_is_a_bad_answer(text: str, cut: int | None, complaint: str) -> None:
    with pytest.raises(SampleError) as raised:
        answer(text, cut)
    assert raised.value.kind == "bad_answer"
    assert complaint in raised.value.message
    assert len(raised.value.message) < 400


def test_a_deep_answer_to_a_schema_that_refers_to_itself_is_a_bad_answer_or_a_value() -> None:
    schema = {"$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}
    assert parse_answer("a", "[[[]]]", schema, None) == [[[]]]
    with pytest.raises(SampleError, match="nested too deep"):
        parse_answer("a", "[" * 800 + "]" * 800, schema, None)


def test_no_address_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("an address was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Exception, match=r"Unresolvable|unresolvable|refer"):
        parse_answer("a", "1", {"$ref": "http://127.0.0.1:9/schema.json"}, None)


def test_fields_are_texts_for_prompts() -> None:
    data = {"name": "Ulm", "n": 3, "list": ["ä", 1], "none": None, "in": {"yes": True, "not plain": 1}}
    found = field_texts("x", data)
    assert (found["x.name"], found["x.n"], found["x.list"], found["x.none"]) == ("Ulm", "3", '["ä", 1]', "null")
    assert (found["x.in"], found["x.in.yes"]) == ('{"yes": true, "not plain": 1}', "true")
    assert "x.in.not plain" not in found
    assert field_texts("x", None) == field_texts("x", "text") == {}
    assert earlier_texts("C.", {"a": {"text": "T", "data": {"b": 1}}, "c": {"text": "U", "data": 3}}) == {
        "caption": "C.", "agents.a": "T", "agents.a.b": "1", "agents.c": "U",
    }  # fmt: skip


def test_fields_and_the_text_are_in_later_prompts() -> None:
    schema = Constraint(json_schema=TOWN)
    agents = (
        Agent("places", "perception", "List.", constraint=schema),
        Agent(
            "summary",
            "summary",
            "{places.name} on {places.river.name}: {places.streets}; {places}",
            ("places",),
        ),
    )
    asked: dict[str, str] = {}

    async def generate(agent: Agent, instruction: str) -> Completion:
        asked[agent.name] = instruction
        return completion(town(name="{Ulm}") if agent.name == "places" else "Said.")

    workflow = Workflow("Maps", agents)
    assert workflow.uses() == {}
    asyncio.run(run_workflow(workflow, {}, generate))
    assert asked["summary"] == f"{{Ulm}} on Donau: 3; {town(name='{Ulm}')}"


def test_a_loop_in_a_string_of_a_value_is_one() -> None:
    agent = Agent("places", "summary", "List.", constraint=Constraint(json_schema=TOWN))

    async def generate(agent: Agent, instruction: str) -> Completion:
        return completion(town(name="a long street and " * 100))

    with pytest.raises(SampleError, match="repeats itself"):
        asyncio.run(run_workflow(Workflow("Maps", (agent,)), {}, generate))


def test_a_refusal_within_a_value_is_one_unless_something_else_is_said() -> None:
    refusals = load_prompts().judge.refusals
    agent = Agent("places", "summary", "List.", constraint=Constraint(json_schema=TOWN), refusals=refusals)
    no = "I'm sorry, but I can't help with that."
    for text in (json.dumps({"name": no, "streets": 1}), no):
        with pytest.raises(SampleError) as raised:
            check_completion(agent, completion(text))
        assert raised.value.kind == "refused"
    check_completion(agent, completion(json.dumps({"name": no, "motto": "a sign over the door"})))
    check_completion(agent, completion('{"streets": 3}'))
