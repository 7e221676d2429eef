"""Models of a person's own: each kind of file, and every mistake that can be seen beforehand."""

from __future__ import annotations

import copy
import io
import json
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig, load_model
from apr_core.base.types import InputError
from apr_core.data.registry import find_dataset
from apr_core.evaluation.protocol import evaluate, setting_for
from apr_core.evaluation.record import Record, save_record
from apr_core.models import Classifier, Normalize
from apr_core.models.inference import evaluating
from apr_core.models.inputs import as_input
from apr_core.zoo.external import External, check_images, check_model, is_external, load_external
from apr_core.zoo.external.fingerprint import fingerprint
from apr_core.zoo.external.onnx_files import outside
from apr_core.zoo.target import TargetModel
from tests.core.small import SmallNet

ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
CIFAR = Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def said_by(act: Callable[[], object]) -> str:
    """The sentence that something is refused with."""
    with pytest.raises(InputError) as caught:
        act()
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)
    return str(caught.value)


def said_of(spec: object) -> str:
    """The sentence that loading a model is refused with."""
    return said_by(lambda: load_external(str(spec)))


class Tripwire:
    """What would show that it was unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("A pickle was loaded.",)


@pytest.fixture(scope="module")
def net() -> SmallNet:
    return SmallNet(classes=10).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Five images, uint8: no multiple of any batch size in use here."""
    return check_images(count=5)[0]


def same_answers(model: External, net: nn.Module, images: Tensor) -> bool:
    """Whether both say the same of images in every form that they come in."""
    expected = net(images.float() / 255)
    forms = [images, images.float() / 255, as_input(images), (images.double() / 255)]
    answers = [model(form) for form in forms] + [torch.cat([model(one[None]) for one in images])]
    return all(torch.allclose(answer, expected, atol=1e-5) for answer in answers)


# What is a person's own


@pytest.mark.parametrize(
    "spec", ["mine:make", "a.b:c", "x.pt", "x/y.PT2", "x.onnx", "x.ts", "x.torchscript", "w.pth"]
)
def test_code_and_files_are_a_persons_own(spec: str) -> None:
    assert is_external(spec)


@pytest.mark.parametrize("spec", ["cifar10-resnet20-apr", "resnet20", ""])
def test_names_are_the_zoos(spec: str) -> None:
    assert not is_external(spec)
    assert "is no model that can be loaded; give package.module:factory" in said_of(spec)


@pytest.mark.parametrize(
    "name", ["net.h5", "net.keras", "net.tflite", "x.safetensors", "a/b.ckpt", "pickled.PKL"]
)
def test_a_kind_of_file_that_cannot_be_read_is_named_with_those_that_can(name: str) -> None:
    """Cases k07, net.h5, net.keras and net.tflite."""
    assert is_external(name)
    said = said_of(name)
    assert f"{name} cannot be read" in said
    assert all(kind in said for kind in (".onnx", ".pt2", "package.module:factory"))
    assert "cifar10-resnet20" not in said


# Code

CODE = """
import torch
from torch import nn
from tests.core.small import SmallNet
from {package} import helper

class Bad(nn.Module):
    def train(self, mode=True):
        raise RuntimeError("No modes here. None at all.\\nReally.")

class Group:
    make = staticmethod(lambda: SmallNet(classes=10))

trained = SmallNet(classes=10)
number = 3

def make(): return SmallNet(classes=10)
def function(): return lambda images: images.mean((2, 3))
def views(): return lambda images: images.view(len(images), -1)[:, :10]
def raises(): raise FileNotFoundError("weights.pt is gone.\\nLook for it.")
def exits(): raise SystemExit
def needs(path): return SmallNet(classes=10)
def number_back(): return 3
def class_back(): return SmallNet
def bad(): return Bad()
"""


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A package in the current folder, which is not on the path."""
    name = "apr_lab_test_models"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("")
    (folder / "nets.py").write_text(CODE.format(package=name))
    (folder / "broken.py").write_text("1 / 0")
    (folder / "lacking.py").write_text("import apr_lab_no_such_module")
    (folder / "unparsable.py").write_text("def def")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


@pytest.mark.parametrize("factory", ["make", "trained", "Group.make"])
def test_a_factorys_model_is_called_as_it_is(package, net, images, factory: str) -> None:
    spec = f"{package}.nets:{factory}"
    model = load_external(spec)
    assert (model.name, model.differentiable, model.training) == (spec, True, False)
    assert not any(module.training for module in model.modules())
    assert same_answers(model, net, images)
    assert model.train().model.training


def test_a_model_is_known_by_its_weights_and_its_code(monkeypatch, tmp_path: Path) -> None:
    """Retrained or rewritten in place, it is another."""
    code = (
        "import torch\ndef plain():\n    torch.manual_seed({})\n    return torch.nn.Linear(2, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    seen = []
    for seed, tail in ((0, ""), (0, ""), (1, ""), (0, "# and more\n")):
        (tmp_path / "known_mine.py").write_text(code.format(seed) + tail)
        sys.modules.pop("known_mine", None)
        seen.append(load_external("known_mine:plain").sha256)
    assert seen[0] == seen[1] != ""
    assert len(set(seen)) == 3
    (tmp_path / "known_mine.py").write_text("def loose():\n    return lambda images: images\n")
    sys.modules.pop("known_mine", None)
    assert load_external("known_mine:loose").sha256 == ""


HELD = """
import numpy as np
import torch
from torch import nn
from {package} import outer

