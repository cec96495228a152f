"""Beam's own options: which are refused, and which are added."""

import pytest
from apache_beam.options.pipeline_options import DebugOptions, DirectOptions, SetupOptions, StandardOptions

from pipelines import options
from rawless.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nonsense=1"], "The Beam option --nonsense is unknown"),
        (["nonsense"], "The Beam option nonsense is unknown"),
        (["--pseudonym_key=c2VjcmV0"], "The option --pseudonym_key may not be given"),
        (["--save_main_session"], "The Beam option --save_main_session is forbidden"),
        (["--profile_cpu"], "The Beam option --profile_cpu is forbidden"),
        (["--profile_memory"], "The Beam option --profile_memory is forbidden"),
        (["--runtime_type_check"], "The Beam option --runtime_type_check is forbidden"),
        (["--experiments=enable_data_sampling"], "The experiment enable_data_sampling is forbidden"),
        (["--experiment=use_runner_v2,enable_data_sampling"], "The experiment enable_data_sampling is forbidden"),
        (["--dataflow_service_options=enable_google_cloud_heap_sampling"], "is forbidden"),
        (["--dataflow_service_option=enable_google_cloud_profiler"], "is forbidden"),
        (["--runner=Nope"], "--runner is 'Nope', but must be one of FnApiRunner"),
        (["--runner=InteractiveRunner"], "--runner is 'InteractiveRunner', but must be one of FnApiRunner"),
        (["--direct_num_workers=-3"], "--direct_num_workers is -3, but must be 0"),
        (["--environment_type=DOCKER"], "The Beam option --environment_type is forbidden"),
        (["--num_workers=many"], "The Beam option --num_workers does not accept this value"),
    ],
)
def test_an_option_that_is_unknown_or_could_leak_is_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        options.parse(arguments)

    assert sentence in str(refusal.value)
    assert "c2VjcmV0" not in str(refusal.value)


def test_the_runner_is_set_and_sampling_disabled() -> None:
    parsed = options.parse(["--direct_num_workers=2"])

    assert parsed.view_as(StandardOptions).runner == "FnApiRunner"
    assert parsed.view_as(DirectOptions).direct_num_workers == 2
    assert "disable_always_on_exception_sampling" in parsed.view_as(DebugOptions).experiments


def test_a_named_runner_and_other_experiments_stay() -> None:
    parsed = options.parse(["--runner=DirectRunner", "--experiments=use_runner_v2"])

    assert parsed.view_as(StandardOptions).runner == "DirectRunner"
    assert set(parsed.view_as(DebugOptions).experiments) >= {"use_runner_v2", "disable_always_on_exception_sampling"}


def test_a_worker_imports_the_guards_when_it_starts() -> None:
    parsed = options.parse(["--beam_plugins=another.plugin"])

    assert parsed.view_as(SetupOptions).beam_plugins == ["another.plugin", "rawless.privacy"]
