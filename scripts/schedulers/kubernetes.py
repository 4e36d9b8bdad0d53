"""Kubernetes: no cluster is needed to know whether its manifest is valid, nor to run
what an Indexed Job runs: the command of the manifest, with the number of its index,
again if it failed with a code for which the policy says so."""

import json
import os
import re

import bed
import install

# Of kubernetes-validate, from the first that has what the manifest says.
OLDEST = 29


def checks(place):
    missing = install.missing_modules("kubernetes")
    if missing:
        raise bed.Skip(f"needs {missing[0]}")
    job = place.job("kubernetes")
    manifest = place.script(job, "k8s")
    versions = validated(manifest)
    yield bed.Version(versions[-1])
    yield f"the manifest is valid for {versions[0]} to {versions[-1]}"
    spec = parsed(manifest)["spec"]
    yield run_as_indexed(place, job, spec)
    yield refused_for_good(place, job, spec)


def known_versions():
    """Of which kubernetes-validate has a schema."""
    where = "import kubernetes_validate as found; print(found.__path__[0])"
    folder = os.path.join(bed.run([install.python(), "-c", where]).strip(), "kubernetes-json-schema")
    found = {re.fullmatch(r"v1\.(\d+)\..*", name) for name in os.listdir(folder)}
    minors = sorted({int(match[1]) for match in found if match})
    return [f"1.{minor}" for minor in minors if minor >= OLDEST]


def validated(manifest):
    """For which versions of Kubernetes it is valid; must be all that can be asked."""
    versions = known_versions()
    assert versions, "kubernetes-validate knows no version that has this"
    tool = os.path.join(install.PYTHON, "bin", "kubernetes-validate")
    for version in versions:
        bed.run([tool, "--strict", "-k", version, manifest])
    return versions


def parsed(manifest):
    text = "import sys, json, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    return json.loads(bed.run([install.python(), "-c", text, manifest]))


def pod(place, job, spec, index):
    """Starts what the pod of an index runs."""
    (container,) = spec["template"]["spec"]["containers"]
    environment = dict(place.environment(), JOB_COMPLETION_INDEX=str(index))
    return place.start(container["command"], environment, f"{job.folder}.{index}.log")


def is_final(spec, code):
    """Whether the policy fails an index for good that ended so."""
    rules = [rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"]
             if rule["action"] == "FailIndex"]
    return any(rule["operator"] == "In" and code in rule["values"] for rule in rules)


def run_as_indexed(place, job, spec):
    count, again = spec["completions"], spec["backoffLimitPerIndex"]
    pods = {index: pod(place, job, spec, index) for index in range(count)}
    job.wait_for_all()
    loss = job.kill([pods[count - 1].pid])
    for index in range(count):
        for _ in range(again + 1):
            code = pods[index].wait(bed.PATIENCE)
            # As a shell says it, and a container.
            code = 128 - code if code < 0 else code
            if code == 0:
                break
            assert not is_final(spec, code), f"index {index} has failed for good: {code}"
            pods[index] = pod(place, job, spec, index)
        assert code == 0, f"index {index}: exit {code}"
    return f"an index killed, and run again: {job.check(loss)}"


def refused_for_good(place, job, spec):
    """What trying again does not help is not tried again."""
    (container,) = spec["template"]["spec"]["containers"]
    container["command"] = [*container["command"][:-1], job.copy + ".other"]
    code = pod(place, job, spec, 0).wait(bed.PATIENCE)
    assert is_final(spec, code), f"exit {code} would be tried again"
    return f"another destination with the same folder fails the index for good (exit {code})"
