"""Beam's own options: which are refused, and which are added."""

import pytest
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from encoders.batcher import STUCK_SECONDS
from encoders.encoder import WAIT_SECONDS
from pipelines import options
from pipelines.allowed_options import ALLOWED, FORBIDDEN, PORTABLE
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
        (["--setup_file=setup.py"], "The Beam option --setup_file is forbidden: it installs code"),
        (["--extra_package=a.whl"], "The Beam option --extra_packages is forbidden: it installs code"),
        (["--requirements_file=a.txt"], "The Beam option --requirements_file is forbidden: it installs code"),
        (["--files_to_stage=a.py"], "The Beam option --files_to_stage is forbidden: it installs code"),
        (["--sdk_location=beam.tar"], "The Beam option --sdk_location is forbidden: it installs code"),
        (["--beam_plugin=a.b"], "The Beam option --beam_plugins is forbidden: workers would import any module"),
        (["--on_success_matcher=abc"], "The Beam option --on_success_matcher is forbidden: it is unpickled"),
        (
            ["--sdk_harness_container_image_overrides=.*,another"],
            "The Beam option --sdk_harness_container_image_overrides is forbidden: it replaces the workers' image",
        ),
        (["--worker_harness_container_image=another"], "it replaces the workers' image"),
        (["--prebuild_sdk_container_engine=cloud_build"], "it builds another image"),
        (["--dataflow_endpoint=https://another.example"], "it sends requests to another service"),
        (["--create_from_snapshot=a"], "a snapshot may contain the messages of another job"),
        (["--profiler_agent=coredump"], "The Beam option --profiler_agent is forbidden"),
        (["--profile_location=gs://a/b"], "The Beam option --profile_location is forbidden"),
        (["--default_sdk_harness_log_level=DEBUG"], "Beam logs elements at the level DEBUG"),
        (['--sdk_harness_log_level_overrides={"apache_beam":"DEBUG"}'], "Beam logs elements at the level DEBUG"),
        (["--experiments=enable_heap_dump"], "The experiment enable_heap_dump is forbidden"),
        (["--experiments=core_pattern=/tmp/core"], "The experiment core_pattern is forbidden"),
        (["--num_workers=many"], "The Beam option --num_workers does not accept this value"),
    ],
)
def test_an_option_that_is_unknown_or_could_leak_is_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        options.parse(arguments)

    assert sentence in str(refusal.value)
    assert "c2VjcmV0" not in str(refusal.value)


def test_every_option_of_beam_is_either_allowed_or_forbidden() -> None:
    """An option of a later Beam fails here until somebody has read what it does."""
    beam = {each for each in PipelineOptions.__subclasses__() if each.__module__ == pipeline_options.__name__}
    parser = pipeline_options._BeamArgumentParser(add_help=False)
    for each in sorted(beam, key=str):
        each._add_argparse_args(parser)  # type: ignore[attr-defined]
    names = {action.dest for action in parser._actions}

    assert names == ALLOWED | PORTABLE | FORBIDDEN.keys()
    assert len(names) == len(ALLOWED) + len(PORTABLE) + len(FORBIDDEN)


def test_an_option_that_nobody_has_decided_about_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "ALLOWED", ALLOWED - {"region"})

    with pytest.raises(UserError, match="--region is forbidden: nobody has decided yet"):
        options.parse(["--region=europe-west4"])


@pytest.mark.parametrize("arguments", [["--sdk_container_image=another"], ["--runner=DataflowRunner"]])
def test_workers_run_no_other_image_than_the_configured_one(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="but the warehouse file has worker_image: an-image@sha256:00"):
        options.check_image(options.parse(arguments), "an-image@sha256:00")


@pytest.mark.parametrize("configured", [None, "an-image"])
def test_an_image_is_accepted_that_no_other_was_configured_for(configured: str | None) -> None:
    parsed = options.parse(["--runner=DataflowRunner", "--sdk_container_image=an-image"])

    options.check_image(parsed, configured)


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
    assert options.parse([]).view_as(SetupOptions).beam_plugins == ["rawless.privacy"]


def test_a_step_on_another_machine_has_a_limit_of_time_that_is_longer_than_any_of_its_own() -> None:
    elsewhere = ["--runner=DataflowRunner", "--project=p", "--region=r"]

    def minutes(*arguments: str) -> int | None:
        limit: int | None = options.parse(arguments).view_as(WorkerOptions).element_processing_timeout_minutes
        return limit

    assert minutes() is None  # nothing would start the job's process again
    assert minutes(*elsewhere) == options.ELEMENT_MINUTES
    assert minutes(*elsewhere, "--element_processing_timeout_minutes=90") == 90
    assert options.ELEMENT_MINUTES * 60 > WAIT_SECONDS + STUCK_SECONDS + 120
