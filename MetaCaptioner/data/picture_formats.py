"""The formats of pictures that are read."""

# Only formats that are plain pixels: no PostScript or the like, which start other programs.
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
IMAGE_FORMATS = (*PILLOW_FORMATS, "JXL")
