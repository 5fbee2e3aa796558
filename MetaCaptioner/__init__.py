"""MetaCaptioner: dense captions for image and video datasets, by agents on vLLM."""

__version__ = "0.1.0"
