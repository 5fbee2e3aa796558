"""Reports in headless Chromium, of runs over the demo's pictures with the scripted engine, which marks at random."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from MetaCaptioner.records.record import Record
from tests.helpers import write_lines
from tests.made_records import caption_record, judged, score_record
from tests.pipeline.commands import records, script, succeed
from tests.random_model import ROOT

browser = pytest.importorskip("tests.report.browser", reason="needs playwright (requirements-dev.txt)")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium (script/system_packages.txt)"),
]

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> & </script> a plain end"


@dataclass(frozen=True)
class Runs:
    """Two runs over the demo's data and their pages."""

    folder: Path
    chromium: "browser.Browser"

    @property
    def captions(self) -> Path:
        return self.folder / "Caption"

    def open(self, name: str = "Caption/report.html", **how: object) -> "browser.AbstractContextManager":
        return browser.open_page(self.chromium, self.folder / name, **how)


STAGES = """
import importlib, json, sys
for name, arguments in json.loads(sys.argv[1]):
    status = importlib.import_module(f"MetaCaptioner.{name}").main(arguments)
    assert status == 0, name
"""


def run_stages(*stages: tuple[str, list[str | Path]]) -> None:
    """Run several stages with the scripted engine, in one process, which loads the libraries once."""
    flags = ("--model", "scripted", "--engine", "scripted")
    commands = [(name, [*map(str, arguments), *(() if name == "plan" else flags)]) for name, arguments in stages]
    succeed([sys.executable, "-c", STAGES, json.dumps(commands)])


def replace_caption(folder: Path, sample_id: str, caption: str) -> None:
    """Write another caption into a record, as a model might have."""
    path = next(folder.glob(f"Rank*_{sample_id.split('/')[0]}.jsonl"))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [{**record, "caption": caption} if record["sample_id"] == sample_id else record for record in found]
    path.write_text("".join(json.dumps(record) + "\n" for record in changed))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(ROOT / "data/demo", folder / "data", ignore=shutil.ignore_patterns("model"))
    next((folder / "data/medical_bio").glob("*.png")).write_bytes(b"no picture")
    plan, pixels = folder / "plan.jsonl", {"Caption": "200000", "Smaller": "50000"}
    planned: list[str | Path] = ["--plan", plan, "--output-dir"]
    run_stages(
        ("plan", ["--metafile", folder / "data/Metafile.json", "--num-ranks", "1", "--output", plan]),
        ("inferdomain", [*planned, folder / "Domain"]),
        *(("captionpipeline", [*planned, folder / name, "--max-pixels", most]) for name, most in pixels.items()),
    )
    for name in pixels:
        replace_caption(folder / name, "code_snippets/0", HOSTILE)
    run_stages(
        *(("inferscore", ["--data-folder", folder / name, "--max-pixels", most]) for name, most in pixels.items())
    )
    log = folder / "Caption/runs/Rank9_node0.jsonl"
    log.parent.mkdir(exist_ok=True)
    log.write_text(json.dumps({"run": "a", "gpus": 4, "loading_seconds": 100, "working_seconds": 800}) + "\n")
    report = script("report", "--data-folder", folder / "Caption")
    succeed([*report, "--min-overall", "1", "--min-dim-score", "1"])
    succeed([*report, "--compare", folder / "Smaller", "--output", folder / "compare.html"])
    with browser.chromium() as chromium:
        yield Runs(folder, chromium)


def kept(folder: Path, *flags: str) -> list[Record]:
    succeed(script("filterd_by_score", "--data-folder", folder, *flags))
    return [json.loads(line) for line in (folder / "filtered/kept.jsonl").read_text().splitlines()]


def show_all(opened: "browser.Opened") -> dict[str, str]:
    """The text of every card by its sample."""
    while opened.page.locator("#more").is_visible():
        opened.page.locator("#more").click()
    cards = opened.page.locator(".card")
    return {str(card.get_attribute("data-id")): card.inner_text() for card in cards.all()}


