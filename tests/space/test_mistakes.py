"""All mistakes in a space and their messages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotrain.errors import SpaceError
from autotrain.space.search_space import SearchSpace

ACTIVATIONS = "sigmoid, tanh, relu, softplus, leaky_relu, prelu, elu, selu, gelu, silu, mish"
SECTIONS = (
    "network, training, scaler, missing, encoder, embedding, input_scale, parametrization, "
    "initializer, activation, batch_norm, dropout, clipping, optimizer, schedule, regularizer, "
    "weight_decay, constraint, early_stopping, loss, target, extends, forbid, baseline, when"
)

# (the file, its mistakes)
CASES: dict[str, tuple[str, list[str]]] = {
    "unknown section": (
        "[activaton]\nchoices = ['relu']",
        [f"[activaton]: no section 'activaton'. Did you mean 'activation'? Known: {SECTIONS}."],
    ),
    "parameter as a section": (
        "[learning_rate]\nlow = 0.1",
        [
            f"[learning_rate]: no section 'learning_rate'. Known: {SECTIONS}. "
            "'learning_rate' belongs to [optimizer] learning_rate.",
        ],
    ),
    "unknown key": (
        "[optimizer]\nlearning_rat = 0.1",
        [
            "[optimizer] learning_rat: no key of [optimizer] 'learning_rat'. "
            "Did you mean 'learning_rate'? Known: choices, learning_rate, sgd, momentum, nesterov, "
            "adagrad, rmsprop, adam, adamax, nadam, adamw."
        ],
    ),
    "key of another section": (
        "[network]\npatience = 3",
        [
            "[network] patience: no key of [network] 'patience'. Known: hidden_units, "
            "hidden_layers. 'patience' belongs to [early_stopping] patience.",
        ],
    ),
    "unknown technique": (
        "[activation]\nchoices = ['relu', 'leakyrelu']",
        [
            "[activation] choices: no activation 'leakyrelu'. Did you mean 'leaky_relu'? "
            f"Known: {ACTIVATIONS}."
        ],
    ),
    "unknown technique, short form": (
        "constraint = 'maxnorm'",
        [
            "[constraint] choice: no constraint 'maxnorm'. Did you mean 'max_norm'? "
            "Known: none, max_norm."
        ],
    ),
    "technique twice": (
        "[activation]\nchoices = ['relu', 'elu', 'relu']",
        ["[activation] choices must contain every name once, got 'relu' twice."],
    ),
    "no technique": (
        "[constraint]\nchoices = []",
        ["[constraint] choices must contain at least one name, got []. Known: none, max_norm."],
    ),
    "choices of another type": (
        "[constraint]\nchoices = 'none'",
        ['[constraint] choices must be a list of names, got "none".'],
    ),
    "technique that is not text": (
        "[constraint]\nchoices = [false, 'none']",
        ["[constraint] choices must be text, got false. Known: none, max_norm."],
    ),
    "choices and choice": (
        "[constraint]\nchoices = ['none']\nchoice = 'none'",
        ["[constraint] choices must not be combined with choice. Remove one."],
    ),
    "choices of a section without techniques": (
        "[regularizer]\nchoices = ['l1']",
        ["[regularizer] choices: this section has no choices. Known: l1, l2."],
    ),
    "section of another type": (
        "activation = 3\nloss = false",
        [
            '[activation] must be a table or the name of one choice, such as "relu", got 3.',
            "[loss] must be a table with label_smoothing, got false.",
        ],
    ),
    "text for a section without techniques": (
        "network = '300-100'",
        ['[network] must be a table with hidden_units or hidden_layers, got "300-100".'],
    ),
    "unknown parameter of a technique": (
        "[activation]\nchoices = ['leaky_relu']\nleaky_relu.slope = 0.1",
        [
            "[activation] leaky_relu.slope: no parameter 'slope'. Known: negative_slope, "
            "parametric, mix_learning_rate."
        ],
    ),
    "technique without parameters": (
        "[initializer]\nhe_normal.slope = 0.1",
        ["[initializer] he_normal.slope: he_normal has no parameters."],
    ),
    "value for a technique": (
        "[activation]\nchoices = ['leaky_relu']\nleaky_relu = 0.1",
        [
            "[activation] leaky_relu must be a table, got 0.1. Write "
            "leaky_relu.negative_slope = ....",
        ],
    ),
    "parameter of a technique that is not chosen": (
        "[optimizer]\nchoices = ['adam', 'sgd']\nnesterov.momentum = 0.9",
        [
            "[optimizer] nesterov must be one of the choices to have an effect, got choices "
            "adam, sgd. Add 'nesterov' to choices or leave it out.",
        ],
    ),
    "parameter of a technique, nothing chosen": (
        "[clipping]\nvalue.threshold = 1.0",
        [
            "[clipping] value must be one of the choices to have an effect, got choices "
            "none, the default. Add 'value' to choices or leave it out.",
        ],
    ),
    "shared parameter for a technique that does not use it": (
        "[dropout]\nchoices = ['none', 'dropout']\nnone.rate = 0.1",
        ["[dropout] none.rate has no effect with 'none'. Leave it out."],
    ),
    "low above high": (
        "[network]\nhidden_layers = { low = 4, high = 1 }",
        [
            "[network] hidden_layers must have low at most high, got low = 4, high = 1. Swap them.",
        ],
    ),
    "log from 0": (
        "[regularizer]\nl2 = { low = 0.0, high = 1.0, log = true }",
        ["[regularizer] l2.low must be greater than 0 when log = true, got 0.0."],
    ),
    "log of another type": (
        "[regularizer]\nl2 = { low = 0.1, high = 1.0, log = 'yes' }",
        ['[regularizer] l2.log must be true or false, got "yes".'],
    ),
    "step 0": (
        "[regularizer]\nl2 = { low = 0.1, high = 1.0, step = 0 }",
        ["[regularizer] l2.step must be a number greater than 0, got 0."],
    ),
    "step below 0": (
        "[network]\nhidden_layers = { low = 1, high = 4, step = -1 }",
        ["[network] hidden_layers.step must be an integer greater than 0, got -1."],
    ),
    "step and log": (
        "[regularizer]\nl2 = { low = 0.1, high = 1.0, log = true, step = 0.1 }",
        ["[regularizer] l2.step must not be combined with log = true. Remove one."],
    ),
    "step with many digits": (
        "[regularizer]\nl2 = { low = 0.0, high = 0.4, step = 0.08895292837895519 }",
        [
            "[regularizer] l2.step must have few digits, so that low + n · step has a finite "
            "decimal form, got low = 0.0, step = 0.08895292837895519. Round them, or write "
            "choices.",
        ],
    ),
    "too many steps": (
        "[regularizer]\nl2 = { low = 0.1, high = 1e300, step = 1e-300 }",
        ["[regularizer] l2.step must give at most 1,000,000 values, got 1e-300."],
    ),
    "step that is not an integer": (
        "[network]\nhidden_layers = { low = 1, high = 4, step = 0.5 }",
        ["[network] hidden_layers.step must be an integer greater than 0, got 0.5."],
    ),
    "bounds that are not integers": (
        "[network]\nhidden_layers = { low = 1.5, high = 2.0 }",
        [
            "[network] hidden_layers.low must be an integer of at least 0 and at most 64, got 1.5.",
            "[network] hidden_layers.high must be an integer of at least 0 and at most 64, "
            "got 2.0.",
        ],
    ),
    "bound outside the legal range": (
        "[dropout]\nrate = { low = 0.1, high = 1.0 }",
        ["[dropout] rate.high must be a number of at least 0 and at most 0.99, got 1.0."],
    ),
    "bound missing": (
        "[dropout]\nrate = { low = 0.1 }",
        ["[dropout] rate.high is missing. A range is { low = ..., high = ... }."],
    ),
    "text as a bound": (
        "[network]\nhidden_units = { low = '64', high = 128 }",
        ['[network] hidden_units.low must be a number, got "64".'],
    ),
    "empty domain": (
        "[dropout]\nrate = {}",
        [
            "[dropout] rate.low is missing. A range is { low = ..., high = ... }.",
            "[dropout] rate.high is missing. A range is { low = ..., high = ... }.",
        ],
    ),
    "unknown key of a domain": (
        "[dropout]\nrate = { lo = 0.1, high = 0.2 }",
        [
            "[dropout] rate.lo: no key of a range or list 'lo'. Did you mean 'low'? "
            "Known: choices, low, high, log, step."
        ],
    ),
    "range and choices": (
        "[dropout]\nrate = { low = 0.1, high = 0.2, choices = [0.1] }",
        ["[dropout] rate must be either choices or a range, got choices and low and high."],
    ),
    "range of a boolean": (
        "[batch_norm]\ninput = { low = 0, high = 1 }",
        [
            "[batch_norm] input must be true or false or { choices = [...] }, "
            "got { low = 0, high = 1 }."
        ],
    ),
    "value outside the legal range": (
        "[dropout]\nrate = 1.5",
        ["[dropout] rate must be a number of at least 0 and at most 0.99, got 1.5."],
    ),
    "value of another type": (
        "[dropout]\nrate = '0.5'\n[batch_norm]\ninput = 'true'",
        [
            '[batch_norm] input must be true or false, got "true".',
            '[dropout] rate must be a number of at least 0 and at most 0.99, got "0.5".',
        ],
    ),
    "not a number, infinite": (
        "[regularizer]\nl1 = nan\nl2 = { low = 0.1, high = inf }",
        [
            "[regularizer] l1 must be a number of at least 0, got nan.",
            "[regularizer] l2.high must be a number of at least 0, got inf.",
        ],
    ),
    "number beyond all floats": (
        f"[regularizer]\nl1 = 1{'0' * 400}",
        [
            f"[regularizer] l1 must be a number of at least 0, got 1{'0' * 400}.",
        ],
    ),
    "date": (
        "[regularizer]\nl1 = 2020-01-01",
        ["[regularizer] l1 must be a number of at least 0, got datetime.date(2020, 1, 1)."],
    ),
    "list for one value": (
        "[network]\nhidden_units = [64, 128]",
        [
            "[network] hidden_units must be one value, got [64, 128]. Write { choices = [64, "
            "128] } to try each of them.",
        ],
    ),
    "illegal widths": (
        "[network]\nhidden_units = { choices = [64, '300-', 0] }",
        [
            "[network] hidden_units.choices must be an integer of at least 1 and at most "
            "65,536, or the width "
            'of each layer as text like "300-100", got "300-".',
            "[network] hidden_units.choices must be an integer of at least 1 and at most "
            "65,536, or the width "
            'of each layer as text like "300-100", got 0.',
        ],
    ),
    "no values": (
        "[network]\nhidden_units = { choices = [] }",
        ["[network] hidden_units.choices must contain at least one value, got []."],
    ),
    "values of another type": (
        "[network]\nhidden_units = { choices = 64 }",
        ["[network] hidden_units.choices must be a list, got 64."],
    ),
    "value twice": (
        "[regularizer]\nl1 = { choices = [0, 0.1, 0.0] }",
        ["[regularizer] l1.choices must contain every value once, got 0.0 twice."],
    ),
    "auto in the wrong place": (
        "[network]\nhidden_layers = 'auto'",
        [
            '[network] hidden_layers must be an integer of at least 0 and at most 64, got "auto".',
        ],
    ),
    "almost auto": (
        "[training]\nbatch_size = 'atuo'",
        [
            "[training] batch_size must be an integer of at least 1 and at most "
            '1,000,000,000, or "auto", got "atuo".'
        ],
    ),
    "forbid of another type": (
        "[forbid]\nactivation = 'relu'",
        [
            '[[forbid]] must be tables, got { activation = "relu" }. Write [[forbid]].',
        ],
    ),
    "forbid is empty": (
        "[[forbid]]",
        ["[[forbid]] 1 must be a table of names and values, got {}."],
    ),
    "forbid of an unknown name": (
        "[[forbid]]\nactivaton = 'relu'\nactivation = 'relu'",
        [
            "[[forbid]] 1: activaton: no section 'activaton'. Did you mean 'activation'? "
            f"Known: {SECTIONS.removesuffix(', extends, forbid, baseline, when')}."
        ],
    ),
    "forbid of a technique that is not chosen": (
        "activation = 'elu'\n[[forbid]]\nactivation = ['relu', 'elu']\ndropout = 'none'",
        [
            '[[forbid]] 1: activation must be one of the choices, got "relu". Choices: elu.',
            '[[forbid]] 1: dropout must be one of the choices, got "none". Choices: dropout.',
        ],
    ),
    "forbid of a range of reals": (
        "[dropout]\nrate = { low = 0.1, high = 0.5 }\n[[forbid]]\n'dropout.rate' = 0.2",
        [
            "[[forbid]] 1: dropout.rate must be a parameter with countable values, got one "
            "with a continuous range.",
        ],
    ),
    "forbid of a value outside the space": (
        "[[forbid]]\nnetwork.hidden_layers = 5",
        ["[[forbid]] 1: network.hidden_layers must be a value of the space, got 5."],
    ),
    "everything forbidden": (
        "[activation]\nchoices = ['relu', 'elu']\n"
        "[[forbid]]\nactivation = 'relu'\n[[forbid]]\nactivation = 'elu'\ndropout = 'dropout'",
        [
            "[[forbid]] must leave at least one combination, got none. These rules forbid "
            'all: activation = "relu"; activation = "elu", dropout = "dropout".',
        ],
    ),
    "baseline of another type": (
        "baseline = [3]",
        ["[[baseline]] 1 must be a table of names and values, got 3."],
    ),
    "baseline outside the choices": (
        "[activation]\nchoices = ['relu', 'elu']\n[[baseline]]\nactivation = 'selu'",
        [
            "[[baseline]] 1: activation: no choice of activation 'selu'. Did you mean 'elu'? "
            "Known: relu, elu."
        ],
    ),
    "baseline outside a range": (
        "[dropout]\nrate = { low = 0.1, high = 0.5 }\n"
        "[[baseline]]\n[[baseline]]\n'dropout.rate' = 0.6",
        ["[[baseline]] 2: dropout.rate must be in the space, got 0.6."],
    ),
    "baseline outside a list": (
        "[network]\nhidden_units = { choices = [64, 128] }\n"
        "[[baseline]]\nnetwork.hidden_units = 100",
        ["[[baseline]] 1: network.hidden_units must be in the space, got 100."],
    ),
    "baseline against a fixed value": (
        "[[baseline]]\nnetwork.hidden_layers = 3",
        [
            "[[baseline]] 1: network.hidden_layers must be 2, the only value in the space, got 3.",
        ],
    ),
    "baseline with an illegal value": (
        "[[baseline]]\nnetwork.hidden_layers = -3",
        [
            "[[baseline]] 1: network.hidden_layers must be an integer of at least 0 and at most "
            "64, got -3."
        ],
    ),
    "baseline with a parameter without effect": (
        "[activation]\nchoices = ['relu', 'leaky_relu']\n[batch_norm]\nchoices = ['off', "
        "'after_activation']\n[[baseline]]\nactivation = { choice = 'relu', "
        "leaky_relu.negative_slope = 0.01 }\nbatch_norm = { choice = 'off', momentum = 0.9 }",
        [
            "[[baseline]] 1: activation.leaky_relu.negative_slope has no effect with "
            'activation = "relu". It needs activation = "leaky_relu".',
            "[[baseline]] 1: batch_norm.momentum has no effect with the rest of this "
            "baseline. Leave it out.",
        ],
    ),
    "baseline that is forbidden": (
        "[activation]\nchoices = ['relu', 'elu']\n"
        "[initializer]\nchoices = ['normal', 'he_normal']\n"
        "[[forbid]]\nactivation = 'elu'\ninitializer = 'normal'\n"
        "[[baseline]]\nactivation = 'elu'\ninitializer = 'normal'",
        [
            '[[baseline]] 1 must not be a forbidden combination, got activation = "elu", '
            'initializer = "normal".',
        ],
    ),
    "extends of another type": (
        "extends = ['default']",
        ['extends must be a name or path, got ["default"].'],
    ),
    "extends something unknown": (
        "extends = 'quik'",
        [
            "extends: no search space 'quik'. Did you mean 'quick'? "
            "Known: default, deep, notes, notes_plus, quick, regularized. "
            "Or give the path of a file."
        ],
    ),
}


def place_of(mistake: str) -> str:
    return re.split(r":| must | has | is ", mistake)[0]


@pytest.mark.parametrize(("text", "mistakes"), CASES.values(), ids=CASES.keys())
def test_mistakes(text: str, mistakes: list[str]) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace(tomllib.loads(text))
    assert list(caught.value.mistakes) == mistakes


def test_all_mistakes_are_reported_at_once() -> None:
    texts = [
        "[activaton]\nx = 1",
        "[network]\nhidden_layers = { low = 4, high = 1 }\nunits = 3",
        "[optimizer]\nchoices = ['adan']\nadam.beta_1 = 2\nlearning_rate = 0",
        "[clipping]\nvalue.threshold = 0",
        "[[forbid]]\ndropout = 'drop'",
        "[[baseline]]\nactivation = 'rely'\nloss.label_smoothing = 2",
        "[[baseline]]\n'network.hidden_layers' = 77",
    ]
    with pytest.raises(SpaceError) as caught:
        SearchSpace(tomllib.loads("\n".join(texts)), source="mine.toml")
    assert [place_of(mistake) for mistake in caught.value.mistakes] == [
        "[activaton]",
        "[network] hidden_layers",
        "[network] units",
        "[clipping] value.threshold",
        "[clipping] value",
        "[optimizer] choices",
        "[optimizer] learning_rate",
        "[optimizer] adam.beta_1",
        "[[forbid]] 1",
        "[[baseline]] 1",
        "[[baseline]] 1",
        "[[baseline]] 2",
    ]
    assert str(caught.value).startswith("mine.toml: 12 mistakes\n  [activaton]: ")


def test_each_mistake_is_reported_once() -> None:
    # Baselines, forbids and parameters that use a wrong domain or name are not reported again.
    text = """
    [activation]
    choices = ["rely", "leaky_relu"]
    elu.alpha = 1.0
    [network]
    hidden_layers = { low = 3, high = 1 }
    [[forbid]]
    activation = "relu"
    network.hidden_layers = 2
    [[baseline]]
    activation = "relu"
    network.hidden_layers = 1
    """
    with pytest.raises(SpaceError) as caught:
        SearchSpace(tomllib.loads(text))
    assert [place_of(mistake) for mistake in caught.value.mistakes] == [
        "[network] hidden_layers",
        "[activation] choices",
    ]


@pytest.mark.parametrize(
    ("space", "mistakes"),
    [
        ({3: 4}, ["space: keys must be text, got 3."]),
        ({"activation": {4: 5}}, ["[activation]: keys must be text, got 4."]),
        ({"activation": None}, None),
        ({"dropout": {"rate": object()}}, None),
        ({"dropout": {"rate": {1, 2}}}, None),
        ({"dropout": {"rate": {"choices": [None]}}}, None),
        ({"forbid": "x", "baseline": "y"}, None),
        ({"forbid": [{"activation": {"x": {"y": 1}}}]}, None),
        ({"forbid": [{"activation": []}]}, None),
        ({"baseline": [{"activation": ["relu"]}]}, None),
        ({"baseline": [{"activation": {"choice": {"choice": "relu"}}}]}, None),
        ({"activation": {"choices": [["relu"]]}}, None),
        ({"activation": {"choices": {"relu": 1}}}, None),
        ({"activation": {"choice": ["relu"]}}, None),
        ({"extends": ""}, None),
        ({"extends": "\0"}, None),
        ({"extends": "~nobody/x.toml"}, None),
    ],
)
def test_any_wrong_dictionary_raises_a_space_error(
    space: dict[Any, Any], mistakes: list[str] | None
) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace(space)
    assert mistakes is None or list(caught.value.mistakes) == mistakes


def test_numbers_and_lists_of_numpy_are_read() -> None:
    space = SearchSpace(
        {
            "network": {"hidden_units": {"choices": np.array([64, 128])}},
            "optimizer": {"learning_rate": {"low": np.float32(0.5), "high": np.float64(1)}},
            "schedule": {
                "choices": ("piecewise",),
                "piecewise": {"boundaries": np.array([1, 2.0])},
            },
        }
    )
    assert space.to_dict()["network"]["hidden_units"] == {"choices": [64, 128]}
    assert space.to_dict()["optimizer"]["learning_rate"] == {"low": 0.5, "high": 1.0}


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (b"[activation\n", "line 1, column 12 is not TOML: Expected ']' at the end of a table"),
        (b"\n[network]\nx = \n", "line 3, column 5 is not TOML: Invalid value"),
        (b"x = 1\nx = 2\n", "line 2, column 6 is not TOML: Cannot overwrite a value"),
        (b"x = [1,", "end of document is not TOML: Invalid value"),
        (b"# fine\nx = '\xff'\n", "line 2 must be UTF-8 text"),
    ],
)
def test_invalid_toml(tmp_path: Path, content: bytes, mistake: str) -> None:
    path = tmp_path / "wide.toml"
    path.write_bytes(content)
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_toml(path)
    assert str(caught.value).startswith(f"{path}: 1 mistake\n  ")
    (found,) = caught.value.mistakes
    assert found.startswith(mistake)


def test_missing_file_suggests_similar_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wide.toml").write_text("activation = 'relu'")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_toml("wdie.toml")
    assert str(caught.value) == (
        "wdie.toml: 1 mistake\n  no search space 'wdie.toml'. Did you mean 'wide.toml'? "
        "Known: default, deep, notes, notes_plus, quick, regularized, wide.toml. "
        "Or give the path of a file."
    )
    with pytest.raises(SpaceError, match="Did you mean 'default'"):
        SearchSpace.from_toml("defautl")
    with pytest.raises(SpaceError, match=r"Did you mean '\./wide\.toml'"):
        SearchSpace.from_toml("./wid.toml")
    with pytest.raises(SpaceError, match="no search space"):
        SearchSpace.from_toml("nowhere/wide.toml")
    with pytest.raises(SpaceError, match="must be a file, got a folder"):
        SearchSpace.from_toml(tmp_path)
