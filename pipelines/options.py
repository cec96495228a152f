"""Beam's own options: unknown ones are refused, and so are those that could move content or code."""

from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, WorkerOptions
from apache_beam.options.pipeline_options import _BeamArgumentParser as BeamArgumentParser

from pipelines import portable
from pipelines.allowed_options import ALLOWED, FORBIDDEN, FORBIDDEN_EXPERIMENTS, NOT_PORTABLE, PORTABLE, UNDECIDED
from rawless import privacy
from rawless.errors import UserError
from rawless.privacy.pseudonyms import KEY_VARIABLE

NO_EXCEPTION_SAMPLING = "disable_always_on_exception_sampling"
"""Dataflow writes the element that failed to the temp location unless this experiment is set."""

ELEMENT_MINUTES = 45
"""Minutes after which a worker ends whose step neither returns nor yields anything: more than a step itself waits, 30
for a vector and 2 for a row, and than an encoder takes to load. Beam looks every two minutes."""
_ADDED = {"beam_plugins": [privacy.__name__]}
"""Options that every job gets: a worker imports this module before any element."""
_BATCH = ("FnApiRunner", "DirectRunner", "DataflowRunner", *portable.RUNNERS)
_STREAMING = ("DirectRunner", "DataflowRunner")
_DIRECT = "apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"
"""The runner that `DirectRunner` means for messages; the name itself would first try to download another runner."""


def parse(arguments: Sequence[str], *, streaming: bool = False) -> PipelineOptions:
    """Parse the arguments after `--` as Beam's options, and add those that privacy requires.

    A worker on Dataflow imports `rawless.privacy`, which guards its memory and logs, before any element, and limits how
    long a step may take. The default runner is FnApiRunner, or DirectRunner for a streaming job. Raises UserError for
    an unknown option, an invalid value, or an option that could carry code into the job, or raw content or the
    pseudonym key out of it.
    """
    _refuse_unknown(arguments)
    runners = _STREAMING if streaming else _BATCH
    options = PipelineOptions(_with_defaults(arguments, runners[0]))
    values = options.get_all_options(drop_default=True)
    runner = _runner(values, runners, "to read messages" if streaming else "")
    if (workers := values.get("direct_num_workers", 1)) < 0:
        raise UserError(f"The Beam option --direct_num_workers is {workers}, but must be 0 (all cores) or more.")
    is_portable = portable.is_portable(options)
    for name in sorted(values.keys() - (ALLOWED | PORTABLE if is_portable else ALLOWED)):
        if values[name] and values[name] != _ADDED.get(name):
            why = NOT_PORTABLE if name in PORTABLE else FORBIDDEN.get(name, UNDECIDED)
            raise UserError(f"The Beam option --{name} is forbidden: {why}. Leave it out.")
    for experiment in [*(values.get("experiments") or []), *(values.get("dataflow_service_options") or [])]:
        name = str(experiment).split("=")[0]
        if name in FORBIDDEN_EXPERIMENTS:
            raise UserError(f"The experiment {name} is forbidden: {FORBIDDEN_EXPERIMENTS[name]}. Leave it out.")
    if is_portable:
        portable.complete(options)
    if streaming:
        standard = options.view_as(StandardOptions)
        standard.streaming, standard.runner = True, _DIRECT if runner == "DirectRunner" else runner
    worker = options.view_as(WorkerOptions)
    if not is_local(options) and worker.element_processing_timeout_minutes is None:
        worker.element_processing_timeout_minutes = ELEMENT_MINUTES
    return options


def check_image(options: PipelineOptions, configured: str | None) -> None:
    """Raise UserError if workers would run another image than the one that the warehouse file names, if it does."""
    option, image = "sdk_container_image", options.view_as(WorkerOptions).sdk_container_image
    if portable.is_portable(options):
        option, image = "environment_config", portable.image(options)
    if configured is None or image == configured or (image is None and is_local(options)):
        return
    raise UserError(
        f"The Beam option --{option} is {image!r}, but the warehouse file has worker_image: {configured}; give that "
        "image, or change the file."
    )


def is_local(options: PipelineOptions) -> bool:
    """Return whether the job's workers run on this machine, in its environment."""
    if portable.is_portable(options):
        return portable.runs_here(options)
    return str(options.view_as(StandardOptions).runner).rsplit(".", 1)[-1] != "DataflowRunner"


def is_in_this_process(options: PipelineOptions) -> bool:
    """Return whether the job's steps run in this process."""
    return is_local(options) and options.view_as(DirectOptions).direct_running_mode != "multi_processing"


def _runner(values: Mapping[str, Any], allowed: Sequence[str], purpose: str) -> str:
    """Return the name of a job's runner. Raises UserError if it may not run the job."""
    runner = str(values.get("runner")).rsplit(".", 1)[-1]
    if runner in allowed:
        return runner
    if runner in portable.RUNNERS:
        raise UserError(f"{runner} runs bounded jobs only: off Google Cloud, `rawless worker` reads messages.")
    names = f"{', '.join(allowed)} {purpose}".strip()
    raise UserError(f"The Beam option --runner is {values.get('runner')!r}, but must be one of {names}.")


def _with_defaults(arguments: Sequence[str], default: str) -> list[str]:
    runner = [] if any(argument.split("=")[0] == "--runner" for argument in arguments) else [f"--runner={default}"]
    return [
        *runner,
        *arguments,
        f"--experiments={NO_EXCEPTION_SAMPLING}",
        *(f"--{name}={value}" for name, values in _ADDED.items() for value in values),
    ]


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
