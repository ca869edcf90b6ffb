"""`NGAN` prepared for a CPU, to fill only: the same arithmetic in fewer and cheaper steps.

What differs from `NGAN.forward`, none of it by more than rounding:

- weights are laid out once for oneDNN and, for bfloat16, rounded once, where autocast does both at each call;
- leaky ReLUs and residual sums are part of the convolution before them, which oneDNN can do;
- a 3x3 convolution of a grid that was doubled by nearest neighbour reads each cell several times: it becomes a
  transposed convolution of the small grid, with sums of its weights (4/9 of the work);
- what a convolution adds for the positions of pixels is the same for all pictures of a size, and is kept;
- the last convolution of the code and the first of the location, which read the same grids, are one;
- attention is taken a part of the rows at a time, where torch's is slow in bfloat16;
- large batches are taken a part at a time.

The operators are those that torch.compile emits for CPUs; where a torch lacks them, `can_prepare` says so.
"""

import math
import platform

import torch
from torch import nn
from torch.nn import functional as F

from ngan.generators import STRIDE, CodeGenerator, ImageGenerator
from ngan.layers import NEGATIVE_SLOPE, coordinates, pad_to_multiple
from ngan.model import MASK_UNKNOWN, NGAN, NGANOutput, check_shapes

_SCORES = 20 * 256 * 256  # of the attention, at most at a time: fewer is slower, more takes memory and is not faster
_PIXELS = 2 * 256 * 256  # of a batch, at most at a time, but one picture at least: more is slower and takes memory


def can_prepare() -> bool:
    """Tell whether this is an x86 CPU and a torch that has oneDNN and the operators that `PreparedNGAN` calls."""
    operators = (
        "_reorder_convolution_weight",
        "_reorder_convolution_transpose_weight",
        "_convolution_pointwise",
        "_convolution_transpose_pointwise",
    )
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
            known = image.masked_fill(mask == 1, 0) * (1 - mask)
            code_image, location = self._code(known, mask)
        final = self._image(known, known.addcmul(code_image, mask), mask)  # `composite`, of which known is a part
        return NGANOutput(code_image, location, final, known.addcmul(final, mask))


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
        return call(x, self._weight, self._bias, *self._geometry, *_activation(active))


def _activation(active: bool) -> tuple[str, list[float], str]:
    """What oneDNN is told to append to a convolution: the leaky ReLU, or nothing."""
    return ("leaky_relu", [NEGATIVE_SLOPE], "") if active else ("none", [], "")


