"""Kernels of a trace, summed by what they do."""

import gzip
import json
import os
from pathlib import Path

import pytest

from benchmarks.kernel_profile import OTHER, kernel_table, read_kernels, sum_kernels

ATTENTION = "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<float_e4m3_t> > >"
PRODUCT = "void cutlass::device_kernel<vllm::cutlass_3x_gemm_sm90_fp8<cutlass::float_e4m3_t> >"
EVENTS = [
    {"cat": "kernel", "name": PRODUCT, "ts": 1000, "dur": 500},
    {"cat": "kernel", "name": ATTENTION, "ts": 1500, "dur": 300},
    {"cat": "kernel", "name": "nvjet_sm90_tst_256x144_64x4_1x2_h_bz_coopA_TNT", "ts": 1800, "dur": 100},
    {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "ts": 1900, "dur": 20},
    {"cat": "kernel", "name": "_gumbel_sample_kernel", "ts": 1950, "dur": 50},
    {"cat": "cpu_op", "name": "aten::mm", "ts": 0, "dur": 5000},
]


def test_kernels_are_told_apart_by_their_names() -> None:
    kernels = [event for event in EVENTS if event["cat"] != "cpu_op"]
    shares = {kernel.kind: kernel.share for kernel in sum_kernels(kernels)}
    assert shares == {
        "products of 8-bit floats": pytest.approx(0.5),
        "attention": pytest.approx(0.3),
        "products of 16-bit floats": pytest.approx(0.1),
        OTHER: pytest.approx(0.05),
        "copies": pytest.approx(0.02),
    }
    told = kernel_table(sum_kernels(kernels))
    assert "| attention | 30.0% | 1 |" in told
    assert "| all | 97.0% | | |" in told


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nvjet_sm90_qqtst_128x120_128x6_1x2_h_bz_coopA_algo2_TNT", "products of 8-bit floats"),
        ("nvjet_sm90_tst_256x144_64x4_1x2_h_bz_coopA_TNT", "products of 16-bit floats"),
        ("triton_poi_fused__scaled_mm__to_copy_clamp_mul_reciprocal_slice_3", "norms, activations, quantising"),
        ("void deep_gemm::sm90_fp8_gemm_1d2d_impl<...>", "products of 8-bit floats"),
    ],
)
def test_products_are_told_apart_by_what_they_multiply(name: str, kind: str) -> None:
    assert [kernel.kind for kernel in sum_kernels([{"name": name, "ts": 0, "dur": 1}])] == [kind]


def test_the_newest_trace_is_read_and_the_processor_left_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no trace was written"):
        read_kernels(tmp_path)
    older, newer = tmp_path / "b.pt.trace.json", tmp_path / "a.pt.trace.json.gz"
    older.write_text(json.dumps({"traceEvents": []}))
    os.utime(older, (1, 1))
    newer.write_bytes(gzip.compress(json.dumps({"traceEvents": EVENTS}).encode()))
    assert [kernel.launches for kernel in read_kernels(tmp_path)] == [1, 1, 1, 1, 1]
