"""Pictures of the demo in every odd form give the caption of their plain form: the demo's model on real vLLM."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.pictures import ORIENTATION, SIDEWAYS, encoded, png_chunk, tiff, with_chunks
from tests.pipeline.commands import module, records, succeed, write_json
from tests.random_model import ROOT
from tests.running_engine import LoadedStages

pytestmark = pytest.mark.engine

DEMO = ROOT / "data" / "demo"
PICTURES = {"natural_scenes/people_1.jpg": "Natural", "medical_bio/chest_xray_0.png": "Medical"}
RANGE_SHOWN = "shown as black to white"


def exif() -> bytes:
    made = Image.Exif()
    made[ORIENTATION] = SIDEWAYS
    return made.tobytes()


def sideways(image: Image.Image) -> Image.Image:
    """The picture as a camera that was held upright saves it: EXIF must turn it back."""
    return image.transpose(Image.Transpose.ROTATE_90)


def with_texts(image: Image.Image) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "x" * 3_000_000, zip=True)
    return encoded(image, "PNG", pnginfo=texts, icc_profile=bytes(2_000_000))


def animation(image: Image.Image, kind: str, **options: Any) -> bytes:
    empty = Image.new("RGBA", image.size)
    return encoded(empty, kind, save_all=True, append_images=[image.convert("RGBA")], duration=100, **options)


def sixteen_bit(image: Image.Image) -> "np.ndarray[Any, np.dtype[np.uint16]]":
    return np.asarray(image).astype(np.uint16) * 257


COLOURED: dict[str, Callable[[Image.Image], bytes]] = {
    "plain.png": lambda image: encoded(image, "PNG"),
    "texts.png": with_texts,
    "sixteen.png": lambda image: bytes(imagecodecs.png_encode(sixteen_bit(image))),
    "turned.png": lambda image: with_chunks(encoded(sideways(image), "PNG"), png_chunk(b"eXIf", exif()[6:])),
    "turned.jpg": lambda image: encoded(sideways(image), "JPEG", quality=98, subsampling=0, exif=exif()),
    "turned.webp": lambda image: encoded(sideways(image), "WEBP", lossless=True, exif=exif()),
    "turned.heic": lambda image: encoded(sideways(image), "HEIF", quality=-1, chroma=444, exif=exif()),
    "turned.avif": lambda image: encoded(sideways(image), "AVIF", quality=98, subsampling="4:4:4", exif=exif()),
    "plain.heic": lambda image: encoded(image, "HEIF", quality=-1, chroma=444),
    "plain.avif": lambda image: encoded(image, "AVIF", quality=98, subsampling="4:4:4"),
    "plain.jxl": lambda image: encoded(image, "JXL"),
    "lossy.jxl": lambda image: encoded(image, "JXL", lossless=False, level=98),
    "plain.jp2": lambda image: encoded(image, "JPEG2000"),
    "endless.jpg": lambda image: encoded(image, "JPEG", quality=98, subsampling=0)[:-2],
    "progressive.jpg": lambda image: encoded(image, "JPEG", quality=98, subsampling=0, progressive=True)[:-2],
    "cmyk.jpg": lambda image: encoded(image.convert("CMYK"), "JPEG", quality=98, subsampling=0),
    "cmyk.tif": lambda image: encoded(image.convert("CMYK"), "TIFF"),
    "float.tif": lambda image: tiff((np.asarray(image) / 255).astype(np.float32), photometric="rgb"),
    "planes.tif": lambda image: tiff(
        np.moveaxis(sixteen_bit(image), -1, 0), photometric="rgb", planarconfig="separate", compression="lzw"
    ),
    "palette.png": lambda image: encoded(image.quantize(256), "PNG"),
    "lab.tif": lambda image: encoded(image.convert("LAB"), "TIFF"),
    "empty_first.webp": lambda image: animation(image, "WEBP", lossless=True),
    "empty_first.png": lambda image: animation(image, "PNG"),
    "empty_first.gif": lambda image: animation(image, "GIF"),
}

GREY: dict[str, Callable[["np.ndarray[Any, np.dtype[np.float64]]"], bytes]] = {
    "grey.png": lambda shares: encoded(Image.fromarray(np.rint(shares * 255).astype(np.uint8)), "PNG"),
    "twelve_bit.png": lambda shares: encoded(Image.fromarray((shares * 4095).astype(np.uint16)), "PNG"),
    "twelve_bit.tif": lambda shares: tiff((shares * 4095).astype(np.uint16)),
    "sixteen_bit.png": lambda shares: encoded(Image.fromarray((shares * 65535).astype(np.uint16)), "PNG"),
    "ct.tif": lambda shares: tiff((shares * 2000 - 1024).astype(np.int32)),
    "nan.tif": lambda shares: tiff(with_corner(shares.astype(np.float32), np.nan)),
    "inf.tif": lambda shares: tiff(with_corner(shares.astype(np.float32), -np.inf)),
    "no_data.tif": lambda shares: tiff(with_corner(shares.astype(np.float32), -9999)),
    "white_is_low.tif": lambda shares: tiff(((1 - shares) * 4095).astype(np.uint16), photometric="miniswhite"),
}


def with_corner(values: Any, missing: float) -> Any:
    values[:3, :3] = missing
    return values


def write_forms(folder: Path, source: Path) -> list[dict[str, object]]:
    """A picture in every form, below `folder`; their rows."""
    folder.mkdir(parents=True)
    image = Image.open(source).convert("RGB")
    shares = np.asarray(image.convert("L")).astype(np.float64)
    shares = (shares - shares.min()) / (shares.max() - shares.min())
    for name, colour in COLOURED.items():
        (folder / name).write_bytes(colour(image))
    for name, grey in GREY.items():
        (folder / name).write_bytes(grey(shares))
    return [{"id": name, "image": name} for name in (*COLOURED, *GREY)]


def test_pictures_in_odd_forms_have_the_caption_of_their_plain_form(tmp_path: Path, demo_model: LoadedStages) -> None:
    metafile = {}
    for name, task in PICTURES.items():
        folder = tmp_path / Path(name).stem
        rows = write_forms(folder, DEMO / name)
        write_json(tmp_path / f"{folder.name}.json", rows)
        entry = {"root": folder.name, "annotation": f"{folder.name}.json", "length": len(rows), "modality": "image"}
        metafile[folder.name] = {**entry, "task": task}
    plan, output = tmp_path / "plan.jsonl", tmp_path / "Caption"
    write_json(tmp_path / "Metafile.json", metafile)
    succeed(module("plan", "--metafile", tmp_path / "Metafile.json", "--num-ranks", "1", "--output", plan))
    model = ("--model", DEMO / "model", "--prompts-dir", DEMO / "prompts", "--seed", "0")
    demo_model.caption("--plan", plan, "--output-dir", output, *model)
    found = {(record["data_name"], record["id"]): record for record in records(output)}
    assert len(found) == len(PICTURES) * (len(COLOURED) + len(GREY))
    assert {key: record.get("error") for key, record in found.items() if record["status"] != "ok"} == {}
    captions = {key: record["caption"] for key, record in found.items()}
    other = {}
    for (data_name, name), caption in captions.items():
        plain = captions[data_name, "plain.png" if name in COLOURED else "grey.png"]
        if caption != plain:
            other[data_name, name] = (caption, plain)
    assert other == {}
    assert captions["people_1", "plain.png"] != captions["chest_xray_0", "plain.png"]
    notes = {name: record.get("media_note") for (data_name, name), record in found.items() if data_name == "people_1"}
    assert notes["twelve_bit.png"] == f"values 0 to 4095 {RANGE_SHOWN}"
    assert notes["no_data.tif"] == f"values 0 to 1 {RANGE_SHOWN}, 9 others beyond or missing"
    assert notes["empty_first.webp"] == "frame 2 of an animation, the first that is not empty"
    assert notes["plain.heic"] is None