TABLE = torch.tensor([{table}])

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(2, 2)
        self.plain = torch.full((2,), {plain})
        self.unregistered = [nn.Linear(2, 2)]
        self.scale = {scale}
        self.register_buffer("passing", torch.full((2,), {passing}), persistent=False)
        self.act = lambda x, by={default}: x * by
        self.after = np.array([{array}])
        self.register_forward_hook(lambda *given: None)

class Opaque(Net):
    def __init__(self):
        super().__init__()
        self.generator = torch.Generator()

def make():
    from {package}.late import offset
    return Net()

def opaque():
    return Opaque()
"""
PARTS = {
    "table": 1.0, "plain": 1.0, "scale": 1.0, "passing": 1.0, "default": 1.0, "array": 1.0,
    "outer": 1.0, "inner": 1.0, "late": 1.0,
}  # fmt: skip


@pytest.fixture
def print_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable]:
    """The fingerprint of a model whose package is written anew with some parts changed."""
    package = "apr_lab_test_known"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / package).mkdir()

    def forget() -> None:
        for module in [module for module in sys.modules if module.startswith(package)]:
            del sys.modules[module]

    def make(factory: str = "make", **changed: float) -> str:
        parts = PARTS | changed
        files = {
            "__init__": "",
            "nets": HELD.format(package=package, **parts),
            "outer": f"from . import inner\nvalue = {parts['outer']}\n",
            "inner": f"value = {parts['inner']}\n",
            "late": f"offset = {parts['late']}\n",
        }
        for name, text in files.items():
            (tmp_path / package / f"{name}.py").write_text(text)
        forget()
        return load_external(f"{package}.nets:{factory}").sha256

    yield make
    forget()


@pytest.mark.parametrize("part", PARTS)
def test_a_model_is_known_by_all_that_it_holds_and_imports(print_of: Callable, part: str) -> None:
    """Case kind 6: helper modules, also those that a helper or a function's body imports."""
    assert print_of() == print_of() != ""
    assert print_of(**{part: 2.0}) != print_of()


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.plain.fill_(3),
        lambda net: net.unregistered[0].weight.data.fill_(3),
        lambda net: setattr(net, "scale", 3.0),
        lambda net: net.passing.fill_(3),
        lambda net: net.after.fill(3),
        lambda net: net.linear.bias.data.fill_(3),
        lambda net: net.register_forward_hook(lambda *given: None),
    ],
)
def test_a_model_is_known_by_values_that_no_code_tells(print_of: Callable, change) -> None:
    """Case kind 6: weights may be read from anywhere."""
    print_of()
    nets = sys.modules["apr_lab_test_known.nets"]
    model, other = nets.make(), nets.make()
    change(other)
    assert fingerprint(model, nets.make) == fingerprint(nets.make(), nets.make) != ""
    assert fingerprint(other, nets.make) not in ("", fingerprint(model, nets.make))


def test_of_what_does_not_show_what_it_holds_nothing_is_taken_up(print_of: Callable) -> None:
    assert print_of("opaque") == ""


def test_a_function_is_wrapped_in_a_module(package, images) -> None:
    model = load_external(f"{package}.nets:function")
    assert torch.allclose(model(images), images.float().mean((2, 3)) / 255)


