"""Positional encodings: hand-worked tables, offsets, rotation, limits."""

import math

import pytest
import torch

from sightline.nn import positions
from sightline.nn.positions import (
    LearnedEncoding,
    PositionalEncoding,
    RotaryEncoding,
    WaveEncoding,
    make_positional_encoding,
    wave_table,
)

PI = math.pi


def test_sinusoids_by_hand() -> None:
    expected = [[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in range(4)]
    torch.testing.assert_close(wave_table("sinusoidal", 4, 4), torch.tensor(expected))


def test_triangles_by_hand() -> None:
    """A triangle wave of period 2π climbs by 2/π a unit from -1 to 1; a quarter period later it is the other column."""
    expected = [
        [0, 1],
        [2 / PI, 1 - 2 / PI],
        [2 - 4 / PI, 1 - 4 / PI],
        [2 - 6 / PI, 1 - 6 / PI],
        [2 - 8 / PI, 8 / PI - 3],
    ]
    table = wave_table("triangle", 5, 4)
    torch.testing.assert_close(table[:, :2], torch.tensor(expected, dtype=torch.float32))
    slow = torch.tensor([[0.02 * p / PI, 1 - 0.02 * p / PI] for p in range(5)])
    torch.testing.assert_close(table[:, 2:], slow)


def test_squares_by_hand() -> None:
    table = wave_table("square", 7, 4)
    assert table[:, 0].tolist() == [1, 1, 1, 1, -1, -1, -1]  # sine of 0 … 6
    assert table[:, 1].tolist() == [1, 1, -1, -1, -1, 1, 1]  # cosine of 0 … 6
    assert (table[:, 2:] == 1).all()


def test_an_odd_width_drops_the_last_column() -> None:
    assert torch.equal(wave_table("sinusoidal", 5, 3), wave_table("sinusoidal", 5, 4)[:, :3])


@pytest.mark.parametrize("kind", ["sinusoidal", "triangle", "square"])
def test_waves_are_added_from_the_offset_on_and_grow(kind: str) -> None:
    waves, x = WaveEncoding(kind, 6), torch.randn(2, 3, 6)
    table = wave_table(kind, 1003, 6)
    torch.testing.assert_close(waves.embed(x), x + table[:3])
    torch.testing.assert_close(waves.embed(x, 255), x + table[255:258])
    torch.testing.assert_close(waves.embed(x, 1000), x + table[1000:])
    assert waves.embed(x.bfloat16(), 4).dtype == torch.bfloat16


def test_learned_positions_are_looked_up_and_end() -> None:
    learned = LearnedEncoding(5, 4)
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(learned.embed(x, 2), x + learned.table[2:5])
    with pytest.raises(ValueError, match="6 positions asked of a table of 5"):
        learned.embed(x, 3)


def test_rotation_by_hand() -> None:
    """Columns i and i + K/2 turn together, by position / 10000^(2i / K)."""
    x = torch.zeros(1, 2, 3, 4)
    x[:, 0, :, 0] = 1
    x[:, 1, :, 1] = 1
    turned = RotaryEncoding().rotate(x)
    torch.testing.assert_close(turned[0, 0], torch.tensor([[math.cos(p), 0, math.sin(p), 0] for p in range(3)]))
    slow = [[0, math.cos(p / 100), 0, math.sin(p / 100)] for p in range(3)]
    torch.testing.assert_close(turned[0, 1], torch.tensor(slow))


def test_rotated_products_depend_on_the_distance_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(8).expand(1, 1, 40, 8), torch.randn(8).expand(1, 1, 40, 8)
    products = (RotaryEncoding().rotate(query) @ RotaryEncoding().rotate(key).transpose(-2, -1))[0, 0]
    for distance in range(-39, 40):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
    assert products[0].std() > 0.1
    torch.testing.assert_close(products[0, 0], (query[0, 0, 0] * key[0, 0, 0]).sum())


def test_rotation_keeps_lengths_and_follows_the_offset() -> None:
    x = torch.randn(2, 3, 300, 6)
    turned = RotaryEncoding().rotate(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(RotaryEncoding().rotate(x[:, :, 250:], 250), turned[:, :, 250:])
    assert RotaryEncoding().rotate(x.bfloat16()).dtype == torch.bfloat16


def test_tables_first_made_in_inference_mode_serve_training() -> None:
    positions._cached_rotation.cache_clear()
    positions._cached_table.cache_clear()
    with torch.inference_mode():
        RotaryEncoding().rotate(torch.randn(1, 1, 3, 4))
        WaveEncoding("sinusoidal", 4).embed(torch.randn(1, 3, 4))
    x = torch.randn(1, 1, 3, 4, requires_grad=True)
    (RotaryEncoding().rotate(x) * WaveEncoding("sinusoidal", 4).embed(x[0])).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("sinusoidal", WaveEncoding),
        ("triangle", WaveEncoding),
        ("square", WaveEncoding),
        ("learned", LearnedEncoding),
        ("rotary", RotaryEncoding),
    ],
)
def test_encodings_by_name(kind: str, made: type[PositionalEncoding]) -> None:
    assert type(make_positional_encoding(kind, 4, 8)) is made


def test_no_positions_change_nothing() -> None:
    none, x = make_positional_encoding("none", 4, 8), torch.randn(1, 2, 3, 4)
    assert none.rotate(x, 5) is x
    assert none.embed(x[0], 5).equal(x[0])
