"""Captions in a program of one's own: `Captioner`, and the records that it gives."""

from MetaCaptioner.api.captioner import Captioner
from MetaCaptioner.api.records import CaptionRecord

__all__ = ["CaptionRecord", "Captioner"]
