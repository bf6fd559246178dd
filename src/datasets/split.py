"""Which rows train, which validate, which test: index arrays from a seed. Sources: scikit-learn's splitters."""

from pathlib import Path

import numpy as np


def split(y, official_test_rows, test, folds, seed, stratified):
    """Split rows 0 ... len(y)-1.

    test: 'official' (the last `official_test_rows` rows) or a fraction of all rows.
    Returns development (int64, ordered: see `ordered`), fold (int8 [len(development)], the fold of each row), and
    test rows (int64). Raises ValueError when an official part is asked for and there is none.
    """
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split  # a second that training does not need

    rows = np.arange(len(y))
    if test == "official":
        if not official_test_rows:
            raise ValueError("split.test is 'official', but the dataset has no test part; give a fraction such as 0.2")
        development, test_rows = rows[:-official_test_rows], rows[-official_test_rows:]
    else:
        development, test_rows = train_test_split(
            rows, test_size=test, random_state=seed, stratify=y if stratified else None
        )
    development = ordered(development, y, seed, stratified)
    splitter = (StratifiedKFold if stratified else KFold)(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(development), np.int8)
    for number, (_, held_out) in enumerate(splitter.split(development, y[development] if stratified else None)):
        fold[held_out] = number
    return development, fold, np.sort(test_rows)


def ordered(rows, y, seed, stratified):
    """Shuffle `rows` so that every prefix holds the classes in their proportions (to within one row a class).

    One order then serves every validation fraction: the first rows validate. A validation set of 0.2 lies inside
    that of 0.3, so experiments that differ in the fraction are still compared on common rows.
    """
    random = np.random.default_rng(seed)
    rows = random.permutation(rows)
    if not stratified:
        return rows
    labels, position = y[rows], np.empty(len(rows))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[members] = (np.arange(len(members)) + random.random()) / len(members)
    return rows[np.argsort(position, kind="stable")]


def validation_rows(rows, fraction):
    """How many of `rows` development rows validate: at least one, and at least one is left to train."""
    return min(max(1, round(rows * fraction)), rows - 1)


def save(folder, development, fold, test_rows):
    """Write development.npz (rows, fold) and test.npz (rows): apart, so that only `evaluate` opens the second."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "development.npz", rows=development, fold=fold)
    np.savez(folder / "test.npz", rows=test_rows)
