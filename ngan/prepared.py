"""`NGAN` prepared for a CPU, to fill only: the same arithmetic in fewer and cheaper steps.

What differs from `NGAN.forward`, none of it by more than rounding:

- weights are laid out once for oneDNN and, for bfloat16, rounded once, where autocast does both at each call;
- leaky ReLUs and residual sums are part of the convolution before them, which oneDNN can do;
- a 3x3 convolution of a grid that was doubled by nearest neighbour reads each cell several times: it becomes four
  2x2 convolutions of the small grid, one for each pixel of a doubled cell, with sums of its weights (4/9 of the work);
- the last convolution of the code and the first of the location, which read the same grids, are one;
- attention is taken a part of the rows at a time, where torch's is slow in bfloat16;
- large batches are taken a part at a time.

The operators are those that torch.compile emits for CPUs; where a torch lacks them, `can_prepare` says so.
"""

import math
import platform
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ngan.generators import STRIDE, CodeGenerator, ImageGenerator
from ngan.layers import NEGATIVE_SLOPE, coordinates, pad_to_multiple
from ngan.masks import composite
from ngan.model import MASK_UNKNOWN, NGAN, NGANOutput, check_shapes

_SCORES = 5 * 256 * 256  # of the attention, at most at a time: what stays in a core's own cache
_PIXELS = 2 * 256 * 256  # of a batch, at most at a time, but one picture at least: more is slower and takes memory


def can_prepare() -> bool:
    """Tell whether this is an x86 CPU and a torch that has oneDNN and the operators that `PreparedNGAN` calls."""
    operators = ("_reorder_convolution_weight", "_convolution_pointwise")
    return (
        platform.machine().lower() in ("x86_64", "amd64")
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, name) for name in operators)
    )


