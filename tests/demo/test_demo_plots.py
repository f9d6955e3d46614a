import numpy as np
import pytest

from commonspace.demo import plot_training
from commonspace.errors import InputError

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")


def history(n, valid=True):
    epochs = [{"epoch": e, "train_loss": 1 / (e + 1)} for e in range(n)]
    return [{**epoch, "valid_loss": 0.5} for epoch in epochs] if valid else epochs


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_png_with_a_panel_a_modality(tmp_path, count):
    histories = {f"m{i}": history(5, valid=i % 2 == 1) for i in range(count)}
    path = plot_training(histories, tmp_path / "loss.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def test_numpy_numbers_and_missing_validation(tmp_path):
    epochs = [{"train_loss": np.float32(1.0), "valid_loss": None}, {"train_loss": np.float64(0.5)}]
    assert plot_training({"image": epochs}, tmp_path / "loss.png").stat().st_size > 1000


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one modality"):
        plot_training({}, tmp_path / "loss.png")
    with pytest.raises(InputError, match="'text'"):
        plot_training({"image": history(2), "text": [{"epoch": 0}]}, tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())
