"""Features for Frechet distances, of a network that comes with a Python package: nothing is downloaded at run time.

The network is O-Net, the last of the three of MTCNN (Zhang et al. 2016), which judges whether a crop is a face, and
where its box and its landmarks are; its weights are those in the wheel of facenet-pytorch 2.6.0 (MIT). Two readings of
it, since it was trained on faces of 48x48 pixels:

- `onet`: the 256 features before its last layers, of the picture at 48x48: is it a face, are its parts in place?
- `onet_full`: its 128 convolutional features at the picture's own size, averaged over places: is it as sharp as one?

The figures compare methods with one another, here. They are no FID, and none of another network's compares with them.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ngan.evaluation import Features

PACKAGE = "facenet-pytorch==2.6.0"
_SHA256 = "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"  # of data/onet.pt
_SIDE = 48  # of the crops O-Net was trained on, in pixels


class ONet(nn.Module):
    """MTCNN's O-Net without its last layers, of uint8 faces (N, 3, H, W) that fill a square."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)

    def face_features(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the last layers read, (N, 256), of the image at 48x48."""
        x = self.convolved(F.interpolate(image.float(), size=(_SIDE, _SIDE), mode="area"))
        return self.prelu5(self.dense5(x.permute(0, 3, 2, 1).flatten(1)))  # width first: the weights are from Caffe

    def texture_features(self, image: torch.Tensor) -> torch.Tensor:
        """Return the last convolution's features, averaged over places, (N, 128), of the image as it is."""
        return self.convolved(image.float()).mean(dim=(2, 3))

    def convolved(self, image: torch.Tensor) -> torch.Tensor:
        """Return the last convolution's features; shapes are those of 48x48."""
        x = (image - 127.5) / 128
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, stride=2, ceil_mode=True)  # (N, 32, 23, 23)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, stride=2, ceil_mode=True)  # (N, 64, 10, 10)
        x = F.max_pool2d(self.prelu3(self.conv3(x)), 2, stride=2, ceil_mode=True)  # (N, 64, 4, 4)
        return self.prelu4(self.conv4(x))  # (N, 128, 3, 3)


def onet_features() -> dict[str, Features]:
    """Return both readings of O-Net by name, with the weights of facenet-pytorch's wheel; none of its code is run.

    Raises:
        ValueError: the package is not installed, or its weights are not those of the version named here.
    """
    found = importlib.util.find_spec("facenet_pytorch")
    if found is None or found.origin is None:
        raise ValueError(f"the features' weights are not here: pip install --no-deps {PACKAGE}, or --features none")
    path = Path(found.origin).parent / "data" / "onet.pt"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise ValueError(f"{path}: not the weights of {PACKAGE}, so figures would not compare")
    weights = torch.load(path, weights_only=True)  # tensors only; no code of the file is run
    network = ONet().eval()
    network.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith("dense6")})
    network.requires_grad_(False)
    return {"onet": network.face_features, "onet_full": network.texture_features}


FEATURES: dict[str, Callable[[], dict[str, Features]]] = {"onet": onet_features, "none": dict}
