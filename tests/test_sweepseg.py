import subprocess
import sys
from importlib.metadata import version

import pytest

import sweepseg


@pytest.mark.parametrize("name", sweepseg.__all__)
def test_public_name_is_there_and_listed(name):
    assert getattr(sweepseg, name) is not None
    assert name in dir(sweepseg)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sgement'"):
        sweepseg.sgement  # noqa: B018


def test_importing_sweepseg_imports_nothing_heavy():
    code = "import sys, sweepseg; print(sorted({'torch', 'numpy', 'PIL', 'lightning'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_version_is_that_of_the_package():
    assert sweepseg.__version__ == version("sweepseg")
