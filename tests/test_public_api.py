"""The public names, and what importing the package loads."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import keras
import pytest

import keras_actrec
from keras_actrec import zoo

# Every name that users may rely on. A change here is a change that the CHANGELOG names.
PUBLIC = {
    "keras_actrec": [
        "Cluster",
        "Prediction",
        "Recognizer",
        "Stream",
        "UserError",
        "backbones",
        "checkpoints",
        "data",
        "deploy",
        "evaluation",
        "from_torch",
        "insight",
        "layers",
        "list_trained",
        "load",
        "reproduction",
        "training",
        "tuning",
        "zoo",
    ],
    "keras_actrec.backbones": [
        "PIXELS",
        "DepthwiseConv2D",
        "InputScaling",
        "build",
        "check_name",
        "efficientnet_lite0",
        "folded",
        "list_backbones",
        "with_pixels",
    ],
    "keras_actrec.checkpoints": [
        "LoadReport",
        "CheckpointIdentity",
        "load_keras",
        "load_torch",
        "load_weights",
        "read_torch",
        "identify_checkpoint",
    ],
    "keras_actrec.data": [
        "POSE_SUFFIXES",
        "Pose",
        "Persons",
        "Body",
        "body",
        "list_bodies",
        "map_joints",
        "list_datasets",
        "read_dataset",
        "read_pose",
        "read_set",
        "read_skeleton",
        "read_whole",
        "write_pose",
        "Audit",
        "CachedVideo",
        "audit_videos",
        "cache_frames",
        "read_audit",
        "ClipDataset",
        "ClipPreprocessor",
        "ClipTransform",
        "FEATURE_SUFFIXES",
        "FeatureDataset",
        "FeatureFile",
        "FeaturePreprocessor",
        "FollowEpoch",
        "Manifest",
        "Record",
        "SYNTHETIC_PAIRS",
        "Sampling",
        "SkeletonDataset",
        "SkeletonPreprocessor",
        "SkeletonTransform",
        "VIDEO_SUFFIXES",
        "VideoError",
        "VideoInfo",
        "clip_rng",
        "expand_sources",
        "extract_features",
        "files_of",
        "holds_skeletons",
        "index_features",
        "index_skeletons",
        "index_videos",
        "preprocessor_of",
        "iter_frames",
        "kind_of",
        "open_features",
        "probe",
        "read_frames",
        "read_manifest",
        "shard",
        "split_manifest",
        "synthetic_clip",
        "raising_failures",
        "pack_videos",
        "write_synthetic",
    ],
    "keras_actrec.deploy": [
        "Answer",
        "FORMATS",
        "Proposals",
        "Segment",
        "Segmented",
        "Segmenter",
        "Stream",
        "Watched",
        "WebLimits",
        "export",
        "find_segments",
        "propose",
        "serve_page",
        "suppress",
        "watch",
        "web_page",
        "writing_segments",
    ],
    "keras_actrec.evaluation": [
        "Evaluation",
        "PROTOCOLS",
        "Protocol",
        "RESULT_COLUMNS",
        "SegmentationScores",
        "calibration_bins",
        "describe_folds",
        "describe_run",
        "ensemble",
        "find_runs",
        "floor_line",
        "floors",
        "floors_of_part",
        "is_evaluated",
        "read_results",
        "read_scores",
        "result_row",
        "write_results",
        "write_precisions",
        "write_scores",
        "average_precision",
        "bootstrap_interval",
        "confusion_matrix",
        "edit_score",
        "evaluate",
        "evaluation_command",
        "frame_accuracy",
        "frame_labels",
        "labels_at",
        "segmental_f1",
        "expected_calibration_error",
        "fuse",
        "mean_average_precision",
        "mean_class_accuracy",
        "student_interval",
        "top_k_accuracy",
    ],
    "keras_actrec.insight": [
        "Deletion",
        "delete_joints",
        "Explanation",
        "converged",
        "demo",
        "draw_bars",
        "draw_counts",
        "draw_curves",
        "draw_embedding",
        "draw_explanation",
        "draw_gates",
        "draw_history",
        "draw_temperature",
        "embed",
        "explain",
        "Reported",
        "read_run",
        "report_runs",
        "write_report",
    ],
    "keras_actrec.layers": [
        "AtEveryLocation",
        "AttentionCell",
        "AttentiveRNN",
        "AveragePooling2D",
        "BatchNormalization",
        "Conv2D",
        "ConvAttentionCell",
        "ConvLSTMCell",
        "Coordinates",
        "EleAttCell",
        "EleAttGRU",
        "EleAttGRUCell",
        "EleAttLSTM",
        "EleAttLSTMCell",
        "EleAttSimpleRNN",
        "EleAttSimpleRNNCell",
        "FoldTime",
        "FrameDifference",
        "FrameRelations",
        "FrameWise",
        "GateShift",
        "GraphConvolution",
        "GumbelHardAttention",
        "HMRNN",
        "HMRNNCell",
        "InitialStates",
        "LastStep",
        "MaxPooling2D",
        "MotionGrid",
        "PixelGrid",
        "ReinforceAttention",
        "SelfAttention2D",
        "SlowRNN",
        "SoftAttention",
        "StepAttention",
        "StepCentering",
        "StepConvolution",
        "StepNormalization",
        "TemporalShift",
        "TemporalSkip",
        "UnfoldTime",
        "ZoneoutCell",
    ],
    "keras_actrec.reproduction": [
        "Element",
        "Paper",
        "Step",
        "find_element",
        "list_papers",
        "plan",
        "read_paper",
        "reproduce",
        "state",
    ],
    "keras_actrec.training": [
        "AdamL2",
        "Choice",
        "Facts",
        "RMSpropL2",
        "RPROP",
        "SGD",
        "warmup_cosine",
        "Recipe",
        "Run",
        "caching",
        "choose",
        "choose_for_run",
        "extract",
        "extraction_recipe",
        "find_recipe",
        "join_processes",
        "leave_processes",
        "list_recipes",
        "look",
        "parse_recipe",
        "read_recipe",
        "recipe_name",
        "train",
    ],
    "keras_actrec.tuning": [
        "Axis",
        "EleAttHyperModel",
        "GSMHyperModel",
        "HMANHyperModel",
        "STRNHyperModel",
        "Space",
        "Study",
        "estimate_study",
        "find_study",
        "list_studies",
        "parse_study",
        "read_study",
        "run_study",
    ],
    # a new builder needs no line here: its registration names it
    "keras_actrec.zoo": [
        "ExplainingView",
        "ModelSpec",
        "StreamingView",
        "attending_view",
        "streaming_view",
        "backbone",
        "build",
        "check_arguments",
        "features_view",
        "frames_apart",
        "gates_view",
        "list_models",
        "resized",
        "spec",
        "training_view",
        *zoo.list_models(),
    ],
}
PRIVATE = {"keras_actrec._backend", "keras_actrec.cli"}
HEAVY = {"cv2", "matplotlib", "keras_tuner", "pydantic", "typer", "jinja2"}
BACKENDS = {"jax", "torch", "tensorflow"}
MOST_OWN = 115  # modules of ours that `import keras_actrec` loads: measured 105


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_the_listed_ones(package):
    assert sorted(importlib.import_module(package).__all__) == sorted(PUBLIC[package])


@pytest.mark.parametrize("package, name", [(package, name) for package in PUBLIC for name in PUBLIC[package]])
def test_a_public_name_is_there_and_documented(package, name):
    thing = getattr(importlib.import_module(package), name)
    if inspect.ismodule(thing) or callable(thing):
        assert inspect.getdoc(thing)
    assert name in dir(importlib.import_module(package))


def test_every_package_is_listed():
    packages = {
        f"keras_actrec.{module.name}"
        for module in pkgutil.iter_modules(keras_actrec.__path__)
        if module.ispkg
    }
    assert packages - PRIVATE == set(PUBLIC) - {"keras_actrec"}


def test_a_name_that_is_not_there_raises_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        keras_actrec.no_such_name  # noqa: B018


@pytest.mark.parametrize("package", ["keras_actrec", "keras_actrec.data", "keras_actrec.tuning"])
def test_what_is_loaded_late_is_visible_to_type_checkers(package):
    """The `import`s below `if TYPE_CHECKING` and at the top give every public name, from where it is."""
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    (block,) = [node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {}
    for node in [*tree.body, *block.body]:
        if isinstance(node, ast.ImportFrom):
            seen |= {alias.name: node.module for alias in node.names}
    assert set(PUBLIC[package]) <= set(seen)
    for node in block.body:
        for name in [alias.name for alias in node.names]:
            thing = getattr(importlib.import_module(node.module), name)
            assert getattr(module, name) is thing
    listed = next(node.value for node in tree.body if ast.unparse(node).startswith("__all__ ="))
    assert sorted(ast.literal_eval(listed)) == sorted(PUBLIC[package])  # checkers read no expressions


def test_importing_the_package_needs_no_other_backend_and_nothing_heavy(run_python, hide):
    # Keras itself loads OpenCV, matplotlib and sometimes JAX where they are installed: here they are hidden.
    others = HEAVY | BACKENDS - {keras.backend.backend()}
    done = run_python("-c", "import sys, keras_actrec; print(*sys.modules)", PYTHONPATH=hide(*others))
    assert done.returncode == 0, done.stderr
    assert "keras_actrec.layers" in done.stdout.split()
    assert others & {module.split(".")[0] for module in done.stdout.split()} == set()
    own = [module for module in done.stdout.split() if module.split(".")[0] == "keras_actrec"]
    assert len(own) < MOST_OWN, own


@pytest.mark.once
def test_importing_the_package_takes_less_than_a_second_beyond_keras(run_python):
    code = "import keras, time\nstart = time.time()\nimport keras_actrec\nprint(time.time() - start)"
    done = run_python("-c", code)
    assert float(done.stdout) < 1, done.stderr  # measured: 0.02 s


@pytest.mark.no_backend
@pytest.mark.parametrize("name", ["keras-actrec.py", "keras_actrec_mine.py", "__main__.py"])
def test_a_script_of_any_name_gets_keras_and_our_layers(run_python, tmp_path, name):
    script = tmp_path / "scripts" / name
    script.parent.mkdir()
    script.write_text("import sys, keras_actrec\nprint({'keras', 'keras_actrec.layers'} <= {*sys.modules})")
    for arguments in ([script], [script, "-m", "keras_actrec"]):
        assert run_python(*arguments).stdout == "True\n"


@pytest.mark.no_backend
def test_another_program_run_as_a_module_gets_keras(run_python, tmp_path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("import sys, keras_actrec\nprint('keras' in sys.modules)")
    (package / "run.py").touch()
    for arguments in (["-m", "mine.run"], ["-mmine.run", "-m", "keras_actrec"]):
        assert run_python(*arguments, PYTHONPATH=tmp_path).stdout == "True\n"


def test_importing_the_package_registers_the_layers_for_loading(run_python):
    code = (
        "import keras_actrec, keras\n"
        "print(keras.saving.get_registered_object('keras_actrec>HMRNNCell').__name__)"
    )
    assert run_python("-c", code).stdout.strip() == "HMRNNCell"
