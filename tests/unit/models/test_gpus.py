import pytest
from fathom.core.errors import StartupError
from fathom.models import gpus


def test_every_gpu_has_its_figures_and_their_source() -> None:
    for gpu in gpus.known():
        assert gpu.source
        assert 16 <= gpu.memory_gb <= 200
        assert 200 <= gpu.bandwidth_gbs <= 8000


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("H200", "H200"),
        ("h100", "H100 SXM"),
        ("h100 pcie", "H100 PCIe"),
        ("L4", "L4"),
        ("l40s", "L40S"),
        ("rtx-4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("a100 80gb", "A100 80GB SXM"),
        ("A100 40GB", "A100 40GB"),
    ],
)
def test_a_gpu_is_found_by_the_words_of_its_name(typed: str, meant: str) -> None:
    assert gpus.named(typed).name == meant


def test_an_unknown_one_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(StartupError, match=r"^unknown GPU 'H1000': .* one of B200, H200, .*\. Did you mean"):
        gpus.named("H1000")
    with pytest.raises(StartupError, match=r"^unknown GPU ''"):
        gpus.named("")


@pytest.mark.parametrize(
    ("reported", "meant"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB SXM"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
    ],
)
def test_a_drivers_name_leads_to_the_entry(reported: str, meant: str) -> None:
    found = gpus.of_machine(reported)
    assert found
    assert found.name == meant


def test_a_gpu_that_is_not_in_the_list_has_no_entry() -> None:
    assert gpus.of_machine("Tesla T4") is None
