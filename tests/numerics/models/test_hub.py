"""Published models read back from disk beside the models of transformers that were written there, and beside PIL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from published_models import CLASSES, FAMILIES, publish, publish_xclip
from torch import Tensor

from tubelet.models.hub import load_hub_model, rebuilt_hub_model
from tubelet.models.hub_preprocessing import HubPreprocessing, read_preprocessing


@pytest.fixture
def video() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def frames() -> Tensor:
    """Pictures with edges and gradients, wider than high."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (4, 9, 14, 3), dtype=np.uint8)
    return torch.from_numpy(np.stack([np.asarray(Image.fromarray(p).resize((140, 90), 2)) for p in coarse]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_read_back_gives_the_logits_of_the_one_that_was_saved(
    family: str, video: Tensor, tmp_path: Path
) -> None:
    peer = publish(tmp_path, family)
    model = load_hub_model(tmp_path)
    inputs = {"pixel_values_videos" if family == "vjepa2" else "pixel_values": video.transpose(1, 2)}
    theirs = peer(**inputs).logits
    torch.testing.assert_close(model(video), theirs)
    assert float(theirs.detach().std()) > 0.01
    assert model.classes == CLASSES and model.fresh == ()
    torch.testing.assert_close(model.head(model.features(video)), theirs)
    again = rebuilt_hub_model(model.description())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(video), model(video)) and again.classes == CLASSES


def test_a_zero_shot_model_gives_the_likeness_to_its_sentences(video: Tensor, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    peer = publish_xclip(tmp_path)
    model = load_hub_model(tmp_path, classes=("the cat", "a dog", "clapping"), template="a film of {}")
    sentences = ["a film of the cat", "a film of a dog", "a film of clapping"]
    tokens = CLIPTokenizer.from_pretrained(tmp_path)(sentences, padding=True, return_tensors="pt")
    theirs = peer(**tokens, pixel_values=video.transpose(1, 2)).logits_per_video
    torch.testing.assert_close(model(video), theirs)
    assert float(theirs.detach().std()) > 0.01
    other = load_hub_model(tmp_path, classes=("the cat", "a dog", "clapping"))
    assert not torch.allclose(other(video), theirs, atol=1e-4)
    again = rebuilt_hub_model(model.description())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(video), model(video))


def test_pictures_are_prepared_as_by_the_processor_of_transformers(frames: Tensor, tmp_path: Path) -> None:
    from transformers import VideoMAEImageProcessorPil

    processor = VideoMAEImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 40, "width": 40})
    processor.save_pretrained(tmp_path)
    theirs = processor([list(frames.numpy())], return_tensors="pt")["pixel_values"][0].transpose(0, 1)
    ours = read_preprocessing(tmp_path)(frames)
    assert ours.shape == theirs.shape == (3, 4, 40, 40)
    grey_levels = (ours - theirs).abs() * 0.5 * 255
    assert float(grey_levels.max()) < 1.01 and float(grey_levels.mean()) < 0.05


@pytest.mark.parametrize(("interpolation", "number"), [("bilinear", 2), ("bicubic", 3), ("nearest-exact", 0)])
@pytest.mark.parametrize("size", [(30, 40), (120, 160)], ids=["smaller", "larger"])
def test_resizing_is_that_of_pil(frames: Tensor, interpolation: str, number: int, size: tuple[int, int]) -> None:
    preprocessing = HubPreprocessing(
        short_side_px=None, size_px=size, interpolation=interpolation, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    ours = preprocessing(frames).permute(1, 2, 3, 0) * 255
    pil = [np.asarray(Image.fromarray(frame).resize(size[::-1], number)) for frame in frames.numpy()]
    off = (ours - torch.from_numpy(np.stack(pil))).abs()
    assert float(off.max()) < 1.01 and float(off.mean()) < 0.1


def test_rescaling_with_an_offset_is_folded_into_mean_and_deviation(frames: Tensor, tmp_path: Path) -> None:
    publish(tmp_path, "vivit")
    preprocessing = read_preprocessing(tmp_path, offset=True)
    values = preprocessing(frames)
    resized = torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2), (40, 62), mode="bilinear", antialias=True)
    cut = resized[:, :, 4:36, 15:47].float()
    expected = ((cut / 127.5 - 1) - 0.5) / 0.5
    torch.testing.assert_close(values, expected.permute(1, 0, 2, 3), rtol=1e-5, atol=1e-5)
