"""The engine: jobs with inputs, outputs and options, and which of them have to be done.

It knows files and functions, and nothing of cameras or animals.

- :mod:`~anipipe.engine.declare`    artifacts, stages, units: what a pipeline is made of
- :mod:`~anipipe.engine.digest`     what is on disk, by content
- :mod:`~anipipe.engine.records`    what was made from what, as append-only lines
- :mod:`~anipipe.engine.freshness`  the one function that decides and explains
- :mod:`~anipipe.engine.jobs`       stages for units
- :mod:`~anipipe.engine.graph`      which jobs there are, and who makes what they read
- :mod:`~anipipe.engine.plan`       each job's verdict
- :mod:`~anipipe.engine.order`      which job is begun next
- :mod:`~anipipe.engine.perform`    one job, wherever it runs
- :mod:`~anipipe.engine.executors`  where jobs run: in this process, in others of this machine
- :mod:`~anipipe.engine.dask_executor`  in a Dask cluster; :mod:`~anipipe.engine.remote`: its workers' side
- :mod:`~anipipe.engine.lanes`      executors with the jobs that run on them
- :mod:`~anipipe.engine.runner`     the coordinator; :mod:`~anipipe.engine.committing` puts outputs in place
- :mod:`~anipipe.engine.shares`     disks on which others' doings show late
- :mod:`~anipipe.engine.lock`       one run at a time in one experiment
- :mod:`~anipipe.engine.sweeping`   what a killed run leaves behind
- :mod:`~anipipe.engine.journal`    the log and the report of a run
"""
