"""The folder for bytes on their way: nothing is left in it, also by processes that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from meter_pipeline.api import MeterClient
from meter_pipeline.host import scratch
from meter_pipeline.host.scratch import Scratch, ScratchError
from meter_pipeline.sandbox import Sandbox


def age(folder: Path) -> None:
    for left in folder.glob("spool-*"):
        os.utime(left, (0, 0))


def test_files_are_in_the_folder_that_was_chosen_and_vanish(tmp_path: Path) -> None:
    place = Scratch(tmp_path / "deep" / "spool")
    assert not place.folder.exists()
    with place.open() as file:
        file.write(b"x")
        (own,) = place.folder.iterdir()
        if sys.platform == "linux":
            assert str(Path(f"/proc/self/fd/{file.fileno()}").readlink()).startswith(str(own))
    place.close()
    assert not list(place.folder.iterdir())


def test_a_file_stays_readable_when_its_folder_is_given_up(tmp_path: Path) -> None:
    place = Scratch(tmp_path)
    with place.open() as file:
        file.write(b"kept")
        place.close()
        file.seek(0)
        assert file.read() == b"kept"


def test_a_folder_for_named_files_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with Scratch(tmp_path) as place:
        with place.make_folder() as folder:
            assert folder.parent.parent == tmp_path
            (folder / "x").write_bytes(b"x")
        assert not folder.exists()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_somebody_removes_is_made_again(tmp_path: Path) -> None:
    place = Scratch(tmp_path)
    place.open().close()
    (own,) = tmp_path.iterdir()
    (own / "lock").unlink()
    own.rmdir()
    place.open().close()
    place.close()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from meter_pipeline.host.scratch import Scratch
        place = Scratch(Path({str(tmp_path)!r}))
        place.open()
        (place._own / "left").write_bytes(b"x")
        print("ready", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
        age(tmp_path)
        Scratch(tmp_path).sweep()
        assert len(list(tmp_path.rglob("left"))) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    Scratch(tmp_path).sweep()
    assert not list(tmp_path.iterdir())


def test_a_client_sweeps_when_it_is_opened(tmp_path: Path, empty_sandbox: Sandbox) -> None:
    (tmp_path / "spool-dead").mkdir()
    (tmp_path / "spool-dead" / "left").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    age(tmp_path)
    with MeterClient(empty_sandbox.api_key, base_url=empty_sandbox.url, spool_folder=tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_folder_that_has_just_been_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "spool-new").mkdir()
    Scratch(tmp_path).sweep()
    assert (tmp_path / "spool-new").exists()


@pytest.mark.parametrize(
    "use", [Scratch.open, lambda place: place.require_room(1), lambda place: place.make_folder().__enter__()]
)
def test_a_folder_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, use: Callable[[Scratch], object]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ScratchError, match="file/spool cannot be written: ") as caught:
        use(Scratch(tmp_path / "file" / "spool"))
    assert "\n" not in str(caught.value)


def test_room_that_is_kept_free_is_not_given_away(tmp_path: Path) -> None:
    free = scratch.shutil.disk_usage(tmp_path).free
    Scratch(tmp_path, keep_free=1).require_room(1)
    with pytest.raises(ScratchError, match="of its disk are free, and 1 MB of them are kept free"):
        Scratch(tmp_path, keep_free=10**6).require_room(free)
