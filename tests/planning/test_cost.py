from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MetaCaptioner.agents.changed_prompts import limit_output
from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, Prompts, load_prompts
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning import cost
from MetaCaptioner.planning.cost import BAD_ROW, Estimator

BUDGET = MediaBudget()


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts()


def sample(
    width: int | None = None,
    height: int | None = None,
    task: str | None = "Natural",
    modality: Modality = "image",
    path: Path = Path("/nowhere/a.png"),
    problem: str | None = None,
) -> Sample:
    return Sample("set", 0, path.parent, path.name, modality, task, width=width, height=height, problem=problem)


def costs(prompts: Prompts, *samples: Sample, budget: MediaBudget = BUDGET) -> list[float]:
    estimator = Estimator(prompts, budget, Path("/"))
    estimator.add(
        [BAD_ROW if one.problem else one.task for one in samples],
        [str(one.source.path) for one in samples],
        [one.modality == "video" for one in samples],
        [max(one.width or 0, 0) * max(one.height or 0, 0) for one in samples],
    )
    return [float(value) for value in estimator.costs()]


def test_a_larger_picture_costs_more_up_to_the_budget(prompts: Prompts) -> None:
    small, large, huge, larger = costs(
        prompts, sample(100, 100), sample(800, 800), sample(5000, 5000), sample(10**9, 10**9)
    )
    assert small < large < huge == larger


def test_the_media_part_counts_visual_tokens(prompts: Prompts) -> None:
    one, two = costs(prompts, sample(280, 280), sample(280, 560))
    assert two - one == pytest.approx(100 * (cost.PREFILL + cost.VISION), rel=1e-3)


def test_a_smaller_budget_costs_less(prompts: Prompts) -> None:
    assert costs(prompts, sample(900, 900), budget=MediaBudget(max_pixels=200 * 28 * 28)) < costs(
        prompts, sample(900, 900)
    )


def test_a_clip_costs_more_than_a_picture_and_more_with_more_frames(prompts: Prompts) -> None:
    picture, clip = costs(prompts, sample(800, 800), sample(task="Video & Temporal", modality="video"))
    [short] = costs(prompts, sample(task="Video & Temporal", modality="video"), budget=MediaBudget(video_frames=4))
    assert picture < clip
    assert short < clip


def test_routing_costs_something(prompts: Prompts) -> None:
    routed, mean = costs(prompts, sample(280, 280, task=None)), []
    for domain in prompts.domains:
        if domain.modality == "image":
            mean += costs(prompts, sample(280, 280, task=domain.name))
    assert routed[0] > np.mean(mean)


def test_longer_answers_cost_more(prompts: Prompts) -> None:
    assert costs(limit_output(prompts, 10), sample(280, 280)) < costs(prompts, sample(280, 280))


def test_a_bad_row_costs_next_to_nothing(prompts: Prompts) -> None:
    assert costs(prompts, sample(task=None, problem="row 0: …")) == [1.0]


def test_sizes_that_the_row_lacks_come_from_the_pictures_header(prompts: Prompts, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    given, read = costs(prompts, sample(300, 200), sample(path=tmp_path / "a.png"))
    assert read == given


@pytest.mark.parametrize("size", [(0, 0), (-3, 5), (None, 200)])
def test_sizes_that_cannot_be_are_read_from_the_header(
    prompts: Prompts, tmp_path: Path, size: tuple[int | None, int | None]
) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    given, read = costs(prompts, sample(300, 200), sample(*size, path=tmp_path / "a.png"))
    assert read == given


def test_pictures_that_cannot_be_read_are_estimated_without_failing(prompts: Prompts, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    paths = [tmp_path / name for name in ("text.png", "folder.png", "none.png", "n" * 300)]
    assert all(value >= 1 for value in costs(prompts, *(sample(path=path) for path in paths)))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged TIFF files
def test_damaged_pictures_are_estimated_without_failing(prompts: Prompts, tmp_path: Path) -> None:
    picture = Image.effect_noise((64, 48), 50)
    random = np.random.default_rng(3)
    samples = []
    for kind in ("AVIF", "WEBP", "TIFF", "JPEG", "PNG", "JPEG2000"):
        picture.convert("RGB").save(tmp_path / "whole", kind)
        content = (tmp_path / "whole").read_bytes()
        for number in range(40):
            damaged = bytearray(content)
            for place in random.integers(0, min(len(content), 400), 3):
                damaged[place] = random.integers(256)
            path = tmp_path / f"{kind}{number}"
            path.write_bytes(damaged)
            samples.append(sample(path=path))
    assert len(costs(prompts, *samples)) == len(samples)


def test_of_many_pictures_without_size_some_stand_for_the_rest(
    prompts: Prompts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (600, 400)).save(tmp_path / "large.png")
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    opened: list[object] = []
    real_open = Image.open

    def counted(path: Path, **options: object) -> Image.Image:
        opened.append(path)
        return real_open(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cost, "_HEADER_READS", 10)
    monkeypatch.setattr(Image, "open", counted)
    names = [("large.png", "small.png")[number // 100 % 2] for number in range(1000)]
    found = costs(prompts, *(sample(path=tmp_path / name) for name in names))
    assert len(opened) <= 20
    large, small = costs(prompts, sample(600, 400), sample(100, 100))
    assert sum(found) == pytest.approx(500 * (large + small), rel=0.1)


def test_a_sample_has_its_media_and_its_hungriest_round_in_the_engine(prompts: Prompts) -> None:
    budget = MediaBudget(max_pixels=28 * 28 * 100, video_pixels=28 * 28 * 50, video_frames=8)
    media = 28 * 28 * 1000
    more = cost.resident_tokens(prompts, MediaBudget(max_pixels=100 * 28 * 28 + media, video_pixels=1))
    less = cost.resident_tokens(prompts, MediaBudget(max_pixels=100 * 28 * 28, video_pixels=1))
    assert more - less == pytest.approx(1000 * 8 / 9)  # eight of the nine domains are of pictures
    assert cost.media_tokens(budget, "image") == 100
    assert cost.media_tokens(budget, "video") == 4 * 50
    assert cost.resident_tokens(limit_output(prompts, 1), budget) < cost.resident_tokens(prompts, budget)


def test_media_that_nobody_looks_at_take_no_room() -> None:
    prompts = load_prompts(PROMPTS_FOLDER / "shorten")
    less, more = (cost.resident_tokens(prompts, MediaBudget(max_pixels=n * 28 * 28)) for n in (1, 1000))
    assert 0 < less == more < 300
