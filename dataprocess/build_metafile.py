"""Make an annotation file and its Metafile entry of data as they are.

python dataprocess/build_metafile.py --format folder --input data/photos --metafile data/Metafile.json
python dataprocess/build_metafile.py --format webdataset --input 'data/shards/train-{000000..000099}.tar' …
python dataprocess/build_metafile.py --format huggingface --input user/name --split train …
python dataprocess/build_metafile.py --format table --input data/paths.csv --root /data/media …
python dataprocess/build_metafile.py --format coco --input data/captions_train2017.json --root data/train2017 …
"""

import sys

try:
    from MetaCaptioner.__main__ import run_script
except ModuleNotFoundError:
    sys.exit("error: this Python lacks MetaCaptioner; use .venv/bin/python (bash script/setup.sh makes it)")

if __name__ == "__main__":
    run_script("build")
