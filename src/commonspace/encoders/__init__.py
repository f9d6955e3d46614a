"""Raw items (texts, pictures, sounds, films, 3D models) to feature vectors.

What is heavy is imported at first use.
"""

from commonspace.encoders.audio import LogMelEncoder, MFCCEncoder
from commonspace.encoders.backbones import BACKBONES, Backbone, load_backbone
from commonspace.encoders.bag_of_words import BagOfWordsEncoder
from commonspace.encoders.base import (
    Encoder,
    encoder_from_spec,
    fitted_spec,
    identity,
    kept_encoder,
    same_encoder,
)
from commonspace.encoders.cache import FeatureCache, default_cache
from commonspace.encoders.doc2vec import Doc2VecEncoder
from commonspace.encoders.files import Broken, Encoded, EncodeRun, encode_items
from commonspace.encoders.image import EfficientNetLite0Encoder
from commonspace.encoders.learned import (
    OpenClipEncoder,
    SentenceTransformerEncoder,
    TimmEncoder,
    TorchvisionEncoder,
)
from commonspace.encoders.mesh import ShapeEncoder
from commonspace.encoders.pixels import PixelEncoder
from commonspace.encoders.registry import Offer, default_spec, encoder_class, list_encoders
from commonspace.encoders.text import HashTextEncoder
from commonspace.encoders.video import VideoEncoder

__all__ = [
    "BACKBONES",
    "Backbone",
    "BagOfWordsEncoder",
    "Broken",
    "Doc2VecEncoder",
    "EfficientNetLite0Encoder",
    "EncodeRun",
    "Encoded",
    "Encoder",
    "FeatureCache",
    "HashTextEncoder",
    "LogMelEncoder",
    "MFCCEncoder",
    "Offer",
    "OpenClipEncoder",
    "PixelEncoder",
    "SentenceTransformerEncoder",
    "ShapeEncoder",
    "TimmEncoder",
    "TorchvisionEncoder",
    "VideoEncoder",
    "default_cache",
    "default_spec",
    "encode_items",
    "encoder_class",
    "encoder_from_spec",
    "fitted_spec",
    "identity",
    "kept_encoder",
    "list_encoders",
    "load_backbone",
    "same_encoder",
]
