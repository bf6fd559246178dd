"""The misclassified test examples behind each cell of a confusion matrix, with thumbnails where the dataset has images."""

import base64
import io

import numpy as np
from PIL import Image

from src import evaluation

SIDE = 32  # pixels; larger images are scaled down to it
TOTAL, PER_CELL = 240, 6  # thumbnails on a page, so that it stays below 400 kB, and behind one cell


def mistakes(y, predictions, classes):
    """{"true,predicted": [{row, share}]}, the most confident first; row: position among the test examples.

    y: labels [rows]; predictions: [rows, units]. At most PER_CELL examples of a cell and TOTAL of all.
    """
    predicted, shares = evaluation.labels_of(predictions), evaluation.probabilities_of(predictions)
    cells = {}
    for row in evaluation.confident_mistakes(y, predictions, len(y)):
        example = {"row": int(row), "share": round(float(shares[row, predicted[row]]), 3)}
        cells.setdefault(f"{y[row]},{predicted[row]}", []).append(example)
    kept = max(1, min(PER_CELL, TOTAL // max(1, len(cells))))
    commonest = sorted(cells, key=lambda cell: -len(cells[cell]))[:TOTAL]
    return {cell: cells[cell][:kept] for cell in commonest}


def sprite(images):
    """Images uint8 [count, height, width, channels] side by side in one picture: {uri, width, height} of a thumbnail."""
    brightest = images.max()
    thumbnails = [thumbnail(image, brightest) for image in images]
    width, height = thumbnails[0].size
    sheet = Image.new(thumbnails[0].mode, (width * len(thumbnails), height))
    for index, picture in enumerate(thumbnails):
        sheet.paste(picture, (index * width, 0))
    data = io.BytesIO()
    sheet.save(data, "WEBP", lossless=sheet.mode == "L", quality=60, method=6)
    return {
        "uri": f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}",
        "width": width,
        "height": height,
    }


def thumbnail(image, brightest):
    """At most SIDE pixels high and wide; grey images dark on white, over their whole range, as in the figures."""
    grey = image.shape[2] == 1
    picture = Image.fromarray((255 - 255.0 * image[:, :, 0] / max(brightest, 1)).astype(np.uint8) if grey else image)
    picture.thumbnail((SIDE, SIDE))
    return picture


def behind(found, classes):
    """(mistakes of the chosen run, their sprite or None); each example gets its `place` in the sprite."""
    x, y = found.samples["test"]
    cells = mistakes(y, found.predictions, classes)
    examples = [example for cell in cells.values() for example in cell]
    if x.ndim != 4 or not examples:
        return cells, None
    for place, example in enumerate(examples):
        example["place"] = place
    return cells, sprite(x[np.array([example["row"] for example in examples])])
