"""What nvidia-smi says, as recorded from two machines: one GPU does not tell its utilisation."""

from stages.servers.gpus import parse, used

FIRST = """\
GPU-6c8f0d5e-3a9b-8e21-54c7-1f0d2b7a9e10, NVIDIA A100-SXM4-40GB, 1024, 40
GPU-11aa0d5e-3a9b-8e21-54c7-1f0d2b7a9e11, NVIDIA A100-SXM4-40GB, 3, [N/A]
"""
SECOND = """\
GPU-6c8f0d5e-3a9b-8e21-54c7-1f0d2b7a9e10, NVIDIA A100-SXM4-40GB, 2048, 90
GPU-11aa0d5e-3a9b-8e21-54c7-1f0d2b7a9e11, NVIDIA A100-SXM4-40GB, 3, [N/A]
"""


def test_each_gpu_has_a_peak_and_a_mean() -> None:
    busy, idle = used([*parse(FIRST), *parse(SECOND)])
    assert (busy.name, busy.peak_memory_bytes) == ("NVIDIA A100-SXM4-40GB", 2048 * 1024**2)
    assert round(busy.mean_utilisation, 3) == 0.65
    assert (idle.peak_memory_bytes, idle.mean_utilisation) == (3 * 1024**2, 0)


def test_what_is_no_list_of_gpus_is_nothing() -> None:
    assert used(list(parse("NVIDIA-SMI has failed because it couldn't communicate with the driver.\n"))) == ()
