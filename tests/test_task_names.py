"""Every name of a task is that of a task."""

from typing import get_args

from sweepseg.task_names import TaskName
from sweepseg.tasks import TASKS


def test_every_name_has_its_task():
    assert get_args(TaskName) == tuple(TASKS)
    assert all(TASKS[name].name == name for name in TASKS)
