"""Numbers of the reference implementations, reproduced by the product through scripts/check_golden.py.

The cases in data/s2s were made by the original s2s-ft code, those in data/latent by transformers 5.23.0, diffusers
0.42.1 and the LatentLM image repository, those in data/latent_image by the latter, those in data/recognition by
transformers 5.23.0 and microsoft/VibeVoice, all on tiny random models; those in data/distillation were computed from
the published equations, that of PLATE also by transformers 5.23.0; that in data/pretraining from our own; that in
data/captioning by microsoft/unilm: beit3. `pytest
--golden FOLDER` checks other folders too.
"""

from __future__ import annotations

import json
from pathlib import Path

import check_golden
import pytest
from safetensors.torch import load_file, save_file

OURS = Path(__file__).parent / "data"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_case" in metafunc.fixturenames:
        folders = [
            OURS / "s2s",
            OURS / "latent",
            OURS / "latent_image",
            OURS / "recognition",
            OURS / "distillation",
            OURS / "pretraining",
            OURS / "captioning",
            *map(Path, metafunc.config.getoption("--golden")),
        ]
        cases = [path for folder in folders for path in sorted(folder.glob("*.json"))]
        metafunc.parametrize("golden_case", cases, ids=lambda path: f"{path.parent.name}-{path.stem}")


def copy_case(name: str, folder: Path, **changes: object) -> Path:
    """One of our cases in another folder, with some fields of its JSON replaced."""
    case = OURS / name
    data = json.loads(case.with_suffix(".json").read_text()) | changes
    (folder / f"{case.name}.json").write_text(json.dumps(data))
    save_file(load_file(case.with_suffix(".safetensors")), folder / f"{case.name}.safetensors")
    return folder / f"{case.name}.json"


def change_tensors(case: Path, change: dict[str, float | None]) -> None:
    """Multiply tensors of a case by a factor, or leave them out (None)."""
    tensors = load_file(case.with_suffix(".safetensors"))
    for name, factor in change.items():
        tensor = tensors.pop(name)
        if factor is not None:
            tensors[name] = tensor * factor
    save_file(tensors, case.with_suffix(".safetensors"))


def test_the_cases_are_here_and_each_has_a_check() -> None:
    assert len(list(OURS.glob("s2s/*.json"))) == 12
    assert len(list(OURS.glob("latent/*.json"))) == 8
    assert len(list(OURS.glob("latent_image/*.json"))) == 3
    assert len(list(OURS.glob("recognition/*.json"))) == 4
    assert len(list(OURS.glob("distillation/*.json"))) == 3
    assert len(list(OURS.glob("pretraining/*.json"))) == 1
    assert len(list(OURS.glob("captioning/*.json"))) == 1
    assert all(json.loads(path.read_text())["kind"] in check_golden.KINDS for path in OURS.glob("*/*.json"))


def test_case_is_reproduced(golden_case: Path) -> None:
    result = check_golden.check_case(golden_case)
    assert not result.failed, check_golden.report(golden_case.stem, result)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("s2s/case_pub_train_pseudo_bert", "out/logits"),
        ("s2s/case_pub_decode_bert", "out/beam5_lp0/scores"),
        ("latent/case_pub_acoustic", "out.mu"),
        ("latent/case_pub_head", "out.v"),
        ("latent/case_pub_latentlm", "out.ar_latents"),
        ("latent_image/case_pub_image_flat", "out.ar_latents"),
        ("latent_image/case_pub_image_dit", "out.sample_v_prediction"),
        ("latent_image/case_pub_image_heads", "out.pixels"),
        ("latent/case_pub_e2e_multi", "mid.audio_chunks"),
        ("latent/case_pub_realtime", "out.audio"),
        ("recognition/case_pub_asr", "out.step_logits"),
        ("recognition/case_pub_asr_stream", "out.chunk_end_logits"),
        ("distillation/case_pub_minilm", "grad.v2.seq2seq.k"),
        ("distillation/case_pub_temperature", "out.knobs.logits"),
        ("pretraining/case_pub_electra", "in.hardness_logits"),
        ("captioning/case_pub_beit3", "out.step_logprobs"),
    ],
)
def test_a_number_that_is_one_percent_off_is_noticed(tmp_path: Path, name: str, tensor: str) -> None:
    case = copy_case(name, tmp_path)
    change_tensors(case, {tensor: 1.01})
    assert [figure for figure in check_golden.check_case(case).figures if figure.failed]