class PreparedNGAN:
    """A copy of a model's weights, called as `NGAN` is, on a CPU and without gradients; threads may share one.

    Args:
        model: on a CPU; it stays as it is, and what becomes of its weights later makes no difference here.
        dtype: torch.float32 or torch.bfloat16, of weights and features; pictures are float32 in any case.
    """

    def __init__(self, model: NGAN, dtype: torch.dtype) -> None:
        self._code = _Code(model.code_generator, dtype, model.image_size)
        self._image = _Image(model.image_generator, dtype, model.image_size)

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> NGANOutput:
        """Fill the damage of a batch of images; see `NGAN.forward`.

        Args:
            image: (N, 3, H, W), [-1, 1], float32.
            mask: (N, 1, H, W), {0, 1}, 1 = missing, float32; None = find the damage.

        Raises:
            ValueError: shapes that do not fit.
        """
        check_shapes(image, mask)
        most = max(1, _PIXELS // image[0, 0].numel())
        masks = [None] * len(image) if mask is None else mask.split(most)
        parts = [self._fill(*part) for part in zip(image.split(most), masks, strict=False)]
        if len(parts) == 1:
            return parts[0]
        return NGANOutput(*(torch.cat(parts) for parts in zip(*(vars(part).values() for part in parts), strict=True)))

    def _fill(self, image: torch.Tensor, mask: torch.Tensor | None) -> NGANOutput:
        if mask is None:
            code_image, location = self._code(image, torch.full_like(image[:, :1], MASK_UNKNOWN))
            mask = location.sigmoid()
            known = image * (1 - mask)
        else:
            known = image * (1 - mask)
            code_image, location = self._code(known, mask)
        final = self._image(known, composite(image, code_image, mask), mask)
        return NGANOutput(code_image, location, final, composite(image, final, mask))


class _Conv:
    """A convolution with packed weights, of and to channels_last.

    Args:
        weight: (C_out, C_in, k, k).
        bias: (C_out,).
        side: of the grids it will mostly see, in cells; others are right too, but may be slower.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        dtype: torch.dtype,
        side: int,
        padding: int = 0,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self._bias = bias.detach().to(dtype, copy=True)
        self._geometry = [padding] * 2, [stride] * 2, [dilation] * 2, 1
        seen = [1, weight.shape[1], side, side]
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._geometry, seen)

    @classmethod
    def of(cls, layer: nn.Conv2d, dtype: torch.dtype, side: int) -> "_Conv":
        """Take a layer of a model over."""
        (padding, _), (stride, _), (dilation, _) = layer.padding, layer.stride, layer.dilation
        return cls(layer.weight, layer.bias, dtype, side, padding, stride, dilation)

    def __call__(self, x: torch.Tensor, active: bool = False, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Convolve; `active` appends the leaky ReLU, `plus` adds a tensor of the result's shape; not both."""
        call = torch.ops.mkldnn._convolution_pointwise
        if plus is not None:
            return call.binary(x, plus, self._weight, self._bias, *self._geometry, "add", 1.0, None, [], None)
        name, scalars = ("leaky_relu", [NEGATIVE_SLOPE]) if active else ("none", [])
        return call(x, self._weight, self._bias, *self._geometry, name, scalars, "")


class _UpConv:
    """A 3x3 convolution, padding 1, of a grid doubled by nearest neighbour; reads the small grid.

    Of the doubled grid, the rows 2i-1, 2i, 2i+1 around row 2i are the small grid's rows i-1, i, i, and those around
    row 2i+1 are i, i, i+1; columns alike. So each of the four pixels of a doubled cell has a 2x2 kernel of its own.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype, side: int) -> None:
        weight = weight.detach().float()
        first, second, third = weight.unbind(2)
        rows = torch.stack([first, second + third]), torch.stack([first + second, third])  # each (2, C_out, C_in, 3)
        kernels = []
        for row in rows:
            first, second, third = row.unbind(3)  # each (2, C_out, C_in)
            kernels += [torch.stack([first, second + third]), torch.stack([first + second, third])]
        kernel = torch.cat([kernel.permute(2, 3, 1, 0) for kernel in kernels])  # (4 C_out, C_in, 2, 2)
        self._conv = _Conv(kernel, bias.repeat(4), dtype, side, padding=1)

    def __call__(self, x: torch.Tensor, into: torch.Tensor, active: bool = False) -> None:
        """Convolve x (N, C_in, h, w) and write to `into` (N, C_out, 2h, 2w), which may be a slice of a tensor."""
        height, width = x.shape[-2:]
        pixels = self._conv(x, active).chunk(4, dim=1)  # each (N, C_out, h+1, w+1)
        for i, pixel in enumerate(pixels):
            down, right = divmod(i, 2)
            into[..., down::2, right::2] = pixel[..., down : down + height, right : right + width]


class _Patches(NamedTuple):
    """The positions that a network reads beside its pictures, as patches, of the last size of pictures."""

    height: int
    width: int
    positions: torch.Tensor  # (2pp, H/p, W/p)


class _Network:
    """What both networks share: pictures in, as patches."""

    def __init__(self, patch: int, dtype: torch.dtype) -> None:
        self._patch, self._dtype = patch, dtype
        self._last = _Patches(0, 0, torch.empty(0))

    def _empty(self, like: torch.Tensor, channels: int, double: bool = False) -> torch.Tensor:
        """A tensor of `like`'s batch and grid, or of twice its sides, with so many channels."""
        n, _, height, width = like.shape
        shape = (n, channels, 2 * height, 2 * width) if double else (n, channels, height, width)
        return torch.empty(shape, dtype=self._dtype, memory_format=torch.channels_last)

    def _read(self, padded: torch.Tensor) -> torch.Tensor:
        """Turn pictures (N, C, H, W) and the positions of their pixels into patches (N, (C+2)pp, H/p, W/p)."""
        n, channels, height, width = padded.shape
        p, last = self._patch, self._last
        if (last.height, last.width) != (height, width):
            positions = F.pixel_unshuffle(coordinates(padded[:1]), p)[0].to(self._dtype)
            self._last = last = _Patches(height, width, positions)
        split = channels * p * p
        shape = (n, split + 2 * p * p, height // p, width // p)
        x = torch.empty(shape, dtype=self._dtype, memory_format=torch.channels_last)
        cells = padded.view(n, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        x.permute(0, 2, 3, 1)[..., :split].unflatten(3, (channels, p, p)).copy_(cells)
        x[:, split:] = last.positions
        return x

    def _add_pixels(self, image: torch.Tensor | None, patches: torch.Tensor) -> torch.Tensor:
        """Turn patches (N, Cpp, h, w) into pixels (N, C, hp, wp), float32, and add an image where there is one."""
        p = self._patch
        pixels = F.pixel_shuffle(patches.float().contiguous(), p)
        return pixels if image is None else pixels.add_(image)


class _Code(_Network):
    """`CodeGenerator.forward`."""

    def __init__(self, net: CodeGenerator, dtype: torch.dtype, image_size: int) -> None:
        super().__init__(net.patch, dtype)
        side = image_size // net.patch
        head, tail = net.location.conv1, net.up2
        self._stem = _Conv.of(net.stem, dtype, side)
        self._down1 = _Conv.of(net.down1, dtype, side)
        self._down2 = _Conv.of(net.down2, dtype, side // 2)
        self._dilated = [_Conv.of(block.conv, dtype, side // 4) for block in net.dilated]
        self._up1 = _UpConv(net.up1.weight, net.up1.bias, dtype, side // 4)
        # Both read [doubled z, x0], and the location reads x too: the code's weights for x are 0.
        doubled = net.up1.out_channels
        unread = tail.weight.new_zeros(tail.out_channels, head.in_channels - tail.in_channels, 3, 3)
        weight = torch.cat([torch.cat([tail.weight, unread], dim=1), head.weight]).detach()
        bias = torch.cat([tail.bias, head.bias]).detach()
        self._split = [tail.out_channels, head.out_channels]
        self._both_up = _UpConv(weight[:, :doubled], torch.zeros_like(bias), dtype, side // 2)
        self._both = _Conv(weight[:, doubled:], bias, dtype, side, padding=1)
        self._conv2 = _Conv.of(net.location.conv2, dtype, side)
        self._last_conv = _Conv.of(net.location.read, dtype, side)

    def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(torch.cat([image, mask], dim=1), STRIDE * self._patch)
        x = self._read(padded)
        x0 = self._stem(x, active=True)  # (N, w, H/p, W/p)
        x1 = self._down1(x0, active=True)  # (N, 2w, H/2p, W/2p)
        x2 = self._down2(x1, active=True)  # (N, 4w, H/4p, W/4p)
        z = x2
        for conv in self._dilated:
            z = z + conv(z, active=True)
        up = torch.empty_like(x1)
        self._up1(z.add_(x2), up, active=True)  # (N, 2w, H/2p, W/2p)
        both = self._empty(x, sum(self._split))
        self._both_up(up.add_(x1), both)
        code, location = self._both(torch.cat([x0, x], dim=1), plus=both).split(self._split, dim=1)
        location = F.leaky_relu(location, NEGATIVE_SLOPE).contiguous(memory_format=torch.channels_last)
        location = self._last_conv(self._conv2(location, active=True))  # (N, pp, H/p, W/p)
        code = self._add_pixels(padded[:, :3], code)  # (N, 3, H, W)
        return code[..., :height, :width], self._add_pixels(None, location)[..., :height, :width]


class _Image(_Network):
    """`ImageGenerator.forward`."""

    def __init__(self, net: ImageGenerator, dtype: torch.dtype, image_size: int) -> None:
        super().__init__(net.patch, dtype)
        side = image_size // net.patch
        self._stem = _Conv.of(net.stem, dtype, side)
        self._down1 = _Conv.of(net.down1, dtype, side)
        self._down2 = _Conv.of(net.down2, dtype, side // 2)
        self._core = [_Attention(b, dtype, side) if hasattr(b, "qkv") else _Residual(b, dtype, side) for b in net.core]
        self._widths = net.up1.out_channels, net.up2.out_channels
        self._up1 = _UpConv(net.up1.weight, net.up1.bias, dtype, side // 4)
        self._fuse1 = _Conv.of(net.fuse1, dtype, side // 2)
        self._up2 = _UpConv(net.up2.weight, net.up2.bias, dtype, side // 2)
        self._fuse2 = _Conv.of(net.fuse2, dtype, side)
        self._head = _Conv.of(net.head, dtype, side)

    def __call__(self, image: torch.Tensor, code: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(torch.cat([image, code, mask], dim=1), STRIDE * self._patch)
        x0 = self._stem(self._read(padded), active=True)  # (N, w, H/p, W/p)
        x1 = self._down1(x0, active=True)  # (N, 2w, H/2p, W/2p)
        z = self._down2(x1, active=True)  # (N, 4w, H/4p, W/4p)
        for layer in self._core:
            z = layer(z)
        for up, channels, skip, fuse in (
            (self._up1, self._widths[0], x1, self._fuse1),  # (N, 2w, H/2p, W/2p)
            (self._up2, self._widths[1], x0, self._fuse2),  # (N, w, H/p, W/p)
        ):
            joined = self._empty(z, channels + skip.shape[1], double=True)
            up(z, joined[:, :channels], active=True)
            joined[:, channels:] = skip
            z = fuse(joined, active=True)
        return self._add_pixels(padded[:, 3:6], self._head(z))[..., :height, :width]


class _Residual:
    def __init__(self, block: nn.Module, dtype: torch.dtype, side: int) -> None:
        self._conv1 = _Conv.of(block.conv1, dtype, side // 4)
        self._conv2 = _Conv.of(block.conv2, dtype, side // 4)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv2(self._conv1(F.leaky_relu(x, NEGATIVE_SLOPE), active=True), plus=x)


class _Attention:
    def __init__(self, layer: nn.Module, dtype: torch.dtype, side: int) -> None:
        self._heads, self._eps = layer.heads, layer.norm.eps
        self._scale, self._shift = (p.detach().to(dtype, copy=True) for p in (layer.norm.weight, layer.norm.bias))
        self._qkv = _Conv.of(layer.qkv, dtype, side // 4)
        self._project = _Conv.of(layer.project, dtype, side // 4)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        qkv = self._qkv(F.group_norm(x, 1, self._scale, self._shift, self._eps))
        qkv = qkv.permute(0, 2, 3, 1).reshape(n, h * w, 3, self._heads, c // self._heads).permute(2, 0, 3, 1, 4)
        if x.dtype == torch.bfloat16:
            z = _attend(*(part.flatten(0, 1).contiguous() for part in qkv)).unflatten(0, (n, self._heads))
        else:
            z = F.scaled_dot_product_attention(*qkv)
        z = z.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return self._project(z, plus=x)


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attend, each tensor (heads of all pictures, cells, channels of a head)."""
    cells = q.shape[1]
    rows = max(1, _SCORES // (q.shape[0] * cells))
    q, k = q / math.sqrt(q.shape[2]), k.transpose(1, 2)
    parts = [(q[:, i : i + rows] @ k).softmax(2) @ v for i in range(0, cells, rows)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
