"""PostgreSQL and MLflow's server on loopback, each for a while: for the measurements here and for the tests."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import requests


def postgresql_program(name):
    """Path of one of PostgreSQL's programs, None without it; Debian keeps them away from PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


@contextmanager
def postgresql():
    """A fresh PostgreSQL cluster on a free port; yields what libpq and MLflow find it by, as environment variables."""
    # It refuses to run as root, and must reach its folder as who it is.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, user)
        subprocess.run([postgresql_program("initdb"), "--pgdata", "data", "--username", "postgres", "--auth", "trust",
                        "--encoding", "UTF8"], cwd=folder, user=user, check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        place = ["-h", "127.0.0.1", "-p", str(free_port())]
        server = subprocess.Popen([postgresql_program("postgres"), "-D", "data", *place, "-k", folder],
                                  cwd=folder, user=user, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            ready = [postgresql_program("pg_isready"), "--quiet", *place]
            wait_for(server, lambda: subprocess.run(ready).returncode == 0)
            yield {"PGHOST": "127.0.0.1", "PGPORT": place[-1], "PGUSER": "postgres"}
        finally:
            server.send_signal(signal.SIGINT)  # at once, whoever is connected
            server.wait()


@contextmanager
def mlflow_server(folder, store, workers, **environment):
    """`mlflow server` with its runs in the database `store` and its artifacts in `folder`; yields its address."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--serve-artifacts", "--artifacts-destination",
               str(folder), "--port", address.rsplit(":")[-1], "--workers", str(workers)]  # fmt: skip
    variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(command, env=os.environ | variables | environment, cwd=folder, start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        wait_for(server, lambda: answers(f"{address}/health"))
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(server, ready, seconds=300):
    """Wait until `ready()`; a server that ends before, or takes longer, is an error."""
    deadline = time.monotonic() + seconds
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args}: {'ended' if server.poll() is not None else 'no answer'}")
        time.sleep(0.2)


def answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
