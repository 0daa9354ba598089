"""Features and frames computed ahead of training, from Python; the command is in `test_cli_extract.py`."""

import pytest

from keras_actrec import training
from keras_actrec.data import audit_videos, read_manifest, write_synthetic
from keras_actrec.errors import UserError

BACKBONE = "efficientnet_lite0:stem"
CLIP = {"size": 16, "crop": "none"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten videos of 8 frames, of which one is damaged."""
    folder = tmp_path_factory.mktemp("data") / "set"
    write_synthetic(folder, clips_per_class=1, size=32, frames=8)
    (folder / "grow" / "grow_000.mp4").write_bytes(b"no video")
    return folder


SKIP = {"on_error": "skip", "max_skipped": 0.2}


def test_features_by_options_and_what_was_skipped(data, tmp_path):
    seen = []
    recipe = training.extraction_recipe(backbone=BACKBONE, data=SKIP, clip=CLIP | {"frame_step": 4})
    pairs, skipped = training.extract(recipe, data, tmp_path, progress=lambda *step: seen.append(step))
    assert len(pairs) == 9 and [error.path.name for error in skipped] == ["grow_000.mp4"]
    assert {(video.shape, video.dtype) for _, video in pairs} == {((2, 8, 8, 32), "float16")}
    assert list(dict.fromkeys(stage for stage, *_ in seen)) == ["videos", "features"]
    assert seen[-1] == ("features", 9, 9)


def test_frames_are_another_stage_and_need_no_features(data, tmp_path):
    seen = []
    recipe = training.extraction_recipe(frames=True, data=SKIP, clip=CLIP)
    pairs, _ = training.extract(recipe, data, tmp_path, progress=lambda *step: seen.append(step))
    assert {(video.shape, video.dtype) for _, video in pairs} == {((8, 16, 16, 3), "uint8")}
    assert list(dict.fromkeys(stage for stage, *_ in seen)) == ["videos", "frames"]


def test_an_audit_says_which_videos_are_damaged(data, tmp_path, monkeypatch):
    audit_videos(read_manifest(data), out=tmp_path / "audit.json")
    monkeypatch.setattr("keras_actrec.data.decode.probe", lambda path: pytest.fail("was read again"))
    recipe = training.extraction_recipe(frames=True, data=SKIP, clip=CLIP)
    _, skipped = training.extract(recipe, data, tmp_path / "out", audit=tmp_path / "audit.json")
    assert len(skipped) == 1


def test_a_share_has_a_list_of_its_own(data, tmp_path):
    recipe = training.extraction_recipe(frames=True, data=SKIP | {"max_skipped": 1.0}, clip=CLIP)
    counts = [len(training.extract(recipe, data, tmp_path, shard=f"{n}/3")[0]) for n in (1, 2, 3)]
    assert sum(counts) == 9
    assert sorted(path.name for path in tmp_path.glob("*/index*.csv")) == [
        f"index-{n}-of-3.csv" for n in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "efficientnet_lit0"}, "^unknown backbone 'efficientnet_lit0': did you mean 'efficient"),
        ({"clip": {"size": 24, "short_side": 20}}, "`short_side` must be at least `size`, 24"),
        ({"clip": {"crop": "centre"}}, "clip.crop: "),
        ({"data": {"dataset": "utkinect"}}, "utkinect holds skeletons"),
    ],
)
def test_what_cannot_be_extracted_is_named(options, message):
    with pytest.raises(UserError, match=message):
        training.extraction_recipe(**options)
