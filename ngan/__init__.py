"""Face inpainting by a nested GAN (Li et al., IEEE Access 2019)."""

from ngan.framing import Face
from ngan.inference import Inpainter
from ngan.model import NGAN, NGANDiscriminators, NGANOutput
from ngan.stages import Result, Stages
