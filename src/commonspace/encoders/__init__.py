"""Raw items (texts, pictures) to feature vectors; what is heavy is imported at first use."""

from commonspace.encoders.base import Encoder, encoder_from_spec
from commonspace.encoders.image import EfficientNetLite0Encoder
from commonspace.encoders.text import HashTextEncoder

__all__ = ["EfficientNetLite0Encoder", "Encoder", "HashTextEncoder", "encoder_from_spec"]
