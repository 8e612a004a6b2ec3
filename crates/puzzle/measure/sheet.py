"""Puts twenty pictures on each of some sheets, for people to read without their solutions.

    python sheet.py FOLDER
"""

import sys
from pathlib import Path

from PIL import Image

COLUMNS, ROWS, SPACE = 3, 7, 10


def main():
    folder = Path(sys.argv[1])
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9].png"))
    for start in range(0, len(files), 20):
        pictures = [Image.open(file).convert("L") for file in files[start : start + 20]]
        width = max(picture.width for picture in pictures) + SPACE
        height = max(picture.height for picture in pictures) + SPACE
        sheet = Image.new("L", (width * COLUMNS, height * ROWS), 255)
        for place, picture in enumerate(pictures):
            sheet.paste(picture, (place % COLUMNS * width, place // COLUMNS * height))
        sheet.save(folder / f"sheet-{start:03}.png")


main()
