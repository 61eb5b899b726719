"""``make screenshots``: the demo's Airflow sends its leads, and a browser takes the pictures of docs/images."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import requests
from rich.console import Console
from rich.text import Text

from demo import services, stack
from demo.sending import DAG_ID, POLICY, Sent, send_leads
from demo.services import NotStartedError, Service
from demo.truth import expected
from screenshots.pictures import FOLDER, PICTURES
from screenshots.scene import Scene

NAME = "screenshots"
TOOLS = stack.BUILD / "screenshots-tools" / "bin" / "python"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LATENCY = 0.6  # seconds that the sandbox waits before it answers, so that a send has progress to tell of
CAMERA_SECONDS = 300.0


def main() -> int:
    """Take the pictures.

    :returns: 0 if all were taken; the earlier ones stay as they are if not.
    """
    console = Console(highlight=False)
    services.end_on_signals()
    running: list[Service] = []
    try:
        services.stop(services.remembered(stack.pids_of(NAME)))  # after a kill -9, say
        here = stack.new_stack(NAME)
        with console.status("Taking the pictures…"):
            taken = take_pictures(here, running)
    except (NotStartedError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        console.print(Text(f"The pictures could not be taken: {error}", style="red"))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    finally:
        services.ignore_signals()
        services.stop(running)
    for path in taken:
        console.print(Text(f"{path.relative_to(stack.ROOT)}  {path.stat().st_size / 1000:.0f} kB"))
    return 0


def take_pictures(here: stack.Stack, running: list[Service]) -> list[Path]:
    """Bring everything up, send the leads, and take all pictures.

    :param running: gets every service as soon as it is started, for whoever has to end them.
    :returns: the files, in their place.
    """
    rows = expected(stack.make_crm_file(here), POLICY)
    api = stack.bring_up(here, running, [DAG_ID], use_schedule=False, triggerer=False)
    faults = f"{here.sandbox_url}/control/faults"
    requests.put(faults, json={"latency": LATENCY}, timeout=30).raise_for_status()
    sent = send_leads(api, here, running, rows)
    requests.delete(faults, timeout=30).raise_for_status()
    folder = here.home / "pictures"
    folder.mkdir()
    _photograph(_scene(here, sent, folder))
    FOLDER.mkdir(exist_ok=True)
    return [Path(shutil.copy(folder / picture.file, FOLDER)) for picture in PICTURES]


def _scene(here: stack.Stack, sent: Sent, folder: Path) -> Scene:
    return Scene(
        browser=_browser(BROWSERS),
        airflow_url=here.airflow_url,
        sandbox_url=here.sandbox_url,
        dag_id=DAG_ID,
        run_id=sent.run_id,
        task_id=sent.task_id,
        folder=str(folder),
        never_shown=(here.token, str(stack.ROOT), sys.prefix),
    )


def _browser(names: Sequence[str]) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise RuntimeError(f"none of {', '.join(names)} is installed")


def _photograph(scene: Scene) -> None:
    command = [str(TOOLS), "-m", "screenshots.camera"]
    subprocess.run(
        command,
        input=scene.to_json(),
        text=True,
        env=services.clean_environment(),
        cwd=stack.ROOT,
        timeout=CAMERA_SECONDS,
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())
