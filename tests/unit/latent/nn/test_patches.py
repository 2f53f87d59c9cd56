"""Pictures as rows of patches: nothing is lost, and a place is where the reference has it."""

from __future__ import annotations

import pytest
import torch

from latent.nn.patches import as_grid, from_patches, in_raster_order, places, to_patches


@pytest.mark.parametrize("patch_size", [1, 2, 3, 6])
def test_patches_make_the_picture_again(patch_size: int) -> None:
    images = torch.randn(2, 3, 6, 6)
    patches = to_patches(images, patch_size)
    assert patches.shape == (2, (6 // patch_size) ** 2, 3 * patch_size**2)
    assert torch.equal(from_patches(patches, patch_size), images)


def test_raster_order_reads_row_by_row() -> None:
    grid = torch.arange(9.0).view(1, 1, 3, 3)
    assert in_raster_order(grid).flatten().tolist() == list(range(9))
    assert torch.equal(as_grid(in_raster_order(grid)), grid)


def test_patches_of_one_pixel_are_raster_order() -> None:
    grid = torch.randn(2, 5, 4, 4)
    assert torch.equal(to_patches(grid, 1), in_raster_order(grid))


def test_places_of_a_column_share_their_first_half_and_those_of_a_row_their_second() -> None:
    table = places(3, 8).view(3, 3, 8)
    assert torch.equal(table[0, 2, :4], table[2, 2, :4])
    assert torch.equal(table[2, 0, 4:], table[2, 2, 4:])
    assert len(table.flatten(0, 1).unique(dim=0)) == 9
