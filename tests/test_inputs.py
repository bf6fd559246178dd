"""What people have at hand becomes what the network was trained on; where that took a guess, a note says so."""

import json

import numpy as np
import pytest
from PIL import Image

from src import inputs
from src.datasets import imdb, safe_pickle
from src.errors import LaboratoryError
from src.params.dataset import Imdb

RANDOM = np.random.default_rng(0)


def strokes(rows=60, size=28):
    """Training images like MNIST's: bright strokes in the middle of a dark ground."""
    x = np.zeros((rows, size, size, 1), np.uint8)
    x[:, 8:20, 8:20] = RANDOM.integers(0, 256, (rows, 12, 12, 1))
    x[:, 12, 12] = 255
    return x


@pytest.fixture
def drawing():
    """A bright diagonal bar on black, 28x28."""
    pixels = np.zeros((28, 28), np.uint8)
    for offset in range(-2, 3):
        np.fill_diagonal(pixels[4:24, 4 + max(offset, 0) : 24], 255)
        np.fill_diagonal(pixels[4 + max(-offset, 0) : 24, 4:24], 255)
    return pixels


def read_image(image, tmp_path, x, name="given.png"):
    image.save(tmp_path / name)
    (given,) = inputs.Images(x).read(tmp_path / name)
    return given.value[..., 0].astype(float), " ".join(given.notes)


def transparent(pixels, colour):
    layers = [np.full_like(pixels, colour)] * 3 + [pixels]
    return Image.fromarray(np.stack(layers, -1))


