"""Variations of pictures for training."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latent.images.variation import VariationSection, varied


def gradient(size: int = 20) -> np.ndarray:
    """Brightness is the column, in every row."""
    return np.tile(np.linspace(-1, 1, size, dtype=np.float32), (3, size, 1))


@given(st.integers(0, 1000), st.floats(0.3, 1), st.integers(1, 24))
def test_a_variation_has_the_wanted_size_and_the_range_of_its_picture(seed: int, crop: float, size: int) -> None:
    made = varied(gradient(), size, VariationSection(crop=crop, erase=0.5), np.random.default_rng(seed))
    assert made.shape == (3, size, size)
    assert np.abs(made).max() <= 1 + 1e-6


def test_the_whole_picture_without_erasing_is_the_picture() -> None:
    plain = VariationSection(crop=1, erase=0)
    np.testing.assert_allclose(varied(gradient(), 20, plain, np.random.default_rng(0)), gradient(), atol=1e-6)


def test_a_crop_shows_a_part_at_the_same_size() -> None:
    made = varied(gradient(), 20, VariationSection(crop=0.25, erase=0), np.random.default_rng(3))
    shown = made[0, 0, -1] - made[0, 0, 0]
    assert 0.8 < shown < 1.95, "at least half of a side, not all"
    assert np.diff(made[0], axis=1).min() > 0


def test_erasing_hides_one_rectangle_of_one_color() -> None:
    for seed in range(20):
        made = varied(gradient(), 20, VariationSection(crop=1, erase=1), np.random.default_rng(seed))
        hidden = (np.abs(made - gradient()) > 1e-5).all(0)
        assert 0 < hidden.sum() <= 0.3 * 400
        rows, columns = hidden.any(1).nonzero()[0], hidden.any(0).nonzero()[0]
        within = made[0, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert np.ptp(within) < 1e-6
