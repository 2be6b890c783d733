"""The products of a training step and nothing else: what no arrangement of the elementwise work can be faster than.

Forward, input gradient and weight gradient of every linear map, the products of the attention with their gradients,
the spatial map, the spatio-temporal products and the 1 x 1 convolution. The loss, every elementwise step and every
depthwise convolution are left out, so a step at ratio 1 to a floor has hidden all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mdjpt_model import ModelSpec
from mdjpt_model.montage import UNIFIED

SAMPLES = 625


@dataclass(frozen=True)
class Product:
    """`batch` products [rows, inner] @ [inner, columns] for a window; `shared`: the right side is a weight.

    Windows of a product with weights are stacked into more rows, those of another into a larger batch.
    """

    batch: int
    rows: int
    inner: int
    columns: int
    shared: bool = True
    first: bool = False
    """What goes in is data, so nobody asks for its gradient."""

    @property
    def flops(self) -> int:
        """Forward and backward, a window."""
        return (2 if self.first else 3) * 2 * self.batch * self.rows * self.inner * self.columns


def products(spec: ModelSpec, samples: int = SAMPLES) -> list[Product]:
    """Everything that a forward pass multiplies for one window; all MLLA, in the order of the model.

    Raises ValueError: an encoder whose products are not listed here.
    """
    if spec.encoder != "mlla":
        raise ValueError(f"floors are listed for the encoder mlla, found {spec.encoder!r}")
    patches, width, maps = spec.patches(samples), spec.hidden, spec.map_features
    tokens, head, heads = len(UNIFIED) * patches, width // spec.heads, len(UNIFIED) * spec.heads
    square = Product(1, tokens, width, width)
    block = [square]
    if spec.chosen.block_output == "full":
        attention = [
            Product(heads, head, patches, head, shared=False),
            Product(heads, patches, head, head, shared=False),
            Product(heads, patches, head, 1, shared=False),
        ]
        feed = [Product(1, tokens, width, 2 * width), Product(1, tokens, 2 * width, width)]
        block = [*[square] * 5, *attention, *[square] * 2, *feed]
    kernels = Product(spec.features, patches, 3 * spec.spatial, spec.kernels)
    return [
        Product(1, tokens, spec.patch, width, first=True),
        *block * spec.depth,
        Product(1, tokens, width, spec.features),
        Product(1, spec.features * patches, len(UNIFIED), spec.spatial),
        *[kernels] * len(spec.dilations),
        Product(1, patches, maps, maps),
    ]


Operands = tuple[Tensor, Tensor, Tensor]
"""Left side, right side, slope of the result."""


def whole(spec: ModelSpec, windows: int, dtype: torch.dtype = torch.float32) -> Callable[[], None]:
    """Every product over the whole batch, its result in fresh memory."""
    listed = products(spec)
    operands = {product: _operands(product, windows, dtype) for product in dict.fromkeys(listed)}

    def run() -> None:
        for product in listed:
            left, right, slope = operands[product]
            torch.matmul(left, right)
            if not product.first:
                torch.matmul(slope, right.mT)
            torch.matmul(left.mT, slope)

    return run


def pieces(spec: ModelSpec, windows: int, dtype: torch.dtype = torch.float32) -> Callable[[], None]:
    """The same products window by window into memory that is used again, so that they find it in the cache."""
    listed = products(spec)
    operands = {product: _operands(product, 1, dtype) for product in dict.fromkeys(listed)}
    room = {product: tuple(map(torch.empty_like, operand)) for product, operand in operands.items()}

    def run() -> None:
        for _ in range(windows):
            for product in listed:
                (left, right, slope), (back, weight, forward) = operands[product], room[product]
                torch.matmul(left, right, out=forward)
                if not product.first:
                    torch.matmul(slope, right.mT, out=back)
                torch.matmul(left.mT, slope, out=weight)

    return run


def _operands(product: Product, windows: int, dtype: torch.dtype) -> Operands:
    stacked = windows if product.shared else 1
    batch = product.batch * (windows // stacked)
    rows, inner, columns = product.rows * stacked, product.inner, product.columns
    shapes = (rows, inner), (inner, columns), (rows, columns)
    left, right, slope = (torch.randn(*((batch,) if batch > 1 else ()), *shape).to(dtype) for shape in shapes)
    return left, right, slope
