"""A JSON file in the layout of COCO: `images` with a `file_name`, and `annotations` that may caption them.

Source of the layout: Lin et al., "Microsoft COCO: Common Objects in Context", the data format on cocodataset.org.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from MetaCaptioner.data.inputs.base import OUTSIDE, Found, Given, Input, Notes, modality_of
from MetaCaptioner.data.inputs.cell_values import caption_of
from MetaCaptioner.data.media_source import check_name
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON
from MetaCaptioner.utils.safe_open import leads_out, read_file


class _Image(msgspec.Struct, gc=False):
    id: int | str
    file_name: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: int | str | None = None
    caption: object = None


class _Coco(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation] = []


def open_coco(given: Given, notes: Notes) -> Input:
    """The images of a COCO file in its order, each with its captions; their names are below its folder or the root.

    The file is held in memory, without the boxes and outlines that it may have.

    Raises:
        UserError: it cannot be read, or is no such file.
    """
    path = Path(given.place).absolute()
    try:
        content = read_file(path)
        coco = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=_Coco)
    except OSError as error:
        raise UserError(f"input {path}: cannot be read: {error.strerror}") from error
    except NOT_PLAIN_JSON as error:
        hint = " (a list of rows is an annotation file already: name it in the Metafile)"
        is_list = content.lstrip()[:1] == b"["
        raise UserError(f"input {path}: is no COCO file: {error}{hint if is_list else ''}") from error
    root = given.root.absolute() if given.root else path.parent
    return Input(root, _found(coco, None if given.allow_outside_root else root, notes))


def _found(coco: _Coco, root: Path | None, notes: Notes) -> Iterator[Found]:
    """The images; with `root` only those that are named below it."""
    images = Counter(image.id for image in coco.images)
    captions: dict[int | str, list[object]] = {}
    for number, annotation in enumerate(coco.annotations):
        if annotation.caption is None:
            notes.left_out("annotations without a caption, such as boxes", f"annotation {number}")
        elif annotation.image_id is None or annotation.image_id not in images:
            notes.left_out("captions of images that are not listed", f"annotation {number}")
        elif images[annotation.image_id] > 1:
            notes.left_out("captions of an id that several images have", f"image {annotation.image_id}")
        else:
            captions.setdefault(annotation.image_id, []).append(annotation.caption)
    for image in coco.images:
        where = f"image {image.id}"
        try:
            check_name(image.file_name, "file_name")
        except ValueError as error:
            notes.left_out("images whose file_name is none", f"{where}: {error}")
            continue
        if root is not None and leads_out(root, image.file_name):
            notes.left_out(OUTSIDE, f"{where}: {image.file_name}")
            continue
        caption = caption_of(captions.get(image.id), where, notes)
        yield Found(modality_of(image.file_name) or "image", image.file_name, image.id, caption)
