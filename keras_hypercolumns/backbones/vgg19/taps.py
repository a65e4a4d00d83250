"""The tap tables of VGG-19: which feature maps each variant of the colorizer harvests."""

from types import MappingProxyType

CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)

VARIANTS = MappingProxyType(
    {
        "full": (
            "relu1_2",
            "relu2_1",
            "relu2_2",
            *(f"relu{block}_{i}" for block in (3, 4, 5) for i in (1, 2, 3, 4)),
        ),
        "relu1to5": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),
        "relu3to5": ("relu3_4", "relu4_4", "relu5_4"),
        "pool1to4": ("pool1", "pool2", "pool3", "pool4"),
    }
)
"""The four published variants and their taps, in the order in which they are concatenated."""

STUDY_VARIANTS = MappingProxyType(
    {
        "relu4to5": ("relu4_4", "relu5_4"),
        "relu5": ("relu5_4",),
        "conv1to5": ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"),
        "relu1to3": ("relu1_2", "relu2_2", "relu3_4"),
        "relu2to5": ("relu2_2", "relu3_4", "relu4_4", "relu5_4"),
        "relu1to4": ("relu1_2", "relu2_2", "relu3_4", "relu4_4"),
        "pool1to5": ("pool1", "pool2", "pool3", "pool4", "pool5"),
    }
)
"""Variants for comparing taps, which are not published. Their heads are linear, as those are."""

ARCHITECTURES = MappingProxyType({"layered": VARIANTS["full"], "residual": VARIANTS["relu1to5"]})
"""Study variants whose heads are built otherwise (`layered_head`, `residual_head`): their taps."""

LITE = tuple(f"stage{i}" for i in range(1, 8))
"""Taps of the variant `lite`: the stages of an EfficientNet-Lite."""


def tap_names() -> tuple[str, ...]:
    """Every tap of VGG-19, from the input to the last pooling: `convB_I`, `reluB_I`, `poolB`."""
    names = []
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
        for i in range(1, convolutions + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


CONVOLUTIONS = tuple(tap for tap in tap_names() if tap.startswith("conv"))
"""Its convolutions, by their names."""
DEEPENED = ("conv3_4", "conv4_4", "conv5_4")
"""Those that VGG-16 lacks."""
VGG16_CONVOLUTIONS = tuple(name for name in CONVOLUTIONS if name not in DEEPENED)


def tap_channels(tap: str) -> int:
    """Channels of the VGG-19 tap `tap`, such as 512 for `"relu5_4"`."""
    return CHANNELS_PER_BLOCK[tap_block(tap) - 1]


def tap_stride(tap: str) -> int:
    """Pixels of the picture per cell of the VGG-19 tap `tap`, such as 16 for `"relu5_4"`."""
    block = tap_block(tap)
    stride: int = 2**block if tap.startswith("pool") else 2 ** (block - 1)
    return stride


def tap_block(tap: str) -> int:
    """Number of the block of the VGG-19 tap `tap`, such as 5 for `"relu5_4"`."""
    return int(tap.removeprefix("conv").removeprefix("relu").removeprefix("pool")[0])