def test_the_page_shows_every_picture_with_its_caption(runs: Runs) -> None:
    captions = {record["sample_id"]: record for record in records(runs.captions)}
    with runs.open() as opened:
        shown = show_all(opened)
        assert shown.keys() == captions.keys()
        for sample_id, text in shown.items():
            record = captions[sample_id]
            assert record.get("caption", record.get("error", {}).get("kind")).split(" a plain")[0] in text
        widths = opened.page.locator(".card img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert len(widths) == len(captions) - 1
        assert min(widths) > 100
        assert opened.texts(".picture.missing") == ["No picture"]
        assert len(opened.texts(".badge")) == sum(record["modality"] == "video" for record in captions.values())
        drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
        assert all(canvas.evaluate(drawn) for canvas in opened.page.locator("canvas:visible").all())


def test_sliders_say_at_once_what_the_filter_would_keep(runs: Runs) -> None:
    with runs.open() as opened:
        assert opened.text("#kept-count") == "35"
        for overall, lowest in (("2.6", "1"), ("3", "2"), ("1", "2"), ("5", "5")):
            opened.set("#min-overall", overall)
            opened.set("#min-dim-score", lowest)
            passed = kept(runs.captions, "--min-overall", overall, "--min-dim-score", lowest)
            assert opened.text("#kept-count") == str(len(passed))
            assert f"--min-overall {overall} --min-dim-score {lowest}" in opened.text("#command")
            hours = f"{1000 / len(passed):.2f}" if passed else "–"
            assert f"GPU hours for 1,000 kept captions\t{hours}" in opened.text("#cost-of-kept")
            cards = show_all(opened)
            assert {name for name, text in cards.items() if "\nKept\n" in text} == {one["sample_id"] for one in passed}
        assert "Overall too low\t3" in opened.text("#cost-of-kept")


def test_dimensions_and_a_threshold_of_one_are_those_of_the_records(runs: Runs) -> None:
    folder, name = runs.folder / "Own", "Rank0_node0_photos.jsonl"
    scores = [judged(0, truth=5, style=2), judged(1, truth=4, style=4), judged(2, truth=5, style=5), score_record(3)]
    write_lines(folder / name, [caption_record(index) for index in range(4)])
    write_lines(folder / "score" / name, scores)
    succeed(script("report", "--data-folder", folder, "--min-dim-score", "truth=5", "--min-overall", "1"))
    with runs.open("Own/report.html") as opened:
        assert "judges with different dimensions" in opened.text("#facts")
        assert opened.text("#lowest-value") == "3, truth 5"
        for lowest in ("3", "2", "5"):
            opened.set("#min-dim-score", lowest)
            passed = kept(folder, "--min-overall", "1", "--min-dim-score", lowest, "--min-dim-score", "truth=5")
            assert opened.text("#kept-count") == str(len(passed))
            assert f"--min-overall 1 --min-dim-score {lowest} --min-dim-score truth=5" in opened.text("#command")
        opened.page.locator('[data-id="photos/0"] .opener').click()
        assert opened.texts("#detail .marks th") == ["Truth", "Style"]
        opened.page.keyboard.press("Escape")
        opened.choose("#dimension", "Style")


def test_filters_and_sorting_change_what_is_shown(runs: Runs) -> None:
    captions = {record["sample_id"]: record for record in records(runs.captions)}
    scores = {record["sample_id"]: record["overall"] for record in records(runs.captions / "score")}
    with runs.open() as opened:
        opened.choose("#domain", "Natural")
        natural = {name for name, one in captions.items() if one["task"] == "Natural"}
        assert show_all(opened).keys() == natural
        assert opened.text("#kept-of").startswith(f"of {len(natural)} stay")
        opened.choose("#domain", "all")
        opened.choose("#dataset", "video_clips")
        assert show_all(opened).keys() == {name for name in captions if name.startswith("video_clips/")}
        opened.choose("#dataset", "all")
        opened.choose("#status", "Failed")
        assert [captions[name]["status"] for name in show_all(opened)] == ["error"]
        opened.choose("#status", "Rejected")
        assert "No sample fits" in opened.text("#no-cards")
        opened.set("#min-overall", "3")
        assert show_all(opened).keys() == {name for name, overall in scores.items() if overall < 3}
        opened.choose("#status", "any")
        opened.choose("#level", "2 to under 3")
        assert show_all(opened).keys() == {name for name, overall in scores.items() if 2 <= overall < 3}
        opened.choose("#level", "any")
        opened.choose("#sort", "overall, low first")
        assert [scores[name] for name in show_all(opened) if name in scores] == sorted(scores.values())
        opened.set("#search", "PLAIN END")
        assert len(show_all(opened)) == 1
        opened.page.locator("#domain-table button", has_text="Mean overall").click()
        means = [float(row.split("\t")[3]) for row in opened.texts("#domain-table tbody tr")]
        assert means == sorted(means, reverse=True)
        assert len(set(means)) > 3


def test_what_a_model_wrote_stays_text(runs: Runs) -> None:
    for page in ("Caption/report.html", "compare.html"):
        with runs.open(page) as opened:
            opened.set("#search", "a plain end")
            assert opened.page.locator(".card .caption").first.text_content() == HOSTILE
            opened.page.locator(".opener").click()
            assert opened.page.locator("#detail .caption").first.text_content() == HOSTILE
            assert opened.page.evaluate("window.hacked") is None
            assert opened.page.locator("#detail img, .card img").count() == 2


def test_a_sample_opens_with_all_that_is_known_of_it(runs: Runs) -> None:
    [record] = [one for one in records(runs.captions) if one["sample_id"] == "natural_scenes/1"]
    [score] = [one for one in records(runs.captions / "score") if one["sample_id"] == "natural_scenes/1"]
    [route] = [one for one in records(runs.folder / "Domain") if one["sample_id"] == "natural_scenes/1"]
    with runs.open() as opened:
        opened.page.locator('[data-id="natural_scenes/1"] .opener').click()
        text = opened.text("#detail")
        assert record["caption"] in text
        assert score["reason"] in text
        assert "Natural, by the Metafile; the router " in text
        assert f"with {100 * route['task_confidence']:.1f}% confidence" in text
        for name, agent in record["agents"].items():
            assert f"{name} {agent['output_tokens']} tokens\n" in text
            assert agent["text"] in text
        for name, mark in score["scores"].items():
            assert re.search(rf"{name.capitalize()}\s+{mark}\b", text)
        opened.page.keyboard.press("ArrowRight")
        assert opened.text("#detail-title") != "natural_scenes/1"
        opened.page.keyboard.press("Escape")
        assert not opened.page.locator("#detail").is_visible()


def test_two_runs_stand_side_by_side(runs: Runs) -> None:
    both = [{one["sample_id"]: one for one in records(runs.folder / name)} for name in ("Caption", "Smaller")]
    marks = [{one["sample_id"]: one["overall"] for one in records(runs.folder / name / "score")}
             for name in ("Caption", "Smaller")]  # fmt: skip
    with runs.open("compare.html") as opened:
        sample = "natural_scenes/1"
        show_all(opened)
        for side, run, overall in zip(opened.texts(f'[data-id="{sample}"] .side'), both, marks, strict=True):
            assert run[sample]["caption"] in side
            assert f"{overall[sample]:.1f}" in side
        better = {name for name in marks[0] if marks[1][name] > marks[0][name]}
        opened.choose("#status", "B is better")
        assert show_all(opened).keys() == better
        opened.choose("#status", "any")
        opened.choose("#sort", "B gains most")
        gains = [marks[1][name] - marks[0][name] for name in show_all(opened) if name in marks[0]]
        assert gains == sorted(gains, reverse=True)
        opened.set("#min-overall", "3.2")
        opened.set("#min-dim-score", "1")
        passed = [{name for name, overall in run.items() if overall >= 3.2} for run in marks]
        assert f"in both runs {len(passed[0] & passed[1])}, only in A {len(passed[0] - passed[1])}," in opened.text(
            "#comparison-kept"
        )
        assert opened.text("#kept-count") == str(len(passed[0]))
        opened.page.locator("#runs label", has_text="B").click()
        assert opened.text("#kept-count") == str(len(passed[1]))
        opened.page.locator("#beside").uncheck()
        assert opened.page.locator(".side").count() == 0
        assert both[1][sample]["caption"] in show_all(opened)[sample]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light"), (390, "dark")])
def test_the_page_fits_its_window_and_follows_the_theme(runs: Runs, width: int, scheme: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with runs.open("compare.html", width=width, scheme=scheme) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        dark = sum(map(int, re.findall(r"\d+", opened.page.evaluate(background)))) < 200
        assert dark == (scheme == "dark")
        opened.page.locator("#theme").click()
        assert (sum(map(int, re.findall(r"\d+", opened.page.evaluate(background)))) < 200) != dark
        opened.page.locator("#copy").click()
        assert opened.page.evaluate("navigator.clipboard.readText()") == opened.text("#command")


def test_captions_that_nobody_has_marked_yet_are_shown_without_marks(runs: Runs) -> None:
    folder = runs.folder / "unmarked"
    folder.mkdir()
    for path in runs.captions.glob("Rank*"):
        shutil.copy(path, folder)
    succeed(script("report", "--data-folder", folder))
    with runs.open("unmarked/report.html") as opened:
        assert "captions of 36 samples, none marked yet" in opened.text("#kept-of")
        assert not opened.page.locator("#min-overall, #marks, #cost-panel, #level").filter(visible=True).count()
        assert "No marks" in show_all(opened)["natural_scenes/1"]


def test_claims_are_shown_in_colour_and_found(tmp_path: Path, runs: Runs) -> None:
    told = [
        {"text": "<b>A cat</b> sits.", "answer": "supported", "supported": 0.9, "contradicted": 0.04},
        {"text": "It flies.", "answer": "contradicted", "supported": 0.1, "contradicted": 0.8, "dropped": True},
        {"text": "It is old.", "answer": "not visible"},
    ]
    name, of = "Rank0_node0_photos.jsonl", (told, told[:1], [{"text": "A dog.", "error": {"kind": "refused"}}])
    captions = [caption_record(number, claims=claims) for number, claims in enumerate(of)]
    write_lines(tmp_path / name, [*captions, caption_record(3)])
    write_lines(tmp_path / "score" / name, [score_record(number) for number in range(4)])
    succeed(script("report", "--data-folder", tmp_path, "--min-claim", "0.5"))
    with browser.open_page(runs.chromium, tmp_path / "report.html") as opened:
        assert opened.text("#kept-count") == "1"
        assert "--min-claim 0.5" in opened.text("#command")
        assert "Claims that are not supported" in opened.text("#cost-of-kept")
        found = {
            "all supported": {"photos/1"},
            "some contradicted": {"photos/0"},
            "some not visible": {"photos/0"},
            "some dropped": {"photos/0"},
            "some unanswered": {"photos/2"},
            "not checked": {"photos/3"},
        }
        for label, samples in found.items():
            opened.choose("#claims", label)
            assert show_all(opened).keys() == samples, label
        opened.choose("#claims", "any")
        opened.choose("#sort", "claims, doubtful first")
        assert next(iter(show_all(opened))) == "photos/0"
        opened.page.locator('[data-id="photos/0"] .opener').click()
        assert "1 of 3 claims supported" in opened.text("#detail")
        shown = opened.page.locator("#detail .claim")
        assert shown.all_inner_texts() == [one["text"] for one in told]
        titles = [one.get_attribute("title") for one in shown.all()]
        assert titles == [
            "supported 90.0%, contradicted 4.0%, not visible 6.0%",
            "supported 10.0%, contradicted 80.0%, not visible 10.0%; dropped",
            "not visible",
        ]
        colours = {one.evaluate("one => getComputedStyle(one).backgroundColor") for one in shown.all()}
        assert len(colours) == 3
    with runs.open() as opened:
        assert not opened.page.locator("#claims").is_visible()
