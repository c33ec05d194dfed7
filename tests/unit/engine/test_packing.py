"""Against float64, on whatever CPU this is: each way to multiply, at row counts around where it changes."""

import pytest
import torch
from fathom.engine import packing
from fathom.engine.packing import Call, converted, packed
from torch import Tensor

from tests.unit.engine.matrices import INTO, OUT, close, in_int8, random

NARROW = (torch.bfloat16, torch.float16)


def made(form: str, dtype: torch.dtype = torch.bfloat16) -> tuple[Call, Tensor]:
    """A layer, and the weights it stands for in float64."""
    weight = random(OUT, INTO)
    if form == "packed":
        narrow = weight.to(dtype)
        return packed(narrow), narrow.double()
    whole, scale = in_int8(weight)
    return converted(whole, scale), whole.double() * scale.bfloat16().double()[:, None]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [*NARROW, torch.float32])
@pytest.mark.parametrize("form", ["packed", "converted"])
def test_any_number_of_rows_is_multiplied_with_the_same_weights(form: str, dtype: torch.dtype, bias: bool) -> None:
    layer, weight = made(form)
    added = random(OUT, seed=3).to(dtype) if bias else None
    for rows in (0, 1, 7, packing._FEW, packing._FEW + 1, 300):
        x = random(rows, INTO, seed=2).to(dtype)
        y = layer(x, added)
        assert y.dtype == dtype
        close(y, x.double() @ weight.T + (added.double() if added is not None else 0))


@pytest.mark.parametrize("dtype", NARROW)
def test_packed_weights_are_those_of_the_model(dtype: torch.dtype) -> None:
    layer, weight = made("packed", dtype)
    x = random(3, INTO, seed=2)
    close(layer(x, None), x.double() @ weight.T, bits=20)


def test_weights_that_float16_has_not_are_not_packed() -> None:
    weight = random(OUT, INTO).bfloat16()
    assert packing.packable(weight)
    for value in (7e4, -7e4, float("nan"), float("inf")):
        outlier = weight.clone()
        outlier[1, 2] = value
        assert not packing.packable(outlier)


def test_small_weights_are_as_near_as_they_are_said_to_be() -> None:
    weight = torch.tensor([1.0, -1.0]).repeat(OUT, INTO // 2) * torch.logspace(-30, -10, OUT, base=2)[:, None]
    narrow = weight.bfloat16()
    seen = packed(narrow)(torch.eye(INTO), None).T
    assert (seen - narrow.float()).abs().max() <= 2**-25
    exact = narrow.abs().amin(1) >= 2**-17
    assert torch.equal(seen[exact], narrow.float()[exact])


@pytest.mark.parametrize("form", ["packed", "converted"])
def test_what_lies_before_the_last_dimension_are_rows(form: str) -> None:
    layer, weight = made(form)
    for shape in ((1, 1, INTO), (3, 50, INTO), (INTO,)):
        x = random(*shape, seed=2).bfloat16()
        assert layer(x, None).shape == (*shape[:-1], OUT)
        close(layer(x, None), x.double() @ weight.T)


@pytest.mark.parametrize("form", ["packed", "converted"])
def test_a_strided_input_is_read_as_it_lies(form: str) -> None:
    layer, weight = made(form)
    for dtype in (torch.bfloat16, torch.float32):
        x = random(4, 2 * INTO, seed=2).to(dtype)[:, :INTO]
        close(layer(x, None), x.double() @ weight.T)


def test_an_input_is_left_as_it_is() -> None:
    for form in ("packed", "converted"):
        layer, _ = made(form)
        x, bias = random(2, INTO, seed=2), random(OUT, seed=3)
        before = x.clone(), bias.clone()
        layer(x, bias)
        assert torch.equal(x, before[0])
        assert torch.equal(bias, before[1])


def test_int8_can_be_exact() -> None:
    whole, scale = in_int8(random(OUT, INTO))
    x = random(1, INTO, seed=2)
    expected = x.double() @ (whole.double() * scale.bfloat16().double()[:, None]).T
    close(converted(whole, scale, exact=True)(x, None), expected, bits=17)


def test_int8_rows_that_the_kernel_would_cut_short_are_multiplied_in_float32() -> None:
    weight = torch.randint(-127, 127, (OUT, 24), generator=torch.Generator().manual_seed(4)).to(torch.int8)
    layer = converted(weight, torch.ones(OUT) / 64)
    x = random(1, 24, seed=2).bfloat16()
    close(layer(x, None), x.double() @ weight.double().T / 64)


def test_what_is_converted_is_converted_by_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_SLICE", 7 * INTO)
    layer, weight = made("converted")
    x = random(100, INTO, seed=2)
    close(layer(x, None), x.double() @ weight.T)