class _UpConv:
    """A 3x3 convolution, padding 1, of a grid doubled by nearest neighbour; reads the small grid.

    Row 2i + r of the result reads the doubled rows 2i + r - 1 to 2i + r + 1. Seen from row i of the small grid, which
    became the doubled rows 2i and 2i + 1, it adds to the rows 2i - 1 to 2i + 2 of the result, to each by the weights
    with which those two rows are read, summed; columns alike. That is a transposed convolution of stride 2 with a 4x4
    kernel.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype, side: int) -> None:
        c_out, c_in = weight.shape[:2]
        both = torch.ones(1, 1, 2, 2)  # the rows and columns that a cell became
        kernel = F.conv2d(weight.detach().float().flip(2, 3).reshape(-1, 1, 3, 3), both, padding=1)
        kernel = kernel.view(c_out, c_in, 4, 4).transpose(0, 1).to(dtype).contiguous(memory_format=torch.channels_last)
        self._bias = bias.detach().to(dtype, copy=True)
        self._geometry = [1] * 2, [0] * 2, [2] * 2, [1] * 2, 1  # padding, output padding, stride, dilation, groups
        seen = [1, c_in, side, side]
        self._weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(kernel, *self._geometry, seen)

    def __call__(self, x: torch.Tensor, active: bool = False) -> torch.Tensor:
        """Convolve (N, C_in, h, w) to (N, C_out, 2h, 2w); `active` appends the leaky ReLU."""
        call = torch.ops.mkldnn._convolution_transpose_pointwise
        return call(x, self._weight, self._bias, *self._geometry, *_activation(active))


class _PatchConv:
    """A convolution of other channels, pictures as patches, and the positions of their pixels, as patches too.

    A layer's weights are for patches as torch's pixel_unshuffle orders them, (C, p, p). Here patches are ordered
    (p, p, C): of a picture in channels_last, pC numbers at a time lie side by side.

    Args:
        weight: (C_out, others + (C + 2)pp, k, k), the positions last.
        bias: (C_out,).
        patch: p.
        others: channels that are no patches, first.
        side: see `_Conv`.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype, patch: int, others: int, side: int
    ) -> None:
        weight, positions = weight.detach().float().split([weight.shape[1] - 2 * patch**2, 2 * patch**2], dim=1)
        pictures = weight[:, others:].unflatten(1, (-1, patch, patch)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
        padding = weight.shape[-1] // 2
        none = torch.zeros_like(bias)
        self._conv = _Conv(torch.cat([weight[:, :others], pictures], dim=1), none, dtype, side, padding)
        self._positions, self._bias = positions.clone(), bias.detach().float().clone()
        self._dtype, self._patch, self._padding = dtype, patch, padding
        self._last: tuple[torch.Size | None, torch.Tensor] = None, none

    def __call__(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Convolve x (N, others + Cpp, H/p, W/p); `plus` adds a tensor of the result's shape, and is lost."""
        size, added = self._last
        if size != x.shape:
            added = self._of_positions(*x.shape)
            if x[:, 0].numel() * self._patch**2 <= _PIXELS:  # what is kept stays small
                self._last = x.shape, added
        return self._conv(x, plus=added if plus is None else plus.add_(added))

    def _of_positions(self, n: int, _: int, height: int, width: int) -> torch.Tensor:
        pixels = torch.empty(1, 1, height * self._patch, width * self._patch)
        patches = F.pixel_unshuffle(coordinates(pixels), self._patch)
        added = F.conv2d(patches, self._positions, self._bias, padding=self._padding).to(self._dtype)
        return added.expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)


class _Network:
    """What both networks share: pictures to patches and back."""

    def __init__(self, patch: int, dtype: torch.dtype) -> None:
        self._patch, self._dtype = patch, dtype

    def _read(self, padded: torch.Tensor) -> torch.Tensor:
        """Turn pictures (N, C, H, W) into patches (N, Cpp, H/p, W/p), ordered (p, p, C)."""
        n, channels, height, width = padded.shape
        p = self._patch
        pixels = padded.to(self._dtype).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        cells = pixels.reshape(n, height // p, p, width // p, p * channels).transpose(2, 3)
        return cells.flatten(3).permute(0, 3, 1, 2)

    def _pixels(self, patches: torch.Tensor) -> torch.Tensor:
        """Turn patches (N, ppC, h, w), ordered (p, p, C), into pixels (N, C, hp, wp)."""
        n, channels, height, width = patches.shape
        p = self._patch
        rows = patches.permute(0, 2, 3, 1).unflatten(3, (p, channels // p)).transpose(2, 3)
        return rows.reshape(n, height * p, width * p, channels // p**2).permute(0, 3, 1, 2)


def _pixel_first(layer: nn.Conv2d, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a layer whose result is patches, for the order (p, p, C)."""
    return tuple(
        parameter.detach().unflatten(0, (-1, patch**2)).transpose(0, 1).flatten(0, 1)
        for parameter in (layer.weight, layer.bias)
    )


class _Code(_Network):
    """`CodeGenerator.forward`."""

    def __init__(self, net: CodeGenerator, dtype: torch.dtype, image_size: int) -> None:
        super().__init__(net.patch, dtype)
        side = image_size // net.patch
        head, tail = net.location.conv1, net.up2
        self._stem = _PatchConv(net.stem.weight, net.stem.bias, dtype, net.patch, 0, side)
        self._down1 = _Conv.of(net.down1, dtype, side)
        self._down2 = _Conv.of(net.down2, dtype, side // 2)
        self._dilated = [_Conv.of(block.conv, dtype, side // 4) for block in net.dilated]
        self._up1 = _UpConv(net.up1.weight, net.up1.bias, dtype, side // 4)
        # Both read [doubled z, x0], and the location reads x too: the code's weights for x are 0.
        doubled = net.up1.out_channels
        unread = tail.weight.new_zeros(tail.out_channels, head.in_channels - tail.in_channels, 3, 3)
        weight, bias = _pixel_first(tail, net.patch)
        weight = torch.cat([torch.cat([weight, unread], dim=1), head.weight]).detach()
        bias = torch.cat([bias, head.bias]).detach()
        self._split = [tail.out_channels, head.out_channels]
        self._both_up = _UpConv(weight[:, :doubled], torch.zeros_like(bias), dtype, side // 2)
        self._both = _PatchConv(weight[:, doubled:], bias, dtype, net.patch, net.stem.out_channels, side)
        self._conv2 = _Conv.of(net.location.conv2, dtype, side)
        self._last_conv = _Conv.of(net.location.read, dtype, side)

    def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(torch.cat([image, mask], dim=1), STRIDE * self._patch)
        x = self._read(padded)
        x0 = F.leaky_relu_(self._stem(x), NEGATIVE_SLOPE)  # (N, w, H/p, W/p)
        x1 = self._down1(x0, active=True)  # (N, 2w, H/2p, W/2p)
        x2 = self._down2(x1, active=True)  # (N, 4w, H/4p, W/4p)
        z = x2
        for conv in self._dilated:
            z = z + conv(z, active=True)
        up = self._up1(z.add_(x2), active=True).add_(x1)  # (N, 2w, H/2p, W/2p)
        both = self._both(torch.cat([x0, x], dim=1), plus=self._both_up(up))
        code, location = both.split(self._split, dim=1)
        location = F.leaky_relu(location, NEGATIVE_SLOPE).contiguous(memory_format=torch.channels_last)
        location = self._pixels(self._last_conv(self._conv2(location, active=True))).float()  # (N, 1, H, W)
        code = padded[:, :3] + self._pixels(code)  # (N, 3, H, W)
        return code[..., :height, :width], location[..., :height, :width]


class _Image(_Network):
    """`ImageGenerator.forward`."""

    def __init__(self, net: ImageGenerator, dtype: torch.dtype, image_size: int) -> None:
        super().__init__(net.patch, dtype)
        side = image_size // net.patch
        self._stem = _PatchConv(net.stem.weight, net.stem.bias, dtype, net.patch, 0, side)
        self._down1 = _Conv.of(net.down1, dtype, side)
        self._down2 = _Conv.of(net.down2, dtype, side // 2)
        self._core = [_Attention(b, dtype, side) if hasattr(b, "qkv") else _Residual(b, dtype, side) for b in net.core]
        self._up1 = _UpConv(net.up1.weight, net.up1.bias, dtype, side // 4)
        self._fuse1 = _Conv.of(net.fuse1, dtype, side // 2)
        self._up2 = _UpConv(net.up2.weight, net.up2.bias, dtype, side // 2)
        self._fuse2 = _Conv.of(net.fuse2, dtype, side)
        self._head = _Conv(*_pixel_first(net.head, net.patch), dtype, side, padding=1)

    def __call__(self, image: torch.Tensor, code: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(torch.cat([image, code, mask], dim=1), STRIDE * self._patch)
        x0 = F.leaky_relu_(self._stem(self._read(padded)), NEGATIVE_SLOPE)  # (N, w, H/p, W/p)
        x1 = self._down1(x0, active=True)  # (N, 2w, H/2p, W/2p)
        z = self._down2(x1, active=True)  # (N, 4w, H/4p, W/4p)
        for layer in self._core:
            z = layer(z)
        for up, skip, fuse in (
            (self._up1, x1, self._fuse1),  # (N, 2w, H/2p, W/2p)
            (self._up2, x0, self._fuse2),  # (N, w, H/p, W/p)
        ):
            z = fuse(torch.cat([up(z, active=True), skip], dim=1), active=True)
        return (padded[:, 3:6] + self._pixels(self._head(z)))[..., :height, :width]


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
            z = _attend(*qkv.contiguous().flatten(1, 2)).unflatten(0, (n, self._heads))
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
