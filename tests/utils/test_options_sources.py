"""Command line before environment before file; and what is said to what none of them may say."""

import os
from pathlib import Path

import pytest
import yaml

from MetaCaptioner.captionpipeline import CaptionOptions
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.filter import FilterOptions
from MetaCaptioner.inferscore import ScoreOptions
from MetaCaptioner.report.command import ReportOptions
from MetaCaptioner.run import RunOptions
from MetaCaptioner.status import StatusOptions
from MetaCaptioner.utils.commands import COMMANDS, options_of
from MetaCaptioner.utils.options import Options, all_of, as_flags
from MetaCaptioner.utils.options_sources import READ_NO_FILE, _of_file, as_file, parser_of, read

CAPTION = ("--plan", "p", "--output-dir", "o")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file but what a test writes, in a current folder of its own."""
    for name in ("METACAPTIONER_CONFIG", "MODEL", "TP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def caption(*typed: str) -> CaptionOptions:
    return read(CaptionOptions, [*CAPTION, *typed], "")


def test_typed_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "metacaptioner.yaml", "model: of file\nmax_pixels: 1000\nvideo-frames: 9\nretry_errors: true\n")
    options = caption()
    assert (options.model, options.max_pixels, options.video_frames, options.retry_errors) == ("of file", 1000, 9, True)
    monkeypatch.setenv("MODEL", "of environment")
    monkeypatch.setenv("METACAPTIONER_MAX_PIXELS", "2000")
    options = caption()
    assert (options.model, options.max_pixels, options.video_frames) == ("of environment", 2000, 9)
    options = caption("--model=typed", "--max-pixels=3000", "--no-retry-errors")
    assert (options.model, options.max_pixels, options.retry_errors) == ("typed", 3000, False)


def test_empty_variables_say_nothing_and_lists_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "")
    monkeypatch.setenv("METACAPTIONER_MAX_PIXELS", "")
    monkeypatch.setenv("METACAPTIONER_ENGINE_ARG", "a=1 'b=x y'")
    options = caption()
    assert (options.model, options.max_pixels) == (CaptionOptions.model_fields["model"].default, 1003520)
    assert options.engine_options().extra == {"a": 1, "b": "x y"}


def test_the_file_is_the_one_that_is_named_or_the_first_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "configuration" / "metacaptioner" / "config.yaml", "seed: 1")
    assert caption().seed == 1
    here = write(tmp_path / "metacaptioner.yaml", "seed: 2")
    assert caption().seed == 2
    assert f"options of {here.name}" in capsys.readouterr().err
    other = write(tmp_path / "other.yaml", "seed: 3")
    monkeypatch.setenv("METACAPTIONER_CONFIG", str(other))
    assert caption().seed == 3
    assert caption(f"--config={write(tmp_path / 'named.yaml', 'seed: 4')}").seed == 4
    assert caption(READ_NO_FILE).seed is None
    capsys.readouterr()
    monkeypatch.setenv("METACAPTIONER_CONFIG", "")
    assert caption().seed is None
    assert capsys.readouterr().err == ""


def test_a_programs_own_part_counts_for_it_alone(tmp_path: Path) -> None:
    text = "model: a\nscore: {model: b, data_folder: d, output_dir: s}\nstatus: {stall_seconds: 9}\nstall_seconds: 0\n"
    write(tmp_path / "metacaptioner.yaml", text)
    score = read(ScoreOptions, [], "")
    assert (score.model, score.data_folder, score.output_dir, score.stall_seconds) == ("b", Path("d"), Path("s"), 0)
    assert caption().model == "a"
    assert read(StatusOptions, ["--plan=p", "--output-dir=o"], "").stall_seconds == 9


def test_what_another_program_has_says_nothing_to_this_one(tmp_path: Path) -> None:
    write(tmp_path / "metacaptioner.yaml", "model: a\nmin_overall: 4\nmade_with: {vllm: '1'}\nrun: {nonsense: 3}\n")
    assert read(FilterOptions, ["--data-folder=d"], "").min_overall == 4


def test_engine_arguments_are_a_list_or_a_mapping_and_a_home_is_a_folder(tmp_path: Path) -> None:
    text = "engine_arg: {enforce_eager: true, dtype: bfloat16}\nprompts_dir: ~/p\n"
    write(tmp_path / "configuration" / "metacaptioner" / "config.yaml", text)
    options = caption()
    assert options.engine_options().extra == {"enforce_eager": True, "dtype": "bfloat16"}
    assert options.prompts_dir == Path("~/p").expanduser()
    assert caption("--engine-arg", "dtype=half").engine_options().extra == {"dtype": "half"}


@pytest.mark.parametrize("text", ["engine_arg: {trust_remote_code: true}", "caption: {allow-outside-root: true}"])
def test_what_lets_others_in_counts_only_in_a_file_that_is_named(tmp_path: Path, text: str) -> None:
    """The current folder may be that of a dataset."""
    path = write(tmp_path / "metacaptioner.yaml", text)
    with pytest.raises(BadArguments, match=r"counts only in a file that you name: --config ./metacaptioner.yaml"):
        caption()
    options = caption("--config=metacaptioner.yaml")
    assert options.allow_outside_root or options.engine_arg == ["trust_remote_code=true"]
    assert caption(f"--config={path}") == options


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_pixles: 3", "there is no such option; did you mean max_pixels?"),
        ("captoin: {}", "there is no such option; did you mean caption?"),
        ("xyzzy: 3", "xyzzy: there is no such option"),
        ("max_pixels: true", "max_pixels must be a number, not true"),
        ("max_pixels: [3]", "max_pixels must be a whole number, not [3]"),
        ("max_pixels: 0", "max_pixels must be at least 1"),
        ("engine: vlm", "engine must be one of vllm, openai, scripted, not 'vlm'"),
        ("output_dir: x", "output_dir: is an option of"),
        ("caption: 3", "caption: must be options with values"),
        ("caption: {outptu_dir: 3}", "caption: outptu_dir: there is no such option; did you mean output_dir?"),
        ("- 3", "must be options with values"),
        ("a: b: c", "is no sound YAML"),
        ("seed: 1\nseed: 2", "is no sound YAML"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path / "run.yaml", text)
    with pytest.raises(BadArguments) as raised:
        caption(f"--config={path}")
    assert str(path) in str(raised.value)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    for path, told in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(BadArguments, match=f"--config {path}: cannot be read: .*{told}"):
            caption(f"--config={path}")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "METACAPTIONER_MAX_PIXLES",
            "3",
            "METACAPTIONER_MAX_PIXLES: there is no such option; did you mean max_pixels?",
        ),
        ("METACAPTIONER_OUTPUT_DIR", "x", "METACAPTIONER_OUTPUT_DIR: there is no such option"),
        ("METACAPTIONER_MAX_PIXELS", "x", "METACAPTIONER_MAX_PIXELS must be a whole number, not 'x'"),
        (
            "METACAPTIONER_ENGINE_ARG",
            "a='b",
            "METACAPTIONER_ENGINE_ARG must be words as in a shell: No closing quotation",
        ),
        ("TP", "0", "TP must be at least 1"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadArguments) as raised:
        caption()
    assert str(raised.value).startswith(told)


def test_a_mistyped_flag_is_one_line_with_the_nearest() -> None:
    for typed, told in (
        ("--max-pixles=3", "unrecognized arguments: --max-pixles=3; did you mean --max-pixels?"),
        ("--max-pix", "unrecognized arguments: --max-pix; did you mean --max-pixels?"),
        ("--max-pixels", "argument --max-pixels: expected one argument"),
        ("--xyzzyx", "unrecognized arguments: --xyzzyx; "),
    ):
        with pytest.raises(BadArguments) as raised:
            caption(typed)
        assert str(raised.value).startswith(told)
        assert str(raised.value).endswith(" --help lists all")


def test_options_are_read_again_from_the_file_that_they_make(tmp_path: Path) -> None:
    typed = ["in put", "--output=out", "--export=txt", "--beside", "--keep", "--engine-arg=a=1", "--min-overall=4.5"]
    options = read(RunOptions, typed, "")
    path = write(tmp_path / "elsewhere" / "config.yaml", yaml.safe_dump(as_file(options)))
    again = read(RunOptions, [f"--config={path}"], "")
    assert again.model_dump() == options.model_dump() | {"output": tmp_path / "out"}
    assert yaml.safe_load(path.read_text())["run"]["input"] == "in put"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_goes_through_flags_and_through_a_file(name: str, tmp_path: Path) -> None:
    values = {bool: True, int: 7, float: 0.25, Path: Path("-a b"), str: "-a 'b", list[str]: ["a=-1", 'b={"c": [1, 2]}']}
    shared = all_of(Options)
    known = {key: one for key, one in all_of(options_of(name)).items() if one is not shared.get(key) and not one.parts}
    said = {key: one.choices[-1] if one.choices else values[one.kind] for key, one in known.items() if key != "quiet"}
    options = options_of(name).model_construct(None, **said)
    flags = [flag for flag in as_flags(options) if flag.startswith("--")]
    typed = vars(parser_of(options_of(name), "").parse_args(flags))
    places = {key for key, one in known.items() if one.flag.is_place}
    assert {key: str(value) for key, value in typed.items()} == {
        key: str(value) for key, value in said.items() if key not in places
    }
    path = write(tmp_path / "of all.yaml", yaml.safe_dump(as_file(options)))
    found = {key: one.value for key, one in _of_file(options_of(name), path).items()}
    assert found == {key: str(value.absolute()) if isinstance(value, Path) else value for key, value in said.items()}


def test_a_folder_of_a_model_is_found_from_any_folder_and_a_name_stays_one(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert as_file(caption("--model=models"))["model"] == str(tmp_path / "models")
    assert as_file(caption("--model=Qwen/some"))["model"] == "Qwen/some"


@pytest.mark.parametrize("text", ["model: ~/m", "model: ~nosuchuser/m"])
def test_a_text_that_may_be_a_path_is_one_below_the_home(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "run.yaml", text)
    assert caption(f"--config={path}").model == os.path.expanduser(text.partition(" ")[2])  # noqa: PTH111
    write(path, text.replace("model", "prompts_dir"))
    assert caption(f"--config={path}").prompts_dir == Path(os.path.expanduser(text.partition(" ")[2]))  # noqa: PTH111


def test_a_user_without_a_home_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user may have no name."""
    for name in ("XDG_CONFIG_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31)
    assert caption().seed is None


def test_a_file_that_lies_there_cannot_keep_itself_from_being_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "metacaptioner.yaml", "quiet: true\nothers: redo\n")
    assert caption().others == "redo"
    assert "note: options of metacaptioner.yaml" in capsys.readouterr().err
    caption(f"--config={path}")
    assert capsys.readouterr().err == ""


def test_every_command_has_options_of_its_name_and_no_option_is_told_twice() -> None:
    """A group's option means the same wherever it is; so an option that two commands call alike is each one's own."""
    for name in COMMANDS:
        options = options_of(name)
        assert options.command == name
        assert all(one.about for one in all_of(options).values())
        told = parser_of(options, "about").format_help()
        assert all(one.flag.words or one.typed in told for one in all_of(options).values())
    homes = {one.home for name in COMMANDS for one in all_of(options_of(name)).values() if not one.is_own}
    declared = [name for home in homes for name in home.__annotations__ if name in home.model_fields]
    assert len(declared) == len(set(declared))


def test_the_help_of_an_option_has_its_group_default_and_values() -> None:
    told = parser_of(ReportOptions, "about").format_help()
    assert "usage: " in told
    assert "--data-folder FOLDER [OPTION ...]" in told.partition("\n\n")[0]
    assert told.index("\nwhich captions are good enough:\n") < told.index("--min-overall MARK")
    assert "lowest mean of the marks (default: 3.0)" in told
    assert "(default: None)" not in told
