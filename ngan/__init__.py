"""Face inpainting by a nested GAN (Li et al., IEEE Access 2019)."""

from ngan.inference import Inpainter, Stages
from ngan.model import NGAN, NGANDiscriminators, NGANOutput
