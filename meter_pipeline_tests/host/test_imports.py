"""What a process need not import."""

import subprocess
import sys


def test_arrays_do_not_import_pandas_where_it_is_spared_and_it_stays_importable() -> None:
    code = (
        "import sys\n"
        "from meter_pipeline.host.imports import spare_pandas\n"
        "spare_pandas()\n"
        "import pyarrow as pa\n"
        "pa.array(['a'])\n"
        "assert 'pandas' not in sys.modules\n"
        "import pandas\n"
        "assert pandas.__version__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pandas_that_is_imported_already_stays_known_to_arrow() -> None:
    code = (
        "import pandas\n"
        "from meter_pipeline.host.imports import spare_pandas\n"
        "spare_pandas()\n"
        "import pyarrow as pa\n"
        "assert pa.table({'a': [1]}).to_pandas()['a'].tolist() == [1]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
