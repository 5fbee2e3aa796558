"""Question files in the shapes of the published benchmarks, with pictures drawn on the spot."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

Row = dict[str, Any]


def picture(number: int, kind: str = "PNG") -> bytes:
    """A small picture, another one for each number."""
    out = io.BytesIO()
    Image.new("RGB", (56, 56), (number * 37 % 256, number * 91 % 256, number % 256)).save(out, kind)
    return out.getvalue()


def in_base64(number: int) -> str:
    return base64.b64encode(picture(number)).decode()


def write_tsv(path: Path, rows: Sequence[Row]) -> Path:
    """A TSV as VLMEvalKit's are written, by pandas."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    return path


FOUR = {"A": "red", "B": "green", "C": "blue", "D": "grey"}


def shapes(held: Callable[[int], str]) -> Mapping[str, Sequence[Row]]:
    """Name of the file -> its rows: the eight benchmarks of the published table, as VLMEvalKit has them.

    `held` is a picture as base64 by its number.
    """
    return {
        "MMMU_DEV_VAL.tsv": [
            {"index": 1, "id": "v_1", "image": f"['{held(1)}', '{held(2)}']"}
            | {"question": "How do <image 1> and <image 2> differ?", **FOUR, "answer": "B", "category": "Art"}
            | {"l2-category": "x", "split": "validation"},
            {"index": 2, "id": "v_2", "image": "1", "question": 'What "is"\tthis?\nSay.', "A": None, "answer": "12"}
            | {"category": "Math", "split": "dev"},
        ],
        "MMVet.tsv": [
            {"index": 0, "image": held(3), "question": "What is x?", "answer": "-1<AND>-5", "category": "ocr,math"},
            {"index": 1, "image": "0", "question": "What is y?", "answer": "two<OR>2", "category": "ocr,math"},
        ],
        "MathVerse_MINI_Vision_Only.tsv": [
            {"index": 1, "image": held(4), "question": "Find BC.\nChoices:\nA:2\nB:3\nC:4\nD:5", "answer": "C"}
            | {"question_type": "multi-choice", "problem_version": "Vision Only"},
            {"index": 2, "image": held(4), "question": "Find f.", "answer": "f(x)=\\frac{1}{2}x"}
            | {"question_type": "free-form", "problem_version": "Vision Only"},
        ],
        "MathVista_MINI.tsv": [
            {"index": 1, "image": held(5), "question": "Which?", "choices": "['red', 'blue']", "answer": "blue"}
            | {"answer_option": "B", "question_type": "multi_choice", "answer_type": "text", "precision": None},
            {"index": 2, "image": held(6), "question": "How much?", "choices": None, "answer": "1.2"}
            | {"answer_option": None, "question_type": "free_form", "answer_type": "float", "precision": 1.0},
            {"index": 3, "image": held(6), "question": "Which years?", "choices": None, "answer": "[2007, 2008]"}
            | {"answer_option": None, "question_type": "free_form", "answer_type": "list", "precision": None},
        ],
        "ChartQA_TEST.tsv": [
            {"index": 0, "image": held(7), "question": "How many?", "answer": "14", "split": "test_human"},
            {"index": 1, "image": held(7), "question": "Which year?", "answer": "2007", "split": "test_augmented"},
        ],
        "InfoVQA_VAL.tsv": [
            {"index": 10, "image": held(8), "question": "Who?", "answer": "['the king', 'king']"},
            {"index": 11, "image": "10", "question": "What share?", "answer": "['40%', '40 %']"},
        ],
        "AI2D_TEST.tsv": [
            {
                "index": 0,
                "image": held(9),
                "question": "What eats grass?",
                "category": "foodWeb",
                **FOUR,
                "answer": "A",
            }
        ],
        "Video-MME.tsv": [
            {"index": 0, "video": "a.mp4", "duration": "short", "domain": "Sports", "question": "Who wins?"}
            | {"candidates": "['A. red', 'B. blue', 'C. green', 'D. no one']", "answer": "C"},
            {"index": 1, "video": "a.mp4", "duration": "short", "domain": "Sports", "question": "When?"}
            | {"candidates": "['A. now', 'B. then', 'C. later', 'D. never']", "answer": "A"},
        ],
    }


SHAPES = shapes(in_base64)
