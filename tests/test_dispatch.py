"""Where trainings run: processes of this machine, or real Dask and Ray workers on loopback. What is trained is the same to the bit,
what dies costs its own training only, and a worker that would compute something else is refused."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

from src import params
from src.dispatch import backends
from src.errors import LaboratoryError
from tests.conftest import BIN, ROOT, copy_project, small_params

EXPERIMENTS = {"narrow": {}, "wide": {"hidden_layers": [16]}, "long": {"epochs": 2000}}
HUNT = {"title": "Hunt", "dataset": "digits", "defaults": {"hidden_layers": [8], "epochs": 300, "batch_size": 64},
        "space": {"learning_rate": [0.001, 0.003, 0.01, 0.03]}, "sampler": "grid"}  # fmt: skip
TRAIN, SEARCH = "src.stages.train digits", "src.stages.search hunt"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with a study of three experiments and a search of four points; one training at a time."""
    raw = small_params()
    raw["studies"]["digits"]["experiments"], raw["searches"] = EXPERIMENTS, {"hunt": HUNT}
    project = copy_project(tmp_path_factory.mktemp("dispatch") / "project", raw)
    project.run("dvc repro -q split@digits")
    return project


@pytest.fixture(scope="module")
def cluster(project, tmp_path_factory):
    cluster = Cluster(project, tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


class Cluster:
    """A Dask scheduler on loopback and workers of one thread each, processes of their own."""

    def __init__(self, project, folder):
        self.project, self.folder, self.processes = project, folder, []
        file = folder / "scheduler.json"
        self.scheduler = self.start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
        )
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        self.environment = {"LABORATORY_WORKERS": "dask", "LABORATORY_ADDRESS": self.address}

    def start(self, *command, cwd=None, **environment):
        environment = self.project.environment | environment
        cwd = cwd or self.project.folder if command[0] == "worker" else self.folder  # a scheduler needs no project
        with (self.folder / f"{len(self.processes)}.log").open("w") as log:
            self.processes.append(subprocess.Popen([sys.executable, "-m", "dask", *command], cwd=cwd,
                                                   env=environment, stderr=log, stdout=log))  # fmt: skip
        return self.processes[-1]

    def start_worker(self, *options, **environment):
        """A worker that has joined the scheduler."""
        log = self.folder / f"{len(self.processes)}.log"
        options = options or ("--no-nanny",)
        worker = self.start("worker", self.address, "--nthreads", "1", "--no-dashboard", *options, **environment)
        wait_for(lambda: "Registered to" in log.read_text())
        return worker

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def workers(cluster):
    """Two workers, which this test may kill."""
    found = [cluster.start_worker() for _ in range(2)]
    yield found
    for worker in found:
        worker.kill()
        worker.wait()


