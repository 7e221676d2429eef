"""External models: a person's own models, loaded and checked before they are attacked."""

from apr_core.zoo.external.check import ModelCheck, check_images, check_model
from apr_core.zoo.external.load import External, is_external, load_external

__all__ = ["External", "ModelCheck", "check_images", "check_model", "is_external", "load_external"]