FORMS = {
    "as it is": (lambda pixels: Image.fromarray(pixels), ""),
    "in colour": (lambda pixels: Image.fromarray(pixels).convert("RGB"), ""),
    "with a palette": (lambda pixels: Image.fromarray(pixels).convert("P"), ""),
    "larger": (lambda pixels: Image.fromarray(pixels).resize((280, 280), Image.Resampling.NEAREST), ""),
    "dark on bright": (lambda pixels: Image.fromarray(255 - pixels), "inverted"),
    "16 bits": (lambda pixels: Image.fromarray(pixels.astype(np.uint16) * 257), "more than 8 bits"),
    "black ink, no ground": (lambda pixels: transparent(pixels, 0), "laid on white"),
    "white ink, no ground": (lambda pixels: transparent(pixels, 255), "laid on black"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_drawing_in_any_form_becomes_the_same_pixels(form, drawing, tmp_path):
    change, note = FORMS[form]
    pixels, notes = read_image(change(drawing), tmp_path, strokes())
    assert np.corrcoef(pixels.ravel(), drawing.ravel())[0, 1] > 0.95 and pixels.min() < 5 and pixels.max() > 250
    assert note in notes and bool(note) == bool(notes), "a note where something was guessed, and only there"


def test_a_large_photograph_of_paper_is_inverted_and_shrunk(drawing, tmp_path):
    paper = Image.fromarray(255 - drawing).resize((2000, 2000)).convert("RGB")
    pixels, notes = read_image(paper, tmp_path, strokes(), "photo.jpg")
    assert "inverted" in notes and np.corrcoef(pixels.ravel(), drawing.ravel())[0, 1] > 0.95


def test_other_proportions_are_padded_with_the_border_so_that_nothing_is_squeezed(drawing, tmp_path):
    wide = Image.fromarray(np.pad(255 - drawing, ((0, 0), (28, 28)), constant_values=255))
    pixels, notes = read_image(wide, tmp_path, strokes())
    assert "proportions" in notes and pixels[:8].max() == 0 and pixels[10:18].max() > 150


def test_images_of_a_dataset_without_a_common_background_are_never_inverted(tmp_path):
    photographs = RANDOM.integers(0, 256, (60, 1, 1, 3)) + np.zeros((60, 32, 32, 3), int)
    reader = inputs.Images(photographs.astype(np.uint8))
    Image.new("RGB", (100, 100), (250, 200, 10)).save(tmp_path / "yellow.png")
    (given,) = reader.read(tmp_path / "yellow.png")
    assert reader.background is None and given.notes == ()
    assert given.value.shape == (32, 32, 3) and given.value[16, 16].tolist() == [250, 200, 10]


def test_pixels_are_brought_into_the_range_that_trained(drawing, tmp_path):
    pixels, notes = read_image(Image.fromarray(drawing), tmp_path, strokes() // 16)
    assert pixels.max() == pytest.approx(15) and "0 to 15" in notes


def test_a_file_that_is_no_image_is_named_with_what_to_do(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(LaboratoryError, match=r"broken\.png: not a readable image .*convert it to PNG or leave it out"):
        inputs.Images(strokes()).read(tmp_path / "broken.png")


def test_a_folder_stands_for_the_files_in_it_that_can_be_read(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / "deep").mkdir(exist_ok=True)
        (tmp_path / "deep" / name).touch()
    reader = inputs.Images(strokes())
    assert [path.name for path in inputs.expand([tmp_path], reader)] == ["a.JPG", "b.png"]
    with pytest.raises(LaboratoryError, match="no such file"):
        inputs.expand([tmp_path / "missing.png"], reader)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LaboratoryError, match=r"received none; give another folder"):
        inputs.expand([tmp_path / "empty"], reader)


# ---------------------------------------------------------------- texts


@pytest.fixture
def texts(tmp_path):
    """A reader of reviews with a word index of six words, of which five are known."""
    (tmp_path / "index.json").write_text(json.dumps({"the": 1, "film": 2, "was": 3, "it's": 4, "great": 5, "dire": 9}))
    files = {"reviews": {"name": "imdb.npz"}, "word_index": {"name": "index.json"}}
    return inputs.Texts(Imdb(format="imdb", words=10, files=files), tmp_path)


def words_of(texts, path, content):
    path.write_text(content)
    (given,) = texts.read(path)
    return np.flatnonzero(texts.stack([given.value])[0]).tolist(), given.notes


def test_text_is_split_as_keras_split_imdb(texts, tmp_path):
    found, notes = words_of(texts, tmp_path / "review.txt", "The film was GREAT!<br />It's,\nthe film...")
    assert found == sorted([imdb.START, imdb.RARE, *(rank + imdb.SHIFT for rank in (1, 2, 3, 4, 5))])  # RARE: br
    assert notes == ()


def test_unknown_words_count_as_rare_and_many_of_them_are_noted(texts, tmp_path):
    found, notes = words_of(texts, tmp_path / "review.txt", "the dire xylophone")
    assert found == [imdb.START, imdb.RARE, 1 + imdb.SHIFT] and "67% of its words" in notes[0]


def test_word_numbers_of_keras_are_taken_as_they_are(texts, tmp_path):
    found, notes = words_of(texts, tmp_path / "review.txt", "[1, 4, 5, 2, 800]")
    assert found == [imdb.START, imdb.RARE, 4, 5] and "word numbers" in notes[0]


def test_text_without_a_word_index_says_what_is_needed_and_numbers_still_work(tmp_path):
    reader = inputs.Texts(Imdb(format="imdb", words=10, files={"reviews": {"name": "imdb.npz"}}), tmp_path / "imdb")
    with pytest.raises(LaboratoryError, match="word_index.*params.yaml.*download@imdb"):
        words_of(reader, tmp_path / "review.txt", "great")
    assert words_of(reader, tmp_path / "review.txt", "1 4 5")[0] == [imdb.START, 4, 5]


def test_reviews_written_out_from_the_word_index_are_read_back_as_they_trained(mirror, tmp_path, raw_params):
    reader = inputs.Texts(Imdb(**raw_params["datasets"]["imdb"]["source"]), mirror)
    word = {rank: text for text, rank in reader.ranks.items()}
    reviews = safe_pickle.load_npz(mirror / "imdb.npz", ["x_test"])["x_test"][:300]
    trained = imdb.multi_hot(reviews, reader.words).toarray()
    for position, review in enumerate(reviews):
        (tmp_path / f"{position:03}.txt").write_text(" ".join(word[rank] for rank in review))
    given = [reader.read(path)[0] for path in inputs.expand([tmp_path], reader)]
    same = (reader.stack([one.value for one in given]) == trained).all(1)
    assert same.mean() > 0.95  # some words of the index hold characters that no text has by itself, such as '\x96'


# ---------------------------------------------------------------- tables


TRAINED = np.array([[0.0, 10.0], [1.0, 20.0], [0.5, 15.0]], np.float32)


def rows_of(tmp_path, content, columns=("width", "height")):
    (tmp_path / "rows.csv").write_text(content)
    return inputs.Rows(list(columns) if columns else None, TRAINED).read(tmp_path / "rows.csv")


def test_columns_are_found_by_name_in_any_order_beside_others(tmp_path):
    (given,) = rows_of(tmp_path, "id,height,species,width\n7,12,iris,0.25\n")
    assert given.value.tolist() == [0.25, 12] and given.notes == () and given.name.endswith("rows.csv, row 1")


@pytest.mark.parametrize("content, note", [("a,b\n0.5,12\n", "other column names"), ("0.5,12\n0.5,12\n", "no header")])
def test_columns_taken_by_position_are_noted(tmp_path, content, note):
    found = rows_of(tmp_path, content)
    assert all(given.value.tolist() == [0.5, 12] and note in " ".join(given.notes) for given in found)
    assert len(found) == content.count("0.5")


def test_a_number_beyond_the_training_rows_is_noted(tmp_path):
    first, second = rows_of(tmp_path, "width,height\n-3,12\n0.5,12\n")
    assert first.notes == ("width: -3 lies outside the training rows, 0 to 1",) and second.notes == ()


@pytest.mark.parametrize("content, message", [
    ("width,height\n0.5,12\n0.5,tall\n", "row 2, column height: expected a number, received 'tall'; correct it"),
    ("width,height\n0.5,\n", "row 1, column height: expected a number"),
    ("width\n0.5\n", "expected the columns width, height, received width; rename or remove columns"),
    ("", "not a readable CSV table"),
])  # fmt: skip
def test_a_table_that_does_not_fit_is_one_line_with_what_to_do(tmp_path, content, message):
    with pytest.raises(LaboratoryError, match=message):
        rows_of(tmp_path, content)
