"""timm's classifiers: `timm:NAME`, `timm:NAME.TAG` or `timm:NAME:FILE`."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from apr_core.base.types import InputError
from apr_core.zoo.library.entry import LibraryEntry
from apr_core.zoo.library.names import is_file, split_name, unknown_near
from apr_core.zoo.library.weights import fetch_weights, fitting, own_weights, read_tensors

HUB_FILE = "model.safetensors"
SHA256_DIGITS = 64


def find_timm(name: str) -> LibraryEntry:
    """The entry of a timm model; the tag, which says how it was trained, is timm's default.

    Raises:
        InputError: timm has no such model, or none with pretrained weights that tells classes
            apart.
    """
    import timm  # noqa: PLC0415 - slow to import

    model, wanted = split_name(name)
    _check_known(model)
    config = timm.get_pretrained_cfg(model)
    assert config is not None  # what is listed as pretrained has one
    if wanted and not is_file(wanted):
        raise InputError(
            f"'{wanted}' is no file of weights; give a .safetensors or .pth file, or a tag with a "
            f"dot, as in timm:{config.architecture}.{config.tag}."
        )
    if not config.num_classes:
        raise InputError(
            f"{name} returns features, not classes; choose a model that was trained to classify, "
            "such as timm:resnet50."
        )

    def build() -> tuple[nn.Module, str]:
        path, sha256 = own_weights(Path(wanted)) if wanted else _fetch(name, config)
        overlay = {"state_dict": read_tensors(path)}
        with fitting(path, name):
            backbone = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
        backbone.pretrained_cfg.pop("state_dict", None)  # type: ignore[union-attr, operator]
        return backbone, sha256

    channels, height, width = config.input_size
    return LibraryEntry(
        name, (height, width), channels, config.num_classes, config.mean, config.std, build
    )


def _check_known(model: str) -> None:
    """Raise InputError unless timm has pretrained weights for a model of this name."""
    import timm  # noqa: PLC0415

    architecture, _, tag = model.partition(".")
    tagged = timm.list_models(pretrained=True)
    pretrained = {each.partition(".")[0] for each in tagged}
    if tag and architecture in pretrained and model not in tagged:
        tags = [each.partition(".")[2] for each in tagged if each.startswith(f"{architecture}.")]
        raise unknown_near(f"timm has no weights for {architecture} with the tag", tag, tags)
    if architecture not in pretrained:
        known = architecture in timm.list_models()
        what = "timm has no pretrained weights for" if known else "timm has no model"
        raise unknown_near(what, architecture, pretrained)


def _fetch(name: str, config: object) -> tuple[Path, str]:
    hub, url = getattr(config, "hf_hub_id", None), str(getattr(config, "url", ""))
    if not hub:
        return fetch_weights(name, url, Path(url).name)
    from huggingface_hub import get_hf_file_metadata, hf_hub_url  # noqa: PLC0415

    url = hf_hub_url(hub, getattr(config, "hf_hub_filename", None) or HUB_FILE)

    def ask_sha256() -> str:
        """The hub's tag of a large file is its SHA-256."""
        tag = get_hf_file_metadata(url).etag or ""
        return tag if len(tag) == SHA256_DIGITS else ""

    return fetch_weights(name, url, f"{hub.replace('/', '--')}{Path(url).suffix}", ask_sha256)
