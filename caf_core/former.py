"""What took the place of the settings of basf2's CAF, for those who still write them: one sentence each."""

_SLEEPS = "nothing sleeps here, so there is nothing to tune; leave the line out."
_NO_TABLE = "the states are one table for all, caf_core.calibration.states; leave the line out."
_STEERING = (
    "a path of basf2 modules belongs into the steering file that the command executes: "
    "collector=CommandCollector(['basf2', 'steering.py'])."
)
_DERIVED = "it is worked out from calibration.depends_on(other); leave the line out."

COLLECTION = {
    "pre_collector_path": _STEERING,
    "job_script": "the command is collector=CommandCollector(['basf2', 'steering.py']).",
    "job_cmd": "the command is collector=CommandCollector(['basf2', 'steering.py']).",
    "job_config": "the command finds its input in JSON files; your own values are the collection's params.",
    "default_max_collector_jobs": "set max_collector_jobs.",
    "uri_list_from_input_file": "globs are resolved when the CAF is run; caf run --check counts the files.",
}
CALIBRATION = {
    **COLLECTION,
    "pre_algorithms": (
        "it belongs to each algorithm: Algorithm(fit, pre_algorithm=function), called as "
        "function(algorithm, context) before each execution, with context.iteration."
    ),
    "algorithms_runner": "it is called runner, and is 'sequential' or 'parallel'.",
    "heartbeat": _SLEEPS,
    "collector_full_update_interval": _SLEEPS,
    "machine": _NO_TABLE,
    "checkpoint_states": _NO_TABLE,
    "moves": _NO_TABLE,
    "default_collection_name": "the default collection is always called 'default'.",
    "alg_output_dir": "it is always called algorithm_output.",
    "iteration": "start at another iteration with: caf run --from STATE --iteration N SCRIPT.",
    "results": "CAF.run() returns a report, and caf payloads lists the constants.",
    "jobs_to_submit": "jobs go to their backend at once, which holds back what exceeds its limit.",
    "future_dependencies": _DERIVED,
}
ALGORITHM = {
    "default_inputdata_setup": "data_input makes of what was collected what context.data() returns.",
    "pre_algorithms": "it is called pre_algorithm, one function for each algorithm.",
}
CAF = {
    "heartbeat": _SLEEPS,
    "default_calibration_config": "it is called calibration_defaults.",
    "order": _DERIVED,
    "dependencies": _DERIVED,
    "future_dependencies": _DERIVED,
    "status": "CAF.run() returns a report, and caf status shows the states.",
    "max_iterations": "set it in calibration_defaults, or for each calibration.",
}
JOB = {
    "append_current_basf2_setup_cmds": "write the lines that set up your software into job.setup_cmds.",
    "job_dict": "job.dump_to_json(path) writes the job.",
    "dump_input_data": "a task finds its input files with get_input_data().",
    "copy_input_sandbox_files_to_working_dir": "the task copies the files of input_sandbox_files itself.",
    "parent": "the job of a subjob is subjob.job.",
    "statuses": "the states are those of TaskState.",
    "exit_statuses": "the states are those of TaskState.",
}
BACKEND = {
    "heartbeat": _SLEEPS,
    "sleep_between_submission_checks": "it is called check_interval [s], and nothing sleeps meanwhile.",
    "default_sleep_between_submission_checks": "give the backend the argument check_interval [s].",
    "global_job_limit": "give it when the backend is made: LSF(global_job_limit=100).",
    "default_global_job_limit": "give the backend the argument global_job_limit.",
}
