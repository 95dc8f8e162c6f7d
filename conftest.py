"""Before any test: one thread for each process's numerics, as in jobs; the tests run in several processes."""

from anipipe.engine.executors import limit_threads

limit_threads()
