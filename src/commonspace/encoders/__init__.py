"""Raw items (texts, pictures) to feature vectors; what is heavy is imported at first use."""

from commonspace.encoders.backbones import BACKBONES, Backbone, load_backbone
from commonspace.encoders.bag_of_words import BagOfWordsEncoder
from commonspace.encoders.base import Encoder, encoder_from_spec, fitted_spec
from commonspace.encoders.image import EfficientNetLite0Encoder
from commonspace.encoders.pixels import PixelEncoder
from commonspace.encoders.text import HashTextEncoder

__all__ = [
    "BACKBONES",
    "Backbone",
    "BagOfWordsEncoder",
    "EfficientNetLite0Encoder",
    "Encoder",
    "HashTextEncoder",
    "PixelEncoder",
    "encoder_from_spec",
    "fitted_spec",
    "load_backbone",
]
