"""A small model's enlarged fills are measured beside a large model's, on the same faces and holes."""

import pytest
import torch

from benchmarks.enlarged import KINDS, Enlarged, compare, main
from ngan.model import NGAN


def network(size: int, patch: int = 2) -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=4, blocks=1, attention_every=0, image_size=size, patch=patch).eval()


def test_an_enlarged_fill_reads_no_marked_pixel_and_changes_no_other():
    image, mask = torch.rand(2, 3, 32, 32) * 2 - 1, torch.zeros(2, 1, 32, 32)
    mask[..., 9:21, 8:19] = 1  # odd borders: cells that are missing in part
    model = Enlarged(network(16), 2)
    with torch.no_grad():
        filled = model(image, mask).composite
        assert torch.equal(filled * (1 - mask), image * (1 - mask))
        other = model(torch.where(mask > 0, torch.full_like(image, 0.7), image), mask).composite
        assert torch.equal(filled, other)
    assert filled.shape == image.shape and not torch.equal(filled, image)


def test_both_are_measured_alike_and_sizes_must_fit():
    faces = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    result = compare(network(16), network(32, patch=4), faces, progress=False)
    assert (result["n"], result["image_size"]) == (3, 32) and set(result["holes"]) == set(KINDS)
    for entry in result["holes"].values():
        assert set(entry) == {"small, enlarged", "large"} and entry["large"]["psnr_hole"] > 0
    with pytest.raises(ValueError, match="sizes 16 and 24: the second must be a multiple"):
        compare(network(16), network(24), faces)


def test_a_folder_that_is_not_there_is_one_line(capsys):
    assert main(["--small", "./nothing", "--large", "./nothing", "--dataset", "x"]) == 2
    assert "enlarged: error: ./nothing: no such folder" in capsys.readouterr().err