def test_channels_that_come_last_in_memory_are_put_first(package, images) -> None:
    model = load_external(f"{package}.nets:views")
    assert torch.equal(model(as_input(images)), images[:, 0, 0, :10] / 255)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("apr_lab_nowhere:make", "no module 'apr_lab_nowhere'"),
        ("{}.nowhere:make", "no module 'apr_lab_test_models.nowhere'"),
        ("{}.lacking:make", "cannot be imported.*ModuleNotFoundError.*apr_lab_no_such_module"),
        ("{}.broken:make", "cannot be imported.*ZeroDivisionError"),
        ("{}.unparsable:make", "cannot be imported.*SyntaxError"),
        ("{}.nets:nothing", "nets has no 'nothing'"),
        ("{}.nets:Group.nothing", "nets has no 'Group.nothing'"),
        ("{}.nets:raises", r"\(FileNotFoundError: weights.pt is gone\)"),
        ("{}.nets:exits", "SystemExit"),
        ("{}.nets:needs", "TypeError.*path"),
        ("{}.nets:bad", r"RuntimeError: No modes here\)"),
        ("{}.nets:number", "gives 3 of type int, not a model"),
        ("{}.nets:number_back", "gives 3 of type int, not a model"),
        ("{}.nets:class_back", "gives the class SmallNet, not a model"),
        ("{}.nets:", "give package.module:factory"),
        (":make", "give package.module:factory"),
        ("{}.nets:make()", "give package.module:factory"),
        ("..nets:make", "give package.module:factory"),
        ("a:b:c", "give package.module:factory"),
    ],
)
def test_code_that_fails_is_named_in_one_sentence(package, spec: str, said: str) -> None:
    assert re.search(said, said_of(spec.format(package)))


# Files


