"""Photographs with metadata in them."""

from pathlib import Path

from PIL import Image


def photograph(path: Path, words: str = "", size: tuple[int, int] = (64, 48)) -> None:
    """A photograph with a place on earth, and with words of the camera's."""
    image = Image.new("RGB", size, "teal")
    exif = Image.Exif()
    exif[0x010E] = words
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)}
    image.save(path, exif=exif)