def wait_for(condition, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


def afresh(project, stage, **environment):
    """Run the stage without what it has trained before."""
    shutil.rmtree(project.folder / "models", ignore_errors=True)
    return project.run(f"python -m {stage}", **environment)


def started(project, stage, **environment):
    """The stage, running; what it has trained before is gone."""
    shutil.rmtree(project.folder / "models", ignore_errors=True)
    return subprocess.Popen([sys.executable, "-m", *stage.split()], cwd=project.folder, start_new_session=True,
                            env=project.environment | environment, stderr=subprocess.PIPE, text=True)  # fmt: skip


def weights(project):
    return {path.parts[-3]: path.read_bytes() for path in project.folder.glob("models/digits/*/1/model.weights.h5")}


def points(project):
    """What the search found, without what the clock says."""
    outcome = json.loads((project.folder / "models/searches/hunt/search.json").read_text())
    return [{key: trial[key] for key in ("point", "value", "status", "fits")} for trial in outcome["trials"]]


def training(project, experiment):
    folder = project.folder / "models/digits" / experiment / "1"
    return folder.exists() and not (folder / "manifest.json").exists()


def fits(project):
    return list(project.folder.glob("models/searches/hunt/fits/*.json"))


def training_processes(parent):
    """Ids of the processes that a process trains in."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


@pytest.fixture(scope="module")
def trained_here(project):
    """(weights, points) of the study and of the search in one process of this machine."""
    afresh(project, TRAIN)
    found = weights(project)
    afresh(project, SEARCH)
    return found, points(project)


# ---------------------------------------------------------------- Dask


@pytest.mark.slow
def test_on_dask_workers_a_study_and_a_search_have_the_same_bits_and_a_killed_worker_costs_its_own_training(
    project, cluster, workers, trained_here
):
    afresh(project, TRAIN, **cluster.environment)
    assert weights(project) == trained_here[0] and set(trained_here[0]) == set(EXPERIMENTS)
    afresh(project, SEARCH, **cluster.environment)
    assert points(project) == trained_here[1] and len({point["value"] for point in trained_here[1]}) > 2

    study = started(project, TRAIN, **cluster.environment)
    wait_for(lambda: training(project, "long"))
    workers[0].kill()
    assert study.wait(timeout=300) == 0, study.stderr.read()
    assert weights(project) == trained_here[0]

    workers.append(cluster.start_worker())
    search = started(project, SEARCH, **cluster.environment)
    wait_for(lambda: fits(project))
    workers[1].kill()
    assert search.wait(timeout=300) == 0, search.stderr.read()
    assert points(project) == trained_here[1]


@pytest.fixture
def endless(project):
    """For this test, the study has one experiment that is soon done and one that is never done."""
    kept, raw = project.params(), project.params()
    raw["studies"]["digits"]["experiments"] = {"narrow": {}, "endless": {"epochs": 1_000_000}}
    project.write_params(raw)
    yield
    project.write_params(kept)


def in_the_middle(project):
    return training(project, "endless") and (project.folder / "models/digits/narrow/1/manifest.json").exists()


@pytest.mark.slow
def test_what_is_stopped_here_ends_on_the_dask_workers_too(project, cluster, workers, endless):
    raw = project.params()
    del raw["studies"]["digits"]["experiments"]["narrow"]  # its process would stay, for what comes next
    project.write_params(raw)
    study = started(project, TRAIN, **cluster.environment)
    wait_for(lambda: training(project, "endless"))
    os.killpg(study.pid, signal.SIGINT)
    assert study.wait(timeout=20) == 1 and study.stderr.read().strip().split("\n")[-1].startswith("stopped.")
    wait_for(lambda: not any(training_processes(worker.pid) for worker in workers), seconds=20)


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_study_in_one_line_and_what_is_finished_is_kept(project, tmp_path, endless):
    with closing(Cluster(project, tmp_path)) as cluster:
        workers = [cluster.start_worker() for _ in range(2)]
        study = started(project, TRAIN, **cluster.environment)
        wait_for(lambda: in_the_middle(project))
        cluster.scheduler.kill()
        message = study.communicate(timeout=60)[1]
        for worker in workers:
            worker.wait(timeout=60)
    assert study.returncode == 1 and len(message.strip().split("\n")) == 1, message
    assert message.startswith("error: the Dask scheduler is gone")
    raw = project.params()
    raw["studies"]["digits"]["experiments"]["endless"] = {}
    project.write_params(raw)
    assert "trained 1 of 2, 1 unchanged" in project.run(f"python -m {TRAIN}").stdout


def refused(project, cluster):
    done = project.run(f"python -m {TRAIN}", check=False, **cluster.environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stderr.strip().split("\n")[-1]


@pytest.fixture
def worker(cluster):
    """Starts a worker that the test may use; it ends with the test."""
    found = []
    yield lambda *options, **changes: found.append(cluster.start_worker(*options, **changes))
    for process in found:
        process.terminate()
        process.wait()


@pytest.fixture
def untrained(project):
    shutil.rmtree(project.folder / "models", ignore_errors=True)


@pytest.mark.slow
def test_a_worker_with_other_packages_is_refused(project, cluster, untrained, worker, tmp_path):
    (tmp_path / "other/keras-3.0.1.dist-info").mkdir(parents=True)
    (tmp_path / "other/keras-3.0.1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: keras\nVersion: 3.0.1\n"
    )
    worker(PYTHONPATH=str(tmp_path / "other"))
    message = refused(project, cluster)
    assert message.startswith("error: Dask worker tcp://127.0.0.1") and "keras 3.0.1, expected 3." in message


@pytest.mark.slow
def test_a_worker_in_another_folder_is_refused(project, cluster, untrained, worker, tmp_path):
    shutil.copytree(project.folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    worker(cwd=tmp_path / "copy")
    assert f"runs in {tmp_path / 'copy'}" in refused(project, cluster)
    with (tmp_path / "copy/src/training/trainer.py").open("a") as code:
        code.write("# edited\n")
    assert "has code " in refused(project, cluster)


@pytest.mark.slow
def test_a_worker_without_the_project_is_refused(project, cluster, untrained, worker, tmp_path):
    worker(cwd=tmp_path)
    assert "does not find this project" in refused(project, cluster)


@pytest.mark.slow
def test_a_worker_under_a_nanny_is_refused(project, cluster, untrained, worker):
    worker("--nanny")
    assert "--no-nanny" in refused(project, cluster)


@pytest.mark.slow
def test_without_scheduler_or_worker_one_line_says_so(project, cluster, untrained):
    assert "has no worker" in refused(project, cluster)
    done = project.run(
        f"python -m {TRAIN}", check=False, LABORATORY_WORKERS="dask", LABORATORY_ADDRESS="tcp://127.0.0.1:9"
    )
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr


# ---------------------------------------------------------------- Ray


class RayCluster:
    """A Ray head on loopback that trains nothing, and nodes of one thread each, processes of their own."""

    def __init__(self, project, folder):
        pytest.importorskip("ray", reason="Ray is not installed: `pip install ray`")
        self.project, self.folder, self.processes = project, folder, []
        self.sockets = tempfile.mkdtemp(prefix="ray")  # Ray's sockets need a short path
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.start("--head", "--port", self.address.split(":")[1], "--temp-dir", self.sockets, "--num-cpus", "0",
                   "--include-dashboard", "false")  # fmt: skip
        self.environment = {"LABORATORY_WORKERS": "ray", "LABORATORY_ADDRESS": self.address}

    def start(self, *options, cwd=None):
        log = self.folder / f"ray{len(self.processes)}.log"
        with log.open("w") as stream:
            self.processes.append(subprocess.Popen(
                ["ray", "start", *options, "--block", "--disable-usage-stats", "--object-store-memory", "100000000",
                 "--node-ip-address", "127.0.0.1"], cwd=cwd or self.project.folder, env=self.project.environment,
                stderr=stream, stdout=stream))  # fmt: skip
        wait_for(lambda: "Ray runtime started" in log.read_text())
        return self.processes[-1]

    def start_node(self, **options):
        return self.start("--address", self.address, "--num-cpus", "1", **options)

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        shutil.rmtree(self.sockets, ignore_errors=True)


@pytest.fixture
def ray_cluster(project, tmp_path):
    cluster = RayCluster(project, tmp_path)
    yield cluster
    cluster.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_on_ray_a_study_has_the_same_bits_and_a_killed_node_costs_its_own_training(project, ray_cluster, trained_here):
    node = ray_cluster.start_node()
    afresh(project, TRAIN, **ray_cluster.environment)
    assert weights(project) == trained_here[0]

    study = started(project, TRAIN, **ray_cluster.environment)
    wait_for(lambda: training(project, "long"))
    ray_cluster.start_node()
    node.kill()
    assert study.wait(timeout=500) == 0, study.stderr.read()
    assert weights(project) == trained_here[0]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_ray_node_in_another_folder_or_with_other_code_is_refused(project, ray_cluster, untrained, tmp_path):
    shutil.copytree(project.folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    ray_cluster.start_node(cwd=tmp_path / "copy")
    assert refused(project, ray_cluster).startswith("error: Ray worker on ")
    assert f"runs in {tmp_path / 'copy'}" in refused(project, ray_cluster)
    with (tmp_path / "copy/src/training/trainer.py").open("a") as code:
        code.write("# edited\n")
    assert "has code " in refused(project, ray_cluster)


def test_without_ray_one_line_says_so(raw_params, monkeypatch):
    settings = params.validate(raw_params | {"workers": {"backend": "ray", "address": "127.0.0.1:9"}})
    with pytest.raises(LaboratoryError, match="no Ray cluster answers at 127.0.0.1:9|pip install ray"):
        backends.chosen(settings).__enter__()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LaboratoryError, match="pip install ray"):
        backends.chosen(settings).__enter__()


# ---------------------------------------------------------------- docs/cluster


@pytest.fixture
def stub(project, tmp_path):
    """Makes a command that stands in for one of a real cluster; returns the PATH that has it."""
    environment = project.folder / ".venv"
    environment.symlink_to(BIN.parent)

    def write(name, script):
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
        return f"{tmp_path}{os.pathsep}{project.environment['PATH']}"

    yield write
    environment.unlink()


@pytest.mark.slow
def test_the_slurm_script_trains_on_the_workers_that_it_starts(project, stub, untrained, trained_here):
    done = project.run("docs/cluster/slurm.sh train@digits", PATH=stub("srun", 'exec "$@"'), SLURM_JOB_ID=str(os.getpid()),
                       SLURM_NTASKS="1", SLURM_CPUS_PER_TASK="1")  # fmt: skip
    assert "Registered to" in done.stderr and "trained 3 of 3" in done.stdout
    assert weights(project) == trained_here[0]


@pytest.mark.slow
def test_the_ssh_script_starts_workers_that_end_with_it(project, stub, untrained, trained_here, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # As on another machine, Ctrl-C does not reach what runs there.
    path, log = stub("ssh", f'echo $$ > {tmp_path}/there; [ "$1" = -n ] && exec setsid bash -c "$3"'), tmp_path / "log"
    with log.open("w") as stream:
        script = subprocess.Popen(["docs/cluster/ssh.sh", "pc01"], cwd=project.folder, start_new_session=True, stderr=stream,
                                  env=project.environment | {"PATH": path, "PORT": port}, stdout=subprocess.PIPE, text=True)  # fmt: skip
    exported = script.stdout.readline()
    try:
        wait_for(lambda: "Registered to" in log.read_text())
        project.run(f"{exported.strip()} && python -m {TRAIN}")
        assert weights(project) == trained_here[0] and f":{port}" in exported
    finally:
        os.killpg(script.pid, signal.SIGINT)
    wait_for(lambda: not Path("/proc", (tmp_path / "there").read_text().strip()).exists(), seconds=60)


def test_the_kubernetes_manifest_fits_together():
    """Selectors find their pods, volumes are mounted where the commands look, and Dask knows the commands' options."""
    found = {(each["kind"], each["metadata"]["name"]): each["spec"]
             for each in yaml.safe_load_all((ROOT / "docs/cluster/kubernetes.yaml").read_text())}  # fmt: skip
    pods = {name: spec["template"] for (_, name), spec in found.items() if "template" in spec}
    for name in ("scheduler", "workers"):
        assert found["Deployment", name]["selector"]["matchLabels"] == pods[name]["metadata"]["labels"]
    service = found["Service", "scheduler"]
    assert service["selector"] == pods["scheduler"]["metadata"]["labels"]
    address = f"tcp://scheduler:{service['ports'][0]['port']}"
    containers = {name: pod["spec"]["containers"][0] for name, pod in pods.items()}
    for name, container in containers.items():
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"]: container["workingDir"] for volume in pods[name]["spec"]["volumes"]}
    environment = {each["name"]: each["value"] for each in containers["repro"]["env"]}
    assert environment == {"LABORATORY_WORKERS": "dask", "LABORATORY_ADDRESS": address}
    given = [dask_scheduler.main.make_context("scheduler", containers["scheduler"]["command"][4:]).params,
             dask_worker.main.make_context("worker", containers["workers"]["command"][4:]).params]  # fmt: skip
    assert str(given[0]["port"]) in address and given[1]["scheduler"] == address and given[1]["nanny"] is False
    assert str(given[1]["nthreads"]) == containers["workers"]["resources"]["requests"]["cpu"]


# ---------------------------------------------------------------- this machine


@pytest.mark.slow
def test_a_process_that_dies_costs_its_own_experiment_only(project, trained_here):
    study = started(project, TRAIN)
    wait_for(lambda: training(project, "long"))
    os.kill(training_processes(study.pid)[0], signal.SIGKILL)
    message = study.communicate(timeout=300)[1]
    assert study.returncode == 1 and "Traceback" not in message
    assert (
        message.strip()
        .split("\n")[-1]
        .startswith("error: study digits, experiment long (repeat 1): a worker process died")
    )
    assert weights(project).keys() == {"narrow", "wide"}
    assert "trained 1 of 3" in project.run(f"python -m {TRAIN}").stdout and weights(project) == trained_here[0]


@pytest.mark.slow
def test_a_process_that_dies_costs_a_search_its_own_trial_only(project, trained_here):
    search = started(project, SEARCH)
    wait_for(lambda: fits(project))
    os.kill(training_processes(search.pid)[0], signal.SIGKILL)
    message = search.communicate(timeout=300)[1]
    assert search.returncode == 1 and message.strip().split("\n")[-1].startswith("error: a worker process died")
    before = {path: path.stat().st_mtime_ns for path in fits(project)}
    assert len(before) == 3
    project.run(f"python -m {SEARCH}")
    assert before.items() <= {path: path.stat().st_mtime_ns for path in fits(project)}.items()
    assert points(project) == trained_here[1]


# ---------------------------------------------------------------- the setting


def test_the_environment_comes_before_params_yaml(raw_params, monkeypatch):
    settings = params.validate(raw_params)
    assert isinstance(backends.chosen(settings), backends.Local)
    monkeypatch.setenv("LABORATORY_WORKERS", "dask")
    with pytest.raises(LaboratoryError, match="address"):
        backends.chosen(settings)
    monkeypatch.setenv("LABORATORY_ADDRESS", "tcp://10.0.0.1:8786")
    assert backends.chosen(settings).address == "tcp://10.0.0.1:8786"
    monkeypatch.setenv("LABORATORY_WORKERS", "local")
    assert isinstance(backends.chosen(settings), backends.Local)
    monkeypatch.setenv("LABORATORY_WORKERS", "dusk")
    with pytest.raises(LaboratoryError, match="workers.*'dusk'"):
        backends.chosen(settings)


@pytest.mark.slow
def test_on_one_machine_neither_dask_nor_ray_is_imported(project, untrained):
    code = ("import runpy, sys; sys.argv[1:] = ['digits']; runpy.run_module('src.stages.train', run_name='__main__'); "
            "sys.exit(bool(sys.modules.keys() & {'dask', 'distributed', 'ray'}))")  # fmt: skip
    assert "trained 3 of 3" in project.run(f'python -c "{code}"').stdout
