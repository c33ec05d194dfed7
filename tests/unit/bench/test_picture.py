from pathlib import Path

from PIL import Image

from tests.bench.picture import draw
from tests.bench.results import summaries
from tests.unit.bench.visits import visit


def test_a_picture_is_written_as_a_png(tmp_path: Path) -> None:
    draw(summaries([visit("a", speed=150), visit("vllm")]), "a model on a machine", tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 1000