@pytest.mark.parametrize(
    ("name", "tap", "others"),
    [
        ("s2s/case_pub_train_pseudo_bert", "out/hidden", 5),
        ("s2s/case_pub_decode_bert", "out/beam5_lp0/wids", 90),
        ("latent/case_pub_acoustic", "out.z_sampled", 10),
        ("latent/case_pub_head", "mid.sinusoid", 22),
        ("latent_image/case_pub_image_dit", "mid.patches", 4),
        ("latent/case_pub_e2e_multi", "mid.pos_hidden", 9),
        ("latent/case_pub_realtime", "mid.eos_logit", 5),
        ("recognition/case_pub_asr", "train.logits", 50),
        ("recognition/case_pub_asr_stream", "mid.semantic", 20),
        ("distillation/case_pub_minilm", "mid.teacher_qk.seq2seq", 100),
        ("distillation/case_pub_temperature", "out.lambda2.hidden", 30),
        ("pretraining/case_pub_electra", "mid.q", 50),
        ("captioning/case_pub_beit3", "out.hidden_fusion_bidirectional", 10),
    ],
)
def test_a_tap_that_a_case_lacks_is_skipped_by_name_and_the_rest_is_compared(
    tmp_path: Path, name: str, tap: str, others: int
) -> None:
    case = copy_case(name, tmp_path)
    change_tensors(case, {tap: None})
    result = check_golden.check_case(case)
    assert not result.failed
    assert sum(figure.passed for figure in result.figures) >= others
    assert f"the case has no {tap}" in check_golden.report(case.stem, result)


def test_a_case_in_which_nothing_can_be_compared_fails(tmp_path: Path) -> None:
    case = copy_case("latent/case_pub_semantic", tmp_path)
    change_tensors(case, {"out.features": None, "out.features_streamed": None})
    assert check_golden.check_case(case).failed


@pytest.mark.parametrize("trajectory", ["AdamW of s2s-ft", "AdamW of torch"])
def test_gradient_norms_belong_to_the_trajectory_that_was_followed(tmp_path: Path, trajectory: str) -> None:
    data = json.loads((OURS / "s2s/case_pub_optimizer_bert.json").read_text())
    norms = data["expected"]["grad_norms_before_clip"]
    data["alternative_torch_optim_AdamW"]["grad_norms_before_clip"] = norms  # the two agree within the tolerance
    key = "expected" if trajectory == "AdamW of s2s-ft" else "alternative_torch_optim_AdamW"
    data[key] = data[key] | {"grad_norms_before_clip": [norm * 1.02 for norm in norms]}
    result = check_golden.check_case(copy_case("s2s/case_pub_optimizer_bert", tmp_path, **data))
    assert [figure.name for figure in result.figures if figure.failed] == [f"{trajectory}, gradient norms, relative"]


def test_a_failed_and_a_broken_case_fail_the_script_and_hide_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = OURS / "s2s/case_pub_relpos_bucket.json"
    (tmp_path / "b_wrong.json").write_text(case.read_text().replace('"9": 12', '"9": 13'))
    (tmp_path / "a_broken.json").write_text("{")
    (tmp_path / "c_without_tables.json").write_text('{"kind": "bucket_table"}')
    (tmp_path / "d_right.json").write_text(case.read_text())
    assert check_golden.main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if not line.startswith(" ")][:4] == [
        ["a_broken", "FAIL"],
        ["b_wrong", "FAIL"],
        ["c_without_tables", "FAIL"],
        ["d_right", "pass"],
    ]
    assert lines[-1] == "1 passed, 3 failed, 0 skipped"


def test_a_folder_of_a_kind_that_is_not_built_yet_is_skipped_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "case.json").write_text('{"kind": "weather"}')
    assert check_golden.main([str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "skipped: nothing here checks the kind 'weather'; that part is not built yet" in lines[0]
    assert lines[-1] == "0 passed, 0 failed, 2 skipped"
