import pytest

from MetaCaptioner.data.taxonomy import DOMAINS, find_domain

CONTRACT = {
    "Natural": "Scenes Object, Social Activity, Animal and Plants, Remote Sensing",
    "Structure & Math": "Chart, Table, Equation, Geometry, Diagram",
    "Infographic & Document": "Natural OCR, Document, Poster, Table Docs",
    "Medical & Bio-Imaging": "Radiology, Pathology, Clinical, Case Report",
    "UI & Interaction": "Website, Mobile, Tablet",
    "Code & Programming": "Code OCR, Code Understanding, Web Code",
    "Knowledge & Education": "Science Knowledge, Art, Culture, Natural Biology, Celebrity",
    "Synthetic & Aesthetic": "Text2Image, Aesthetic",
    "Video & Temporal": "Human Activity, Education, Movies, Egocentric, Reasoning, Sports",
}


def test_the_nine_domains_and_their_subdomains_are_those_of_the_contract() -> None:
    assert {domain.name: ", ".join(domain.subdomains) for domain in DOMAINS} == CONTRACT


def test_only_the_video_domain_takes_videos() -> None:
    assert [domain.name for domain in DOMAINS if domain.modality == "video"] == ["Video & Temporal"]


@pytest.mark.parametrize("name", CONTRACT)
def test_a_domain_answers_to_its_name_and_first_word_in_any_case(name: str) -> None:
    first = name.split()[0]
    for task in (name, name.upper(), name.lower(), first, first.lower(), first.upper(), f"  {first} "):
        assert find_domain(task, DOMAINS).name == name


@pytest.mark.parametrize(
    ("task", "meant"),
    [("Naturel", "Natural"), ("structure and math", "Structure & Math"), ("VIDEO & TEMPORALS", "Video & Temporal")],
)
def test_a_slip_is_answered_with_the_domain_that_was_meant(task: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"task '{task}' is no domain; did you mean '{meant}'\\?"):
        find_domain(task, DOMAINS)


def test_a_far_off_task_gets_the_list_and_no_hint() -> None:
    with pytest.raises(ValueError, match="task 'qqqq' is no domain") as raised:
        find_domain("qqqq", DOMAINS)
    assert "did you mean" not in str(raised.value)
    assert all(name in str(raised.value) for name in (*CONTRACT, "'auto'"))
