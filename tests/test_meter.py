"""Means of losses between two logs."""

import pytest
import torch

from ngan.meter import Meter


def unchanged(values: torch.Tensor, _: str) -> torch.Tensor:
    return values


def test_means_are_over_the_updates_a_loss_took_part_in():
    meter = Meter(unchanged)
    meter.add({"code_g": torch.tensor(1.0)}, 0)
    meter.add({"code_g": torch.tensor(3.0), "code_d": torch.tensor(5.0)}, 1)
    assert meter.means(2) == {"code_d": 5.0, "code_g": 2.0}
    assert meter.restart(2) > 0
    assert meter.means(2) == {}
    meter.add({"code_g": torch.tensor(7.0)}, 2)
    assert meter.means(3) == {"code_g": 7.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_was_not_finite_once_is_named_at_the_next_look(bad):
    meter = Meter(unchanged)
    for value in (1.0, bad, 1.0):
        meter.add({"image_g": torch.tensor(value), "code_g": torch.tensor(1.0)}, 0)
    with pytest.raises(FloatingPointError, match=r"image_g=(nan|inf) by step 41"):
        meter.means(41)


def test_means_are_reduced_over_processes_in_one_call():
    calls = []

    def reduce(values: torch.Tensor, how: str) -> torch.Tensor:
        calls.append(how)
        return values + 1

    meter = Meter(reduce)
    meter.add({"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, 0)
    assert meter.means(1) == {"a": 2.0, "b": 3.0}
    assert calls == ["mean"]
