"""Batches hold what the pipeline would ask and see."""

from pathlib import Path

import numpy as np
import pytest

from demo.architecture import TOKEN_IDS, train_tokenizer
from demo.batches import FRAMES, LENGTHS, MEDIA_TOKENS, SHARES, Batches, Encoder, corpus
from demo.drawing import AGENTS, KINDS
from demo.drills import CELLS
from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.agents.judge import parse_verdict
from MetaCaptioner.records.claims import ANSWERS

SIZE = 36
DOMAIN_OF = {kind.name: kind.domain for kind in KINDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(corpus(0, 4), folder, 1024)
    return folder


def test_a_batch_has_all_domains_and_tasks_and_one_shape(folder: Path) -> None:
    batch = Batches(folder, "test", 0, SIZE, 2)[0]
    assert batch.pictures.shape == (32 + 9, 224, 224, 3)
    assert batch.cells.shape == (9, MEDIA_TOKENS, CELLS)
    assert batch.clips.shape == (4, FRAMES, 112, 112, 3)
    assert batch.kinds[32:41] == ("page",) * 9
    assert {DOMAIN_OF[name] for name in batch.kinds[:32]} == set(AGENTS) - {"Video & Temporal"}
    assert {DOMAIN_OF[name] for name in batch.kinds[41:]} == {"Video & Temporal"}
    for task, rows in batch.rows.items():
        assert rows.tokens.shape == (round(SHARES[task] * SIZE), LENGTHS[task])
        assert (rows.begins < rows.ends).all()
        assert (rows.tokens[np.arange(len(rows.ends)), rows.ends - 1] == TOKEN_IDS["<|im_end|>"]).all()


def test_a_batch_is_the_same_for_whoever_draws_it(folder: Path) -> None:
    first, second = (Batches(folder, "test", 0, SIZE, 2)[1] for _ in range(2))
    assert np.array_equal(first.pictures, second.pictures)
    assert all(np.array_equal(first.rows[task].tokens, second.rows[task].tokens) for task in SHARES)
    assert not np.array_equal(first.pictures, Batches(folder, "train", 0, SIZE, 2)[1].pictures)


def test_the_answers_can_be_read_from_the_tokens(folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = Batches(folder, "test", 0, SIZE, 1)[0].rows["judge"]
    for row in range(5):
        text = tokenizer.decode(rows.tokens[row, rows.begins[row] : rows.ends[row] - 1].tolist())
        assert parse_verdict(text, SHIPPED).scores["fluency"] in (2, 5)


def test_claims_are_asked_with_the_demos_own_question(folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = Batches(folder, "test", 0, SIZE, 1)[0].rows["claims"]
    asked = [tokenizer.decode(rows.tokens[row, : rows.begins[row]].tolist()) for row in range(len(rows.begins))]
    assert all(text.startswith("Does the picture or clip show this?\n") for text in asked)
    answers = [
        tokenizer.decode(rows.tokens[row, rows.begins[row] : rows.ends[row] - 1].tolist()) for row in range(len(asked))
    ]
    assert set(answers) == set(ANSWERS)
    assert 0.4 < answers.count("supported") / len(answers) < 0.65


def test_an_example_that_does_not_fit_gives_way(folder: Path) -> None:
    from demo.tasks import Example

    encoder = Encoder(folder)
    short, long = Example("notes", "What?", "A car."), Example("notes", "What? " * 50, "A car.")
    rows = encoder.rows([(0, long), (1, short)], 3, 40)
    assert rows.media.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="no example fits"):
        encoder.rows([(0, long)], 1, 40)