def save_script(model: nn.Module, path: Path, how: str = "script") -> Path:
    """TorchScript, of which torch 2.15 warns at every step."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        if how == "trace":
            script = torch.jit.trace(model, torch.rand(2, 3, 32, 32))
        else:
            script = torch.jit.script(model)
        torch.jit.save(torch.jit.freeze(script) if how == "freeze" else script, path)
    return path


@pytest.mark.parametrize("how", ["script", "trace", "freeze"])
def test_torchscript_answers_as_the_model_it_was_made_of(net, images, tmp_path, how: str) -> None:
    model = load_external(str(save_script(net, tmp_path / "net.pt", how)))
    assert (model.name, model.differentiable) == ("net.pt", True)
    with evaluating(model):
        assert same_answers(model, net, images)
    check_model(model, *check_images(count=8))


def test_torchscript_comes_in_evaluation_mode(tmp_path: Path) -> None:
    model = load_external(str(save_script(SmallNet(classes=10), tmp_path / "net.torchscript")))
    assert not any(module.training for module in model.modules())


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory) -> Callable[..., Path]:
    """Exports the network once for each kind of batch: a size, or a torch.export.Dim."""
    folder = tmp_path_factory.mktemp("exported")

    def export(name: str, size: int, batch: object = None) -> Path:
        path = folder / f"{name}.pt2"
        if not path.exists():
            shapes = None if batch is None else ({0: batch},)
            example = (torch.rand(size, 3, 32, 32),)
            torch.export.save(torch.export.export(net, example, dynamic_shapes=shapes), path)
        return path

    return export


@pytest.mark.parametrize(
    ("name", "size", "batch"),
    [
        ("any", 2, torch.export.Dim.DYNAMIC),
        ("some", 3, torch.export.Dim("batch", min=2, max=3)),
        ("two", 2, None),
        ("one", 1, None),
    ],
)
def test_an_exported_program_gets_the_batches_it_takes(
    exported, net, images, name: str, size: int, batch: object
) -> None:
    model = load_external(str(exported(name, size, batch)))
    assert (model.name, model.differentiable) == (f"{name}.pt2", True)
    assert same_answers(model, net, images)
    assert model(images[:0]).shape == (0, 10)


def test_an_exported_programs_mode_is_left_alone(exported, net, images) -> None:
    model = load_external(str(exported("two", 2)))
    assert not model.train().training
    with evaluating(model.eval()):
        assert same_answers(model, net, images)
    assert not any(module.training for module in model.modules())
    assert check_model(model, *check_images(count=8)).differentiable


def test_what_torch_saved_is_known_by_what_it_holds(exported, net, images, tmp_path: Path) -> None:
    misnamed = tmp_path / "net.pt"
    misnamed.write_bytes(exported("two", 2).read_bytes())
    assert same_answers(load_external(str(misnamed)), net, images)
    assert same_answers(load_external(str(save_script(net, tmp_path / "n.pt2"))), net, images)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("net.pt", "net.pt2", "net.onnx"):
        assert said_of(tmp_path / name) == f"There is no file {tmp_path / name}; check the path."
    (tmp_path / "net.pt").mkdir()
    assert "There is no file" in said_of(tmp_path / "net.pt")


# Pickles


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2", ".ts"])
def test_no_pickle_is_opened(net, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    torch.save(Tripwire(), path)
    assert "not opened because they can run anything; export the model" in said_of(path)
    torch.save(Tripwire(), path, _use_new_zipfile_serialization=False)
    assert "pickled" in said_of(path)
    torch.save(net, path)
    assert "pickled" in said_of(path)
    path.write_bytes(pickle.dumps(Tripwire()))
    assert "pickled" in said_of(path)
    path.write_bytes(b"")
    assert "pickled" in said_of(path)


def tripwire(save: Callable[[object, io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(Tripwire(), buffer)
    return buffer.getvalue()


def rewrite(path: Path, into: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """An archive with some of its records changed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    change(records)
    with zipfile.ZipFile(into, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return into


def pickled_inputs(records: dict[str, bytes]) -> None:
    records["two/data/sample_inputs/model.pt"] = tripwire(torch.save)


def broken_inputs(records: dict[str, bytes]) -> None:
    records["two/data/sample_inputs/model.pt"] = b"PK"


def pickled_weight(records: dict[str, bytes]) -> None:
    config = json.loads(records["two/data/weights/model_weights_config.json"])
    next(iter(config["config"].values()))["use_pickle"] = True
    records["two/data/weights/model_weights_config.json"] = json.dumps(config).encode()
    records["two/data/weights/weight_0"] = tripwire(torch.save)


def old_weights(records: dict[str, bytes]) -> None:
    records["two/data/weights/model.pt"] = tripwire(torch.save)


def opaque_constant(records: dict[str, bytes]) -> None:
    weights = json.loads(records["two/data/weights/model_weights_config.json"])
    entry = {**next(iter(weights["config"].values())), "path_name": "opaque_obj_0"}
    config = json.dumps({"config": {"secret": entry}})
    records["two/data/constants/model_constants_config.json"] = config.encode()
    data = tripwire(pickle.dump)
    records["two/data/constants/opaque_obj_0"] = data + bytes(-len(data) % 4)  # floats, on paper


def compiled(records: dict[str, bytes]) -> None:
    records["two/data/aotinductor/model/model.so"] = b"\x7fELF"


@pytest.mark.parametrize(
    "change",
    [pickled_inputs, broken_inputs, pickled_weight, old_weights, opaque_constant, compiled],
)
def test_no_pickle_in_an_exported_program_is_opened(exported, tmp_path: Path, change) -> None:
    path = rewrite(exported("two", 2), tmp_path / "net.pt2", change)
    assert "holds pickled objects or compiled code" in said_of(path)


def test_no_pickle_in_torchscript_is_opened(net, tmp_path: Path) -> None:
    def change(records: dict[str, bytes]) -> None:
        for name in records:
            if name.endswith(("/data.pkl", "/constants.pkl")):
                records[name] = tripwire(pickle.dump)

    path = rewrite(save_script(net, tmp_path / "good.pt"), tmp_path / "net.pt", change)
    assert "net.pt cannot be read" in said_of(path)


def test_what_an_old_torch_exported_is_not_opened(exported, tmp_path: Path) -> None:
    def old(records: dict[str, bytes]) -> None:
        """Both forms in one file: torch falls back on the old where the new cannot be read."""
        records["version"] = b"8.0"
        records["serialized_exported_program.json"] = b"{}"
        records["serialized_example_inputs.pt"] = tripwire(torch.save)

    path = rewrite(exported("two", 2), tmp_path / "net.pt2", old)
    assert "old torch; export it again" in said_of(path)


@pytest.mark.parametrize("kind", ["script", "exported"])
def test_a_damaged_file_is_refused(exported, net, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "net.pt"
    save_script(net, path) if kind == "script" else path.write_bytes(
        exported("two", 2).read_bytes()
    )
    code = ".py" if kind == "script" else "models/model.json"
    rewrite(
        path,
        tmp_path / "bad.pt",
        lambda records: records.update({n: b"{" for n in records if n.endswith(code)}),
    )
    assert "bad.pt cannot be read" in said_of(tmp_path / "bad.pt")
    path.write_bytes(path.read_bytes()[:-500])
    assert said_of(path)


# ONNX


def save_onnx(net: SmallNet, path: Path, batch: int | str) -> Path:
    """The network as ONNX, by hand: torch's own exporter needs yet another package."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    bn = net.bn
    weights = {
        "w": net.conv.weight, "g": bn.weight, "b": bn.bias, "m": bn.running_mean,
        "v": bn.running_var, "lw": net.linear.weight, "lb": net.linear.bias,
    }  # fmt: skip
    nodes = [
        make.make_node("Conv", ["images", "w"], ["conv"], pads=[1, 1, 1, 1]),
        make.make_node("BatchNormalization", ["conv", "g", "b", "m", "v"], ["bn"]),
        make.make_node("Relu", ["bn"], ["relu"]),
        make.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        make.make_node("Flatten", ["pool"], ["flat"]),
        make.make_node("Gemm", ["flat", "lw", "lb"], ["logits"], transB=1),
    ]
    graph = make.make_graph(
        nodes,
        "net",
        [make.make_tensor_value_info("images", 1, [batch, 3, 32, 32])],
        [make.make_tensor_value_info("logits", 1, [batch, 10])],
        [onnx.numpy_helper.from_array(w.detach().numpy(), name) for name, w in weights.items()],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("batch", ["batch", 1, 2, 16])
def test_onnx_gets_the_batches_it_takes(net, images, tmp_path: Path, batch: int | str) -> None:
    model = load_external(str(save_onnx(net, tmp_path / "net.onnx", batch)))
    assert (model.name, model.differentiable) == ("net.onnx", False)
    assert same_answers(model, net, images)
    checked = check_model(model, *check_images(count=8))
    assert not checked.differentiable
    assert any("gradient attacks cannot be used" in note for note in checked.notes)


def test_onnx_of_another_shape_says_so(net, tmp_path: Path) -> None:
    model = load_external(str(save_onnx(net, tmp_path / "net.onnx", "batch")))
    narrow = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    said = said_by(lambda: check_model(model, narrow, torch.zeros(2, dtype=torch.int64)))
    assert "fails on images (2, 3, 16, 16)" in said


def to_onnx(path: Path, shape: list, outputs: dict[str, list], nodes: Callable) -> Path:
    """A small ONNX file: `nodes` makes its nodes of onnx.helper.make_node.

    Args:
        outputs: by name, the shape of each.
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    graph = make.make_graph(
        nodes(make.make_node),
        "net",
        [make.make_tensor_value_info("images", 1, shape)],
        [make.make_tensor_value_info(name, 1, wanted) for name, wanted in outputs.items()],
        [onnx.numpy_helper.from_array(torch.tensor([1, 10]).numpy(), "one"),
         onnx.numpy_helper.from_array(torch.tensor([0, 10]).numpy(), "any"),
         onnx.numpy_helper.from_array(WEIGHTS.numpy(), "w")],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


WEIGHTS = torch.rand(3, 10, generator=torch.Generator().manual_seed(0)) - 0.5


def pooled(node: Callable, shape: str) -> list:
    """Colours on average times weights, in a shape."""
    return [
        node("GlobalAveragePool", ["images"], ["pool"]), node("Flatten", ["pool"], ["features"]),
        node("MatMul", ["features", "w"], ["flat"]), node("Reshape", ["flat", shape], ["logits"]),
    ]  # fmt: skip


def mean_logits(images: Tensor) -> Tensor:
    return (images.float() / 255).mean((2, 3)) @ WEIGHTS


def test_onnx_that_says_any_batch_and_takes_one_is_asked_one_by_one(
    images, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Case k07, one_at_a_time.onnx; the runtime logs nothing."""
    shape, outputs = ["N", 3, 32, 32], {"logits": ["N", 10]}
    path = to_onnx(tmp_path / "one.onnx", shape, outputs, lambda node: pooled(node, "one"))
    model = load_external(str(path))
    assert (model.least, model.most) == (1, None)
    torch.testing.assert_close(model(images), mean_logits(images))
    assert model.most == 1
    assert check_model(model, *check_images(count=8)).tested == 8
    assert capfd.readouterr() == ("", "")


def test_what_answers_for_the_first_image_alone_is_asked_one_by_one(images) -> None:
    one = External(lambda images: images.mean((2, 3))[:1], "one", torch.device("cpu"))
    torch.testing.assert_close(one(images), (images.float() / 255).mean((2, 3)))

    def fails(images: Tensor) -> Tensor:
        raise ValueError(f"{len(images)} images")

    with pytest.raises(ValueError, match="5 images"):  # the first error, of what was asked
        External(fails, "fails", torch.device("cpu"))(images)


def test_memory_that_lacks_for_a_batch_is_not_taken_for_a_batch_of_one(images) -> None:
    def hungry(images: Tensor) -> Tensor:
        if len(images) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return images.mean((2, 3))

    model = External(hungry, "hungry", torch.device("cpu"))
    with pytest.raises(torch.OutOfMemoryError):
        model(images)
    assert model.most is None


def test_of_several_outputs_the_logits_are_found_or_all_are_named(images, tmp_path: Path) -> None:
    """Case k07, features_and_logits.onnx."""
    shape = ["N", 3, 32, 32]

    def nodes(node: Callable) -> list:
        return [*pooled(node, "any"), node("Identity", ["logits"], ["scores"])]

    both = {"features": ["N", 3], "logits": ["N", 10]}
    model = load_external(str(to_onnx(tmp_path / "both.onnx", shape, both, nodes)))
    torch.testing.assert_close(model(images), mean_logits(images))
    unnamed = {"features": ["N", 3], "scores": ["N", 10]}
    said = said_of(to_onnx(tmp_path / "unnamed.onnx", shape, unnamed, nodes))
    assert "features tensor(float) (N, 3)" in said
    assert "scores tensor(float) (N, 10)" in said


def test_onnx_with_its_channels_last_gets_them_last(images, tmp_path: Path) -> None:
    def nodes(node: Callable) -> list:
        first = node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])
        pool, *others = pooled(node, "any")
        pool.input[0] = "turned"
        return [first, pool, *others]

    path = to_onnx(tmp_path / "last.onnx", ["N", 32, 32, 3], {"logits": ["N", 10]}, nodes)
    model = load_external(str(path))
    torch.testing.assert_close(model(images), mean_logits(images))
    torch.testing.assert_close(copy.deepcopy(model)(images), mean_logits(images))


def test_onnx_of_grey_pictures_says_what_it_takes(images, tmp_path: Path) -> None:
    """Case k07, grey.onnx."""

    def nodes(node: Callable) -> list:
        return [node("Flatten", ["images"], ["logits"])]

    path = to_onnx(tmp_path / "grey.onnx", ["N", 1, 28, 28], {"logits": ["N", 784]}, nodes)
    said = said_by(lambda: check_model(load_external(str(path)), *check_images(count=4)))
    assert "(N, 1, 28, 28)" in said
    assert "(4, 3, 32, 32)" in said


def save_apart(path: Path, seed: int) -> Path:
    """An ONNX file whose weights lie beside it, in net.data."""
    onnx = pytest.importorskip("onnx")
    net = SmallNet(classes=10).eval()
    torch.nn.init.constant_(net.linear.bias, seed)
    save_onnx(net, path, "N")
    model = onnx.load(path)
    path.with_name("net.data").unlink(missing_ok=True)  # it would be added to
    onnx.save(
        model, path, save_as_external_data=True, location="net.data", size_threshold=0,
        all_tensors_to_one_file=True,
    )  # fmt: skip
    return path


def test_onnx_is_known_by_its_second_file_too(tmp_path: Path) -> None:
    """Case k06: weights1 and weights2, whose first files are the same."""
    paths = []
    for seed in (0, 1, 0):
        folder = tmp_path / str(len(paths))
        folder.mkdir()
        paths.append(save_apart(folder / "net.onnx", seed))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    first, other, again = (load_external(str(path)).sha256 for path in paths)
    assert first == again != other
    assert "" not in (first, other)


def test_work_on_onnx_is_taken_up_only_where_its_second_file_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases k06: taken from a record, and gone on with after an interruption."""
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))
    path = tmp_path / "net.onnx"

    def ask(seed: int, images: int, *report: Callable) -> Record | None:
        target = TargetModel("net", load_external(str(save_apart(path, seed))), find_dataset())
        return evaluate(target, setting_for(target, "corners", images=images), *report)

    def interrupt(progress: object) -> None:
        raise KeyboardInterrupt

    known = ask(0, 2)
    assert known is not None
    save_record(known)
    assert any("from the record" in note for note in ask(0, 3).notes)
    assert not any("from the record" in note for note in ask(1, 3).notes)
    with pytest.raises(KeyboardInterrupt):
        ask(0, 4, interrupt)
    with pytest.raises(InputError, match="other settings or weights"):
        ask(1, 4)
    assert ask(0, 4).setting.images == 4


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    """Case k07, lost_weights."""
    path = save_apart(tmp_path / "net.onnx", 0)
    (tmp_path / "net.data").unlink()
    assert "keeps weights in net.data" in said_of(path)


def test_the_files_of_weights_are_those_that_onnx_finds(tmp_path: Path) -> None:
    """In constants, in branches and in functions too."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper

    def apart(name: str) -> object:
        tensor = make.make_tensor(name, 1, [0], [])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"{name}.data")
        tensor.external_data.add(key="offset", value="0")
        return tensor

    constant = make.make_node("Constant", [], ["c"], value=apart("constant"))
    branch = make.make_graph([constant], "branch", [], [], [apart("branch")])
    nodes = [make.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)]
    model = make.make_model(make.make_graph(nodes, "net", [], [], [apart("plain")]))
    opset = [make.make_opsetid("", 17)]
    model.functions.append(
        make.make_function("own", "f", [], ["c"], [
            make.make_node("Constant", [], ["c"], value=apart("function"))
        ], opset)
    )  # fmt: skip
    onnx.save(model, tmp_path / "net.onnx")
    found = outside(tmp_path / "net.onnx")
    assert found == ["branch.data", "constant.data", "function.data", "plain.data"]
    whole = (tmp_path / "net.onnx").read_bytes()
    (tmp_path / "net.onnx").write_bytes(whole[:-3])
    assert outside(tmp_path / "net.onnx") is None


def test_a_damaged_onnx_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "net.onnx").write_bytes(b"nothing")
    assert "net.onnx cannot be read" in said_of(tmp_path / "net.onnx")


def test_without_onnxruntime_it_says_what_to_install(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "`pip install onnxruntime`" in said_of(tmp_path / "net.onnx")


# Attacked


def test_an_attack_goes_as_it_does_on_the_model_itself(net, tmp_path: Path) -> None:
    pictures, _ = check_images(count=3)
    labels = net(as_input(pictures)).argmax(1)
    config = OnePixelConfig(population=8, generations=3)
    model = load_external(str(save_script(net, tmp_path / "net.pt")))
    ours = OnePixelAttack(model, config).run(pictures, labels).outcomes
    theirs = OnePixelAttack(net, config).run(pictures, labels).outcomes
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.status == reference.status
        assert mine.queries == reference.queries
        assert mine.edits == reference.edits


# Checked


@pytest.fixture(scope="module")
def good() -> Classifier:
    return load_model("cifar10-resnet20-vanilla")


class Around(nn.Module):
    """A model with something done to its images and to its logits."""

    def __init__(self, model: nn.Module, before=lambda x: x, after=lambda x: x) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.model(self.before(images)))


class BatchStatistics(nn.Module):
    """Images by their own batch's brightness, in whatever mode."""

    def forward(self, images: Tensor) -> Tensor:
        return images - images.mean((0, 2, 3), keepdim=True) + 0.5


def in_training(model: Around) -> Around:
    """With one part of it in training mode."""
    model.model[0].train()
    return model


def in_eights(images: Tensor) -> Tensor:
    return images.unflatten(0, (-1, 8)).flatten(0, 1)


def test_a_good_model_passes_and_is_left_as_it_was(good: Classifier) -> None:
    before = {name: tensor.clone() for name, tensor in good.state_dict().items()}
    checked = check_model(good, *check_images())
    assert (checked.classes, checked.tested, checked.differentiable) == (10, 64, True)
    assert checked.correct >= 55
    assert checked.notes == ()
    assert all(torch.equal(tensor, before[name]) for name, tensor in good.state_dict().items())
    assert all(weight.grad is None for weight in good.parameters())


FINE = {
    "log-probabilities": lambda m: Around(m, after=lambda y: y.log_softmax(1)),
    "large logits": lambda m: Around(m, after=lambda y: y * 1000 - 5000),
    "small logits": lambda m: Around(m, after=lambda y: y / 1e4),
    "half precision": lambda m: Around(m, after=lambda y: y.bfloat16()),
    "whole numbers": lambda m: Around(m, after=lambda y: (100 * y).long()),
    "writing into its input": lambda m: Around(m, before=lambda x: x.sub_(0.02)),
    "more classes": lambda m: Around(m, after=lambda y: nn.functional.pad(y, (0, 90), value=-50)),
}


@pytest.mark.parametrize("wrap", FINE.values(), ids=FINE)
def test_what_is_only_unusual_passes(good: Classifier, wrap) -> None:
    assert check_model(wrap(good), *check_images(count=10)).correct == 10


def raises(_: Tensor) -> Tensor:
    raise ZeroDivisionError("Nothing here. Go on.")


MISTAKES = {
    "raises": (lambda m: Around(m, raises), r"fails on images .*ZeroDivisionError: Nothing here\)"),
    "channels last unforeseen": (
        lambda m: Around(m, lambda x: x.view(len(x), -1).view(x.shape)),
        "fails on .*RuntimeError: view size",
    ),
    "no tensor": (lambda m: Around(m, after=lambda y: (y, y)), r"returned a tuple .*answer\[0\]"),
    "one answer for all": (lambda m: Around(m, after=lambda y: y.mean(0)), r"returned \(10,\)"),
    "squeezes": (lambda m: Around(m, after=lambda y: y.squeeze()), r"returned \(10,\) for 1 im"),
    "one class": (lambda m: Around(m, after=lambda y: y[:, :1]), "returns 1 logits an image"),
    "too few classes": (lambda m: Around(m, after=lambda y: y[:, :5]), "labels go up to 9"),
    "not a number": (lambda m: Around(m, after=lambda y: y / 0), "not a finite number"),
    "softmax": (lambda m: Around(m, after=lambda y: y.softmax(1)), "returns probabilities, not lo"),
    "one-hot": (
        lambda m: Around(m, after=lambda y: nn.functional.one_hot(y.argmax(1), 10).float()),
        "returns probabilities, not lo",
    ),
    "in training": (lambda m: Around(m).train(), "The model is in training mode"),
    "part in training": (
        lambda m: in_training(Around(nn.Sequential(nn.Dropout(), m))),
        "model.0 is",
    ),
    "noise": (lambda m: Around(m, lambda x: x + 0.02 * torch.randn_like(x)), "give --draws"),
    "dropout left on": (lambda m: Around(m, after=nn.functional.dropout), "look for dropout"),
    "batch statistics": (lambda m: Around(nn.Sequential(BatchStatistics(), m)), "other images in"),
    "noise by position": (
        lambda m: Around(m, lambda x: x + torch.linspace(0, 0.2, len(x)).view(-1, 1, 1, 1)),
        "other images in its batch",
    ),
    "batches of eight": (lambda m: Around(m, in_eights), r"fails on images \(1, 3, 32, 32\)"),
}


@pytest.mark.parametrize(("wrap", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(good: Classifier, wrap, said: str) -> None:
    model = wrap(good)
    found = said_by(lambda: check_model(model, *check_images(count=16)))
    good.eval()  # one of them is in training mode, and takes it along
    assert re.search(said, found), found


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (lambda x: x / 255, "expect images in [0, 255]: "),
        (lambda x: x * CIFAR.std + CIFAR.mean, "expect images normalised by CIFAR-10's mean"),
        (lambda x: x * IMAGENET.std + IMAGENET.mean, "or ImageNet's mean and standard deviation: "),
        (CIFAR, "normalise twice by CIFAR-10's mean"),
    ],
    ids=["0-255", "CIFAR-10", "ImageNet", "CIFAR-10 twice"],
)
def test_a_wrong_scaling_is_named(good: Classifier, before, said: str) -> None:
    found = said_by(lambda: check_model(Around(good, before), *check_images(count=30)))
    assert found.startswith("The model seems to ")
    assert said in found


class Tens(nn.Module):
    """Two classes: of images numbered by their shade, the first is right in [0, 1], and some more
    are in [0, 255]."""

    def __init__(self, right: int) -> None:
        super().__init__()
        self.right = right

    def forward(self, images: Tensor) -> Tensor:
        shades = images[:, 0, 0, 0]
        whole = shades > 1
        number = (torch.where(whole, shades, shades * 255) / 10).round().long()
        right = number < torch.where(whole, self.right, 1)
        return nn.functional.one_hot(torch.where(right, number % 2, 1 - number % 2), 2) * 5.0


def test_of_few_images_a_scaling_must_get_many_more_right() -> None:
    """On a person's six pictures of two classes, chance gets three more right now and then."""
    images = torch.arange(6).mul(10)[:, None, None, None].expand(-1, 1, 8, 8).to(torch.uint8)
    labels = torch.arange(6) % 2
    check = check_model(Tens(4).eval(), images, labels)
    assert check.correct == 1
    assert not any("expect" in note for note in check.notes)
    with pytest.raises(InputError, match=r"\[0, 255\]: 5 of 6 sample images"):
        check_model(Tens(5).eval(), images, labels)


def test_a_scaling_that_is_only_a_little_better_is_noted(good, monkeypatch) -> None:
    monkeypatch.setattr("apr_core.zoo.external.check.BETTER", 2)  # nothing is that much better
    normalised = Around(good, lambda x: x * CIFAR.std + CIFAR.mean)
    (note,) = check_model(normalised, *check_images(count=30)).notes
    assert ONE_SENTENCE.fullmatch(note)
    assert note.startswith("The model may expect images normalised by ")


def test_a_model_that_draws_at_random_may_be_meant_to(good: Classifier) -> None:
    noisy = Around(good, lambda x: x + 0.02 * torch.randn_like(x))
    assert check_model(noisy, *check_images(count=20), randomised=True).correct >= 10


def test_a_model_at_chance_passes_with_a_note(network: Classifier) -> None:
    (note,) = check_model(network, *check_images(count=30)).notes
    assert "no more than chance would" in note


def test_gradients_that_do_not_come_back_are_told(good: Classifier) -> None:
    coarse = Around(good, lambda x: (x * 31).round() / 31)
    checked = check_model(coarse, *check_images(count=20))
    assert not checked.differentiable
    assert "gradient attacks cannot be used" in checked.notes[0]


def test_the_images_to_check_with_are_of_every_class() -> None:
    images, labels = check_images(count=20)
    assert images.shape == (20, 3, 32, 32)
    assert labels.tolist() == list(range(10)) * 2
