"""Beam's own options: unknown ones are refused, and so are those that could carry raw content out of a job."""

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.options.pipeline_options import _BeamArgumentParser as BeamArgumentParser

from rawless import privacy
from rawless.errors import UserError
from rawless.privacy.pseudonyms import KEY_VARIABLE

NO_EXCEPTION_SAMPLING = "disable_always_on_exception_sampling"
"""Dataflow writes the element that failed to the temp location unless this experiment is set."""

_BATCH = ("FnApiRunner", "DirectRunner", "DataflowRunner")
_STREAMING = ("DirectRunner", "DataflowRunner")
_DIRECT = "apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"
"""The runner that `DirectRunner` means for messages; the name itself would first try to download another runner."""
_FORBIDDEN_EXPERIMENTS = {
    "enable_data_sampling": "it writes elements to the temp location",
    "enable_always_on_exception_sampling": "it writes failing elements to the temp location",
    "enable_google_cloud_profiler": "a profiler reads the worker's memory",
    "enable_google_cloud_heap_sampling": "it samples the worker's memory",
}
_FORBIDDEN = {
    "save_main_session": "it pickles the whole session, including any content in it",
    "profile_cpu": "a profile is written next to the job and may contain content",
    "profile_memory": "a memory profile contains content",
    "profile_location": "a profile is written there and may contain content",
    "profiler_agent": "a profiler reads the worker's memory",
    "runtime_type_check": "its errors quote elements",
    "performance_runtime_type_check": "its errors quote elements",
    "type_check_additional": "its errors quote elements",
    "environment_type": "the workers' environment is the runner's",
    "enable_hot_key_logging": "it logs keys",
    "direct_runner_bundle_repeat": "it encodes and logs every event again",
}


def parse(arguments: Sequence[str], *, streaming: bool = False) -> PipelineOptions:
    """Parse the arguments after `--` as Beam's options, and add those that privacy requires.

    A worker on Dataflow imports `rawless.privacy`, which guards its memory and logs, before any element. The
    default runner is FnApiRunner, or DirectRunner for a streaming job. Raises UserError for an unknown option, an
    invalid value, or an option that could carry raw content or the pseudonym key out of the job.
    """
    _refuse_unknown(arguments)
    runners = _STREAMING if streaming else _BATCH
    options = PipelineOptions(_with_defaults(arguments, runners[0]))
    values = options.get_all_options(drop_default=True)
    runner = str(values.get("runner")).rsplit(".", 1)[-1]
    if runner not in runners:
        kind = " to read messages" if streaming else ""
        raise UserError(
            f"The Beam option --runner is {values.get('runner')!r}, but must be one of {', '.join(runners)}{kind}."
        )
    if (workers := values.get("direct_num_workers", 1)) < 0:
        raise UserError(f"The Beam option --direct_num_workers is {workers}, but must be 0 (all cores) or more.")
    for name, explanation in _FORBIDDEN.items():
        if values.get(name):
            raise UserError(f"The Beam option --{name} is forbidden: {explanation}. Leave it out.")
    for experiment in [*(values.get("experiments") or []), *(values.get("dataflow_service_options") or [])]:
        name = str(experiment).split("=")[0]
        if name in _FORBIDDEN_EXPERIMENTS:
            raise UserError(f"The experiment {name} is forbidden: {_FORBIDDEN_EXPERIMENTS[name]}. Leave it out.")
    if streaming:
        standard = options.view_as(StandardOptions)
        standard.streaming, standard.runner = True, _DIRECT if runner == "DirectRunner" else runner
    return options


def is_local(options: PipelineOptions) -> bool:
    """Return whether the job runs on this machine."""
    return str(options.view_as(StandardOptions).runner).rsplit(".", 1)[-1] != "DataflowRunner"


def _with_defaults(arguments: Sequence[str], default: str) -> list[str]:
    runner = [] if any(argument.split("=")[0] == "--runner" for argument in arguments) else [f"--runner={default}"]
    return [*runner, *arguments, f"--experiments={NO_EXCEPTION_SAMPLING}", f"--beam_plugins={privacy.__name__}"]


def _refuse_unknown(arguments: Sequence[str]) -> None:
    parser = _Parser(allow_abbrev=False)
    for options in {str(options): options for options in PipelineOptions.__subclasses__()}.values():
        if hasattr(options, "_add_argparse_args") and options.__module__.startswith("apache_beam."):
            options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        name = unknown[0].split("=")[0]  # never the value: it might be a key
        if "pseudonym" in name or "key" in name:
            raise UserError(f"The option {name} may not be given: the key comes from {KEY_VARIABLE} or Secret Manager.")
        raise UserError(f"The Beam option {name} is unknown: options after -- are passed to Beam; check the name.")


class _Parser(BeamArgumentParser):
    def error(self, message: str) -> None:
        # argparse quotes the value; the option's name is enough.
        name = message.removeprefix("argument ").split(":")[0]
        raise UserError(f"The Beam option {name} does not accept this value: see Beam's documentation of the option.")
