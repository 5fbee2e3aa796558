"""Captions from Python, as the cells of a notebook: with the demo's own tiny model, which knows the demo's drawings.

python demo/api_example.py
"""

# %% The model is loaded once. Without `with` it is there until `close()`, or until nobody has it any more.
from pathlib import Path

import numpy as np
from PIL import Image

from MetaCaptioner import Captioner
from MetaCaptioner.runner.options import StageOptions

demo = Path(__file__).resolve().parents[1] / "data" / "demo"
captioner = Captioner(
    demo / "model",
    prompts_dir=demo / "prompts",
    score=True,
    options=StageOptions(max_model_len=2048, in_flight=2),  # it takes no more inputs ahead than keep it busy
)

# %% Files: a picture, a clip, and one that is not there, which costs one record and nothing else
paths = [demo / "natural_scenes" / "people_1.jpg", *sorted((demo / "video_clips").glob("*.mp4"))[:1], demo / "gone.png"]
for record in captioner.caption(paths):
    if record["status"] == "ok":
        print(record["task"], record.get("overall"), record["caption"], sep=" | ")
    else:
        print(record["index"], record["error"]["kind"], record["error"]["message"], sep=" | ")

# %% Pictures that are in memory
image = Image.open(paths[0])
array = np.asarray(image)
[first, second] = captioner.caption([image, array])
print(first["caption"] == second["caption"])

# %% Inputs are taken by need, so they may go on for ever
turns = (image.rotate(angle) for angle in range(0, 10**9, 5))
for record, _ in zip(captioner.caption(turns), range(3), strict=False):
    print(record["index"], record.get("caption"))

# %% The model's memory is given back
captioner.close()
