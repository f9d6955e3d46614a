from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from commonspace import checks, errors
from commonspace.errors import InputError, MissingExtraError, NotFoundError


def test_features_become_float32_without_a_copy_where_they_are():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.shares_memory(checks.as_features(x, where="x"), x)
    for other in (x.astype(np.float64), x.astype(np.int8), np.asfortranarray(x), x.tolist(), x > 2):
        out = checks.as_features(other, where="x", n_features=3)
        assert out.dtype == np.float32 and out.flags.c_contiguous
        np.testing.assert_array_equal(out, np.asarray(other, dtype=np.float32))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2], [3.0]], "unequal length"),
        ([["a", "b"]], "expected numbers, got an array of dtype <U1"),
        (np.array([[1j]]), "expected numbers"),
        (np.array([[None]]), "expected numbers"),
        (np.zeros(3), r"got shape \(3,\)\. For one item pass x\[None, :\]"),
        (np.zeros((2, 3, 4)), r"got shape \(2, 3, 4\)\."),
        (np.zeros((2, 5)), r"expected 3 features \(as in fit\), got 5 .* \(2, 5\)"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "got nan at row 1, column 1"),
        (np.array([[0, 0, -np.inf]]), "got -inf at row 0, column 2"),
        (np.array([[0, np.inf, -np.inf]]), r"got inf at row 0, column 1 \(the first of 2\)"),
        (np.array([[1e300, 0, 0]]), "got inf at row 0, column 0"),
        (None, r"expected a matrix \(items, features\), got NoneType\."),
        (sparse.csr_array(np.eye(3)), r"got csr_array\. Pass x\.toarray\(\)\."),
        (torch.zeros(2, 3, requires_grad=True), r"got Tensor that numpy cannot read: .*detach"),
    ],
)
def test_wrong_features_are_named(x, message):
    with pytest.raises(InputError, match=message) as caught:
        checks.as_features(x, where="modality 'text'", n_features=3)
    assert str(caught.value).startswith("modality 'text': ")
    assert isinstance(caught.value, ValueError)


def test_no_features_at_all():
    with pytest.raises(InputError, match="at least one feature"):
        checks.as_features(np.zeros((2, 0)), where="x")
    assert checks.as_features(np.zeros((0, 2)), where="x").shape == (0, 2)


@pytest.mark.parametrize("block", [1, 5, 7, 1000])
def test_the_first_wrong_row_is_found_in_any_block(block):
    x = np.zeros((50, 3), np.float32)
    x[37, 2] = np.nan
    with pytest.raises(InputError, match="row 37, column 2"):
        checks.check_finite(x, where="x", block=block)


def test_a_sum_that_overflows_is_no_wrong_number():
    checks.check_finite(np.full((4, 3), 1e308), where="x")
    checks.as_features(np.full((4, 3), 3e38, np.float32), where="x")


def test_ids():
    assert checks.as_ids(["a", 3, "ü"], where="items").tolist() == ["a", "3", "ü"]
    assert checks.as_ids([], where="items").dtype.kind == "U"
    with pytest.raises(InputError, match=r"items: id '1' .* row 2"):
        checks.as_ids([1, 2, "1"], where="items")
    with pytest.raises(InputError, match="items: expected 2 ids, got 1"):
        checks.as_ids(["a"], where="items", n=2)
    for wrong in ("", "a\0b"):
        with pytest.raises(InputError, match="items: the id at row 1"):
            checks.as_ids(["a", wrong], where="items")


@pytest.mark.parametrize("value", [0.5, 0, 1, np.float32(0.25), np.int64(1)])
def test_numbers_within_the_range(value):
    checks.check_range("lam", value, low=0, high=1)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", None, True, [0.5]])
def test_anything_else_is_named(value):
    with pytest.raises(InputError, match="lam: expected a number from 0 up to 1, got"):
        checks.check_range("lam", value, low=0, high=1)


def test_whole_numbers_and_choices():
    checks.check_range("dim", np.int32(4), low=1, integer=True)
    with pytest.raises(InputError, match=r"dim: expected a whole number from 1, got 4\.0"):
        checks.check_range("dim", 4.0, low=1, integer=True)
    checks.check_one_of("variant", "code", ("code", "paper"))
    with pytest.raises(InputError, match="variant: expected one of 'code', 'paper', got 'Code'"):
        checks.check_one_of("variant", "Code", ("code", "paper"))


@pytest.mark.parametrize("value", [7, "abc", b"abc", None])
def test_a_text_or_a_number_is_no_list_of_ids_or_names(value):
    with pytest.raises(InputError, match=f"^col: expected one id a row, got {value!r}"):
        checks.as_ids(value, where="col")
    with pytest.raises(InputError, match=f"^classes: expected a list of names .* got {value!r}"):
        checks.check_names("classes", value)


@pytest.mark.parametrize(
    ("check", "good", "wrong"),
    [
        (checks.check_widths, [[], [3], (4, 2)], [64, "64", [0], [1.5], [True], None]),
        (checks.check_rates, [1e-3, {"a": 1e-3, "*": 1}], [0, "fast", {"a": 1, "b": -1}, np.nan]),
        (checks.check_betas, [(0.5, 0.999), [0, 0]], [0.9, [0.9], (0.9, 1.0), "ab", (-1, 0), None]),
        (lambda value: checks.check_flag("flag", value), [True, np.False_], [1, "False", None]),
    ],
    ids=["widths", "rates", "betas", "flag"],
)
def test_settings_of_training(check, good, wrong):
    for value in good:
        check(value)
    for value in wrong:
        with pytest.raises(InputError, match="expected"):
            check(value)


def test_the_nearest_name_is_offered():
    error = checks.not_found("modality", "txet", ["image", "text"], hint="In labels.")
    assert str(error) == (
        "no modality named 'txet'. There are: 'image', 'text'. Did you mean 'text'? In labels."
    )
    assert isinstance(error, KeyError) and isinstance(error, NotFoundError)
    assert "There is none." in str(checks.not_found("class", "a", []))


def test_a_missing_extra_says_how_to_install_it():
    assert checks.require("json", extra="demo", what="the demo") is not None
    with pytest.raises(MissingExtraError, match=r"pip install 'commonspace\[demo\]'") as caught:
        checks.require("no_such_package.part", extra="demo", what="the demo")
    assert isinstance(caught.value, ImportError) and "'no_such_package'" in str(caught.value)


def test_every_error_is_one_of_ours_and_a_built_in():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and name not in ("CommonspaceError", "annotations"):
            assert issubclass(kind, errors.CommonspaceError)
            bases = [b for b in kind.__mro__ if b.__module__ == "builtins"]
            assert bases[0] not in (Exception, BaseException, object)


@pytest.mark.parametrize("value", [8, 64, np.int64(128)])
def test_whole_bytes_pass(value):
    checks.check_bits("bits", value, high=128)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (12, "bits: expected a multiple of 8 from 8 to 128, got 12"),
        (0, "from 8 up to 128, got 0"),
        (136, "from 8 up to 128, got 136"),
        (16.0, "a whole number"),
        (True, "a whole number"),
        ("64", "a whole number"),
    ],
)
def test_other_numbers_of_bits_are_named(value, message):
    with pytest.raises(InputError, match=message):
        checks.check_bits("bits", value, high=128)
