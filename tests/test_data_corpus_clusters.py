"""The same corpus made by Ray, by Spark, and in a store of objects."""

import os
import subprocess
import sys
import time

import pytest

import cli
import corpora_made as made
from llama3_tok.data.corpora import corpus, verify

TEXTS = made.documents(400, 11)
OPTIONS = {"field": "text", "eos": True, "shard_tokens": 2000, "splits": {"valid": 0.2}}

RUN = """
import sys
from llama3_tok.data.corpora import corpus
corpus(sys.argv[1], sys.argv[2], engine=sys.argv[3], field="text", eos=True, shard_tokens=2000,
       splits={"valid": 0.2})
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "t.jsonl"
    path.write_bytes(made.records(TEXTS))
    return path


@pytest.fixture(scope="module")
def expected(source):
    out = source.parent / "whole"
    corpus(source, out, **OPTIONS)
    return made.tree(out)


def start(source, out, engine, **environment):
    """Runs a job on an engine in a process of its own, as these leave threads and children."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(source), str(out), engine],
        env=cli.environment(**environment),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


SPARK = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell"}
RAY = {"RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


@pytest.mark.parametrize(("engine", "environment"), [("ray", RAY), ("spark", SPARK)])
def test_a_cluster_writes_the_same_files(tmp_path, source, expected, engine, environment):
    pytest.importorskip({"ray": "ray.data", "spark": "pyspark"}[engine])
    running = start(source, tmp_path / "out", engine, **environment)
    _, errors = running.communicate()
    assert running.returncode == 0, errors.decode()[-3000:]
    assert made.tree(tmp_path / "out") == expected


@pytest.mark.parametrize(("engine", "environment"), [("ray", RAY), ("spark", SPARK)])
def test_a_worker_that_is_killed_costs_nothing(tmp_path, source, expected, engine, environment):
    """The engine gives its section to another one, or the next run does what is left."""
    pytest.importorskip({"ray": "ray.data", "spark": "pyspark"}[engine])
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out"
    running = start(source, out, engine, **environment)
    killed = 0
    while running.poll() is None and not killed:
        if list((out / "_progress").glob("0*.json")):
            for child in psutil.Process(running.pid).children(recursive=True):
                try:
                    words = " ".join(child.cmdline())
                except psutil.Error:  # it ended meanwhile
                    continue
                if "ray::" in words or "pyspark.daemon" in words or "pyspark/daemon" in words:
                    child.kill()
                    killed += 1
        time.sleep(0.01)
    _, errors = running.communicate()
    if running.returncode:
        corpus(source, out, **OPTIONS)
    assert made.tree(out) == expected, errors.decode()[-2000:]


def test_a_store_of_objects_has_the_same_files(tmp_path, source, expected):
    """A local server that speaks as S3 does; the input is there as well."""
    fs = pytest.importorskip("pyarrow.fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        system = fs.S3FileSystem(
            access_key="test",
            secret_key="test",
            endpoint_override=f"{host}:{port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        system.create_dir("bucket")
        with system.open_output_stream("bucket/in/t.jsonl") as stream:
            stream.write(source.read_bytes())
        query = f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        code = RUN.replace(
            "sys.argv[1], sys.argv[2]", repr("s3://bucket/in" + query) + ", sys.argv[2]"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, "", f"s3://bucket/out{query}", "threads"],
            env={**os.environ, **keys},
            capture_output=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr.decode()[-3000:]
        copy = tmp_path / "copy"
        fs.copy_files("bucket/out", str(copy), source_filesystem=system)
    finally:
        server.stop()
    found, wanted = made.tree(copy), dict(expected)
    # The manifest names the input, which is another one.
    assert found.pop("manifest.jsonl") != wanted.pop("manifest.jsonl")
    assert found == wanted
    assert verify(copy).documents == len(TEXTS)
