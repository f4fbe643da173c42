from __future__ import annotations

import subprocess
import sys


def test_the_doctor_imports_nothing_heavy() -> None:
    """It must run where everything else is missing, and on systems that have neither bpf(2) nor its libc."""
    program = "import sys, ior_nb.doctor; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "pandas", "pyarrow", "plotly", "ipywidgets", "IPython", "bcc"} & set(modules)
    assert not {"ior_nb.doctor.doing", "ior_nb.engine.collector.bpf"} & set(modules)
