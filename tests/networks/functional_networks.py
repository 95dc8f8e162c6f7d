"""The same networks written another way: functions of the tensors' names, nothing built, nothing shared.

Normalisations, dilation, transposed convolutions, shuffling and attention are written out as formulas; only
plain convolutions and pooling are torch's. ``names_of_*`` tell which tensors there have to be.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

State = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]

# Of each stage of a residual network: stride, dilation of its first 3x3 convolution, dilation of the others.
STAGES = {
    32: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)),
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
}


def conv(state: State, name: str, x: torch.Tensor, stride: int = 1, dilation: int = 1) -> torch.Tensor:
    kernel = state[f"{name}.weight"]
    if dilation > 1:  # zeros between the weights
        across = (kernel.shape[-1] - 1) * dilation + 1
        spread = kernel.new_zeros(*kernel.shape[:2], across, across)
        spread[:, :, ::dilation, ::dilation] = kernel
        kernel = spread
    groups = x.shape[1] // kernel.shape[1]
    return F.conv2d(x, kernel, state.get(f"{name}.bias"), stride, kernel.shape[-1] // 2, groups=groups)


def norm(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    if f"{name}.running_mean" in state:
        mean, var = state[f"{name}.running_mean"][:, None, None], state[f"{name}.running_var"][:, None, None]
        plain = (x - mean) / (var + 1e-5).sqrt()
    else:
        grouped = x.reshape(len(x), 32, -1)
        centred = grouped - grouped.mean(dim=2, keepdim=True)
        plain = (centred / (centred.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()).reshape(x.shape)
    return plain * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def under(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def count(state: State, prefix: str) -> int:
    return len({name.split(".")[0] for name in under(state, prefix)})


def residual(state: State, name: str, x: torch.Tensor, stride: int = 1, first: int = 1, later: int = 1):
    if f"{name}.conv3.weight" in state:
        y = norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x)).clamp(min=0)
        y = norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", y, stride, first)).clamp(min=0)
        y = norm(state, f"{name}.bn3", conv(state, f"{name}.conv3", y))
    else:
        y = norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x, stride, first)).clamp(min=0)
        y = norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", y, 1, later))
    if f"{name}.downsample.0.weight" in state:
        x = norm(state, f"{name}.downsample.1", conv(state, f"{name}.downsample.0", x, stride))
    return (x + y).clamp(min=0)


def resnet(state: State, x: torch.Tensor, output_stride: int) -> torch.Tensor:
    x = norm(state, "bn1", conv(state, "conv1", x, 2)).clamp(min=0)
    x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-torch.inf), 3, 2)
    for stage, (stride, first, later) in enumerate(STAGES[output_stride], start=1):
        x = residual(state, f"layer{stage}.0", x, stride, first, later)
        for block in range(1, count(state, f"layer{stage}.")):
            x = residual(state, f"layer{stage}.{block}", x, 1, later, later)
    return x


def hrnet(state: State, x: torch.Tensor) -> list[torch.Tensor]:
    for index in "12":
        x = norm(state, f"bn{index}", conv(state, f"conv{index}", x, 2)).clamp(min=0)
    for block in range(4):
        x = residual(state, f"layer1.{block}", x)
    xs = [numbered(state, "transition1.0", x, 1), numbered(state, "transition1.1.0", x, 2)]
    xs = [x.clamp(min=0) for x in xs]
    for stage in (2, 3, 4):
        if stage > 2:
            xs.append(numbered(state, f"transition{stage - 1}.{stage - 1}.0", xs[-1], 2).clamp(min=0))
        for module in range(count(state, f"stage{stage}.")):
            here = f"stage{stage}.{module}"
            for i in range(stage):
                for block in range(4):
                    xs[i] = residual(state, f"{here}.branches.{i}.{block}", xs[i])
            xs = [fused(state, f"{here}.fuse_layers.{i}", xs, i).clamp(min=0) for i in range(stage)]
    return xs


def numbered(state: State, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
    return norm(state, f"{name}.1", conv(state, f"{name}.0", x, stride))


def fused(state: State, name: str, xs: list[torch.Tensor], i: int) -> torch.Tensor:
    total = xs[i].clone()
    for j, y in enumerate(xs):
        if j > i:
            y = numbered(state, f"{name}.{j}", y, 1)
            total += y.repeat_interleave(2 ** (j - i), 2).repeat_interleave(2 ** (j - i), 3)
        if j < i:
            for step in range(i - j):
                y = numbered(state, f"{name}.{j}.{step}", y if step == 0 else y.clamp(min=0), 2)
            total += y
    return total


def cspnext(state: State, x: torch.Tensor) -> torch.Tensor:
    def unit(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        y = norm(state, f"{name}.norm", conv(state, f"{name}.conv", x, stride))
        return y / (1 + torch.exp(-y))

    x = unit("stem.2", unit("stem.1", unit("stem.0", x, 2)))
    for stage in (1, 2, 3, 4):
        x = unit(f"stage{stage}.0", x, 2)
        if stage == 4:
            y = unit("stage4.1.conv1", x)
            padded = [(F.pad(y, (k // 2,) * 4, value=-torch.inf), k) for k in (5, 9, 13)]
            pools = [p.unfold(2, k, 1).unfold(3, k, 1).amax(dim=(4, 5)) for p, k in padded]
            x = unit("stage4.1.conv2", torch.cat([y, *pools], 1))
        layer = f"stage{stage}.{2 if stage == 4 else 1}"
        main, short = unit(f"{layer}.main_conv", x), unit(f"{layer}.short_conv", x)
        for block in range(count(state, f"{layer}.blocks.")):
            name = f"{layer}.blocks.{block}"
            y = unit(f"{name}.conv2.depthwise_conv", unit(f"{name}.conv1", main))
            y = unit(f"{name}.conv2.pointwise_conv", y)
            main = y if stage == 4 else y + main
        x = torch.cat([main, short], 1)
        weights, bias = state[f"{layer}.attention.fc.weight"][:, :, 0, 0], state[f"{layer}.attention.fc.bias"]
        attention = ((x.mean(dim=(2, 3)) @ weights.T + bias + 3) / 6).clamp(0, 1)
        x = unit(f"{layer}.final_conv", x * attention[:, :, None, None])
    return x


def deconv(state: State, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
    """Add each weight times the map where it belongs, without padding."""
    kernel, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    rows, columns = x.shape[2:]
    tall, wide = (rows - 1) * stride + kernel.shape[2], (columns - 1) * stride + kernel.shape[3]
    y = bias[:, None, None].expand(len(x), -1, tall, wide).clone()
    for u in range(kernel.shape[2]):
        for v in range(kernel.shape[3]):
            part = torch.einsum("bcij,ck->bkij", x, kernel[:, :, u, v])
            y[:, :, u : u + rows * stride : stride, v : v + columns * stride : stride] += part
    return y


def lightning_head(state: State, x: torch.Tensor) -> torch.Tensor:
    batch, channels, rows, columns = x.shape
    x = x.reshape(batch, channels // 4, 2, 2, rows, columns)
    x = x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels // 4, 2 * rows, 2 * columns)
    for index in range(1, 1 + count(state, "upsampling_layers.")):
        # padding 1 cuts the first row and column; with output padding 1 the last ones stay
        x = deconv(state, f"upsampling_layers.{index}", x, 2)[:, :, 1:, 1:]
    powers = x.exp()
    return powers / powers.sum(dim=(2, 3), keepdim=True)


def names_of_norm(name: str, channels: int, kind: str = "batch") -> Shapes:
    own = ("weight", "bias", "running_mean", "running_var") if kind == "batch" else ("weight", "bias")
    shapes: Shapes = {f"{name}.{each}": (channels,) for each in own}
    return shapes | ({f"{name}.num_batches_tracked": ()} if kind == "batch" else {})


def names_of_pair(names: tuple[str, str], out: int, into: int, size: int, kind: str = "batch") -> Shapes:
    return {f"{names[0]}.weight": (out, into, size, size)} | names_of_norm(names[1], out, kind)


def names_of_residual(
    name: str, into: int, width: int, wide: bool, down: bool, kind: str = "batch"
) -> Shapes:
    sizes = [(width, into, 1), (width, width, 3), (4 * width, width, 1)]
    sizes = sizes if wide else [(width, into, 3), (width, width, 3)]
    shapes: Shapes = {}
    for index, size in enumerate(sizes, start=1):
        shapes |= names_of_pair((f"{name}.conv{index}", f"{name}.bn{index}"), *size, kind)
    if down:
        shapes |= names_of_pair((f"{name}.downsample.0", f"{name}.downsample.1"), sizes[-1][0], into, 1, kind)
    return shapes


def names_of_resnet(blocks: tuple[int, ...], wide: bool, kind: str = "batch") -> Shapes:
    shapes = names_of_pair(("conv1", "bn1"), 64, 3, 7, kind)
    into = 64
    for stage, (number, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), start=1):
        for block in range(number):
            down = block == 0 and (wide or stage > 1)
            shapes |= names_of_residual(f"layer{stage}.{block}", into, width, wide, down, kind)
            into = width * 4 if wide else width
    return shapes


def names_of_hrnet(w: int) -> Shapes:
    c = (w, 2 * w, 4 * w, 8 * w)
    shapes = names_of_pair(("conv1", "bn1"), 64, 3, 3) | names_of_pair(("conv2", "bn2"), 64, 64, 3)
    for block in range(4):
        shapes |= names_of_residual(f"layer1.{block}", 256 if block else 64, 64, True, block == 0)
    for name, out, into in (
        ("transition1.0", c[0], 256),
        ("transition1.1.0", c[1], 256),
        ("transition2.2.0", c[2], c[1]),
        ("transition3.3.0", c[3], c[2]),
    ):
        shapes |= names_of_pair((f"{name}.0", f"{name}.1"), out, into, 3)
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        for module in range(modules):
            here = f"stage{stage}.{module}"
            for i in range(stage):
                for block in range(4):
                    shapes |= names_of_residual(f"{here}.branches.{i}.{block}", c[i], c[i], False, False)
                for j in range(stage):
                    fuse = f"{here}.fuse_layers.{i}.{j}"
                    if j > i:
                        shapes |= names_of_pair((f"{fuse}.0", f"{fuse}.1"), c[i], c[j], 1)
                    for step in range(i - j):
                        out = c[i] if step == i - j - 1 else c[j]
                        shapes |= names_of_pair((f"{fuse}.{step}.0", f"{fuse}.{step}.1"), out, c[j], 3)
    return shapes


def names_of_cspnext(channels: tuple[int, ...], blocks: tuple[int, ...]) -> Shapes:
    """Of a network with so many channels after the stem and each stage, and so many blocks."""

    def unit(name: str, out: int, into: int, size: int) -> Shapes:
        return names_of_pair((f"{name}.conv", f"{name}.norm"), out, into, size)

    half = channels[0] // 2
    shapes = unit("stem.0", half, 3, 3) | unit("stem.1", half, half, 3) | unit("stem.2", channels[0], half, 3)
    for stage in (1, 2, 3, 4):
        into, out = channels[stage - 1 : stage + 1]
        shapes |= unit(f"stage{stage}.0", out, into, 3)
        mid = out // 2
        layer = f"stage{stage}.1"
        if stage == 4:
            shapes |= unit("stage4.1.conv1", mid, out, 1) | unit("stage4.1.conv2", out, 4 * mid, 1)
            layer = "stage4.2"
        for name in ("main_conv", "short_conv"):
            shapes |= unit(f"{layer}.{name}", mid, out, 1)
        shapes |= unit(f"{layer}.final_conv", out, 2 * mid, 1)
        shapes |= {f"{layer}.attention.fc.weight": (out, out, 1, 1), f"{layer}.attention.fc.bias": (out,)}
        for block in range(blocks[stage - 1]):
            name = f"{layer}.blocks.{block}"
            shapes |= unit(f"{name}.conv1", mid, mid, 3) | unit(f"{name}.conv2.depthwise_conv", mid, 1, 5)
            shapes |= unit(f"{name}.conv2.pointwise_conv", mid, mid, 1)
    return shapes
