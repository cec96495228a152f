"""Which of Beam's options a job may be given: those that can move neither content nor code in or out of it.

An option that is in neither list is refused: a new one of a later Beam has to be decided first.
"""

from collections.abc import Mapping

_GRAPH = """
    runner streaming resource_hints auto_unique_labels no_wait_until_finish update_compatibility_version
    type_check_strictness pipeline_type_check disable_beartype exclude_infer_dataclass_field_type
    allow_non_deterministic_key_coders allow_unsafe_triggers force_cloudpickle_deterministic_coders pickle_library
    dry_run wait_until_finish_duration
"""
_LOCAL_RUNNER = "direct_runner_use_stacked_bundle direct_num_workers direct_running_mode direct_embed_docker_python"
_GOOGLE_CLOUD = """
    project job_name staging_location temp_location region service_account_email no_auth impersonate_service_account
    gcp_oauth_scopes template_location dataflow_job_file labels update transform_name_mapping enable_streaming_engine
    dataflow_kms_key flexrs_goal dataflow_service_options enable_artifact_caching experiments user_agent
    enable_bucket_read_metric_counter enable_bucket_write_metric_counter no_gcsio_throttling_counter
    enable_gcsio_blob_generation gcs_custom_audit_entries
"""
_WORKERS = """
    num_workers max_num_workers autoscaling_algorithm machine_type disk_size_gb disk_type disk_provisioned_iops
    disk_provisioned_throughput_mibps worker_region worker_zone zone network subnetwork use_public_ips min_cpu_platform
    max_cache_memory_usage_mb element_processing_timeout_minutes number_of_worker_harness_threads sdk_container_image
"""
ALLOWED = frozenset(" ".join((_GRAPH, _LOCAL_RUNNER, _GOOGLE_CLOUD, _WORKERS)).split())
"""By their name in Beam's options. The values of a runner, experiments and the image are checked as well."""

_PORTABLE = """
    job_endpoint artifact_endpoint job_server_timeout job_port artifact_port artifacts_dir
    environment_type environment_config environment_cache_millis sdk_worker_parallelism
    flink_master flink_job_server_jar parallelism max_parallelism spark_master_url spark_job_server_jar
    prism_location prism_log_level prism_log_kind
"""
PORTABLE = frozenset(_PORTABLE.split())
"""Those that are allowed on a portable runner only, where `pipelines.portable` checks their values."""


def _by_name(explanations: Mapping[str, str]) -> dict[str, str]:
    return {name: explanation for names, explanation in explanations.items() for name in names.split()}


FORBIDDEN = _by_name(
    {
        "setup_file extra_packages requirements_file requirements_cache requirements_cache_only_sources files_to_stage "
        "sdk_location": "it installs code on the workers that is not in their image",
        "beam_plugins": "workers would import any module that it names",
        "on_success_matcher": "it is unpickled, which runs any code",
        "worker_harness_container_image sdk_harness_container_image_overrides": (
            "it replaces the workers' image; the one of the job is --sdk_container_image"
        ),
        "prebuild_sdk_container_engine prebuild_sdk_container_base_image cloud_build_machine_type "
        "docker_registry_push_url": "it builds another image for the workers",
        "environment_options": "it starts programs or images of its own; give --environment_config",
        "beam_services use_transform_service maven_repository_url": "it starts programs that are not part of the job",
        "output_executable_path": "it writes a program that could run later, without any check",
        "expansion_port": "it is for steps in other languages",
        "job_server_java_launcher job_server_jvm_properties": "it starts programs, or code in the job server",
        "flink_version spark_version prism_beam_version_override jar_cache_dir": "it chooses a program to download",
        "flink_submit_uber_jar spark_submit_uber_jar spark_rest_url": "jobs are submitted by a job server",
        "bootstrap_servers application_id kafka_streams_job_server_jar": "it is for a runner that may not run jobs",
        "dataflow_endpoint pubsubRootUrl": "it sends requests to another service than Google's",
        "create_from_snapshot": "a snapshot may contain the messages of another job",
        "azure_connection_string blob_service_endpoint azure_managed_identity_client_id hdfs_host hdfs_port hdfs_user "
        "hdfs_full_urls s3_access_key_id s3_secret_access_key s3_session_token s3_endpoint_url s3_region_name "
        "s3_api_version s3_verify s3_disable_ssl": "a job uses no other storage than Google's",
        "gbek": "it replaces steps of the job, which groups nothing by a key",
        "save_main_session": "it pickles the whole session, including any content in it",
        "profile_cpu profile_location profile_sample_rate profile_temp_location profile_upload_interval_sec "
        "profile_postprocess_interval_sec": "a profile is written next to the job and may contain content",
        "profile_memory": "a memory profile contains content",
        "profiler_agent profiler_extra_args profiler_extra_env_vars profiler_stop_after_sec "
        "profiler_stop_after_crash": "a profiler reads the worker's memory",
        "default_sdk_harness_log_level sdk_harness_log_level_overrides": "Beam logs elements at the level DEBUG",
        "runtime_type_check performance_runtime_type_check type_check_additional": "its errors quote elements",
        "enable_hot_key_logging": "it logs keys",
        "direct_runner_bundle_repeat": "it encodes and logs every event again",
        "direct_test_splits": "it is for tests of Beam",
    }
)
"""Why an option is refused, by its name in Beam's options."""

NOT_PORTABLE = "it is for a portable runner, such as FlinkRunner"
"""Why a portable option is refused on another runner."""

UNDECIDED = "nobody has decided yet whether it could move content or code"
"""Why an option is refused that is in neither list."""

FORBIDDEN_EXPERIMENTS = {
    "enable_data_sampling": "it writes elements to the temp location",
    "enable_always_on_exception_sampling": "it writes failing elements to the temp location",
    "enable_google_cloud_profiler": "a profiler reads the worker's memory",
    "enable_google_cloud_heap_sampling": "it samples the worker's memory",
    "enable_heap_dump": "it adds the contents of the worker's memory to its status pages",
    "core_pattern": "it writes the worker's memory to a file when it crashes",
    "runner_harness_container_image": "it replaces an image of the workers",
}
"""Why an experiment or an option of the Dataflow service is refused."""
