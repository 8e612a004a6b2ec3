"""Counts how many pictures `ddddocr` reads, as it comes and after simple filters.

    python read.py FOLDER

FOLDER has what the example `pictures` wrote.
"""

import sys
from pathlib import Path

import cv2
import ddddocr
import numpy


def as_it_comes(grey):
    return grey


def blurred(grey):
    return cv2.GaussianBlur(grey, (0, 0), 2.5)


def median(grey):
    return cv2.medianBlur(grey, 5)


def halved(grey):
    return cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def contrast(grey):
    """Dark where the picture has much contrast: written against this design."""
    deviation = numpy.abs(grey.astype(numpy.float32) - grey.mean())
    smooth = cv2.GaussianBlur(deviation, (0, 0), 2.0)
    return 255 - cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(numpy.uint8)


def main():
    folder = Path(sys.argv[1])
    lines = (folder / "solutions.txt").read_text().splitlines()
    solutions = dict(line.split() for line in lines)
    models = {
        "default": ddddocr.DdddOcr(show_ad=False),
        "beta": ddddocr.DdddOcr(show_ad=False, beta=True),
    }
    for change in (as_it_comes, blurred, median, halved, contrast):
        counts = []
        for model, reader in models.items():
            right = 0
            for number, solution in solutions.items():
                grey = cv2.imread(str(folder / f"{number}.png"), cv2.IMREAD_GRAYSCALE)
                file = cv2.imencode(".png", change(grey))[1].tobytes()
                # The shop takes small letters too.
                right += reader.classification(file).upper() == solution
            counts.append(f"{model} model {right} of {len(solutions)}")
        print(f"{change.__name__.replace('_', ' ')}: {', '.join(counts)}")


main()
