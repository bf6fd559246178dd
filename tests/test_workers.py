"""Which training comes next: repeats where their program is compiled already, long ones first, no core idle."""

import multiprocessing
import os
import threading
from collections import namedtuple

from src.dispatch import processes
from src.dispatch.workers import next_job

Job = namedtuple("Job", "program repeat")


def waiting(*experiments):
    """Three jobs of each program, long ones first."""
    return [Job(name, repeat) for name in experiments for repeat in (1, 2, 3)]


def test_the_longest_begins_and_each_process_has_a_program_of_its_own():
    assert next_job(waiting("long", "short"), None, set()) == ("long", 1)
    assert next_job(waiting("long", "short")[1:], None, {"long"}) == ("short", 1)


def test_where_a_job_ended_the_next_with_its_program_follows():
    left = waiting("long", "middle", "short")[1:]
    left.remove(("short", 1))
    assert next_job(left, Job("short", 1), {"long"}) == ("short", 2)


def test_after_the_last_of_a_program_comes_the_longest_that_no_other_is_at():
    assert next_job(waiting("long", "middle", "short")[1:], Job("first", 3), {"long"}) == ("middle", 1)


def test_a_process_that_has_none_left_helps_another():
    assert next_job(waiting("long")[1:], Job("short", 3), {"long"}) == ("long", 2)


def test_idle_processes_have_ended_when_end_idle_returns():
    """Python 3.11 prints a traceback where the interpreter exits while a thread of theirs still closes its pipe."""
    before, pool = threading.active_count(), processes.Processes()
    child = pool.call(1, os.getpid)
    pool.end_idle()
    assert threading.active_count() == before
    assert child not in [process.pid for process in multiprocessing.active_children()]
