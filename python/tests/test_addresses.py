"""Sources that a server hands out."""

import os
import signal
import subprocess
import sys
import zipfile

import pytest

import pcopy
from conftest import MIB, pattern


def test_a_copy_and_a_range_of_an_address(server, tmp_path):
    report = pcopy.copy(server.address, tmp_path / "copy", connections=2, digest="sha256")
    assert (tmp_path / "copy").read_bytes() == server.content
    assert report.source.path == server.address
    pcopy.copy(server.address, tmp_path / "part", range=(MIB, MIB + 9))
    assert (tmp_path / "part").read_bytes() == server.content[MIB : MIB + 9]


def test_bytes_of_an_address_in_memory(server):
    buffer = bytearray(MIB)
    assert pcopy.read_into(server.address, buffer, 5) == MIB
    assert buffer == server.content[5 : MIB + 5]
    with pcopy.open_range(server.address, 100, 2 * MIB) as file:
        file.seek(-9, 2)
        assert file.read() == server.content[2 * MIB - 9 : 2 * MIB]


def test_who_asks_is_told_and_never_shown(server, tmp_path):
    server.wanted = ("X-Key", "secret-word")
    with pytest.raises(pcopy.Refused) as caught:
        pcopy.copy(server.address, tmp_path / "copy")
    assert "headers={" in str(caught.value)
    for headers in ({"X-Key": "secret-word"}, ["X-Key: secret-word"], "X-Key: secret-word"):
        report = pcopy.copy(server.address, tmp_path / "copy", headers=headers, force=True)
        assert "secret-word" not in repr(report)
    assert pcopy.read_into(server.address, bytearray(9), headers=headers) == 9
    assert len(pcopy.open_range(server.address, headers=headers)) == 3 * MIB
    with pytest.raises(ValueError) as caught:
        pcopy.copy(server.address, tmp_path / "other", headers={"Bad Name": "secret-word"})
    assert "secret-word" not in str(caught.value)


def test_a_name_and_a_password(server):
    server.wanted = ("Authorization", "Basic bWU6cHc=")
    for host in (None, "127.0.0.1"):
        logins = {host: ("me", "pw")}
        assert pcopy.read_into(server.address, bytearray(9), logins=logins) == 9


def test_a_proxy_is_asked_and_may_be_wrong(server, tmp_path):
    with pytest.raises(ValueError, match="htpp"):
        pcopy.copy(server.address, tmp_path / "copy", proxies={"htpp": "http://x"})
    proxy = server.proxy
    with pytest.raises(pcopy.Error):
        pcopy.copy("http://none.invalid/x", tmp_path / "copy", max_retries=0, timeout=5)
    assert pcopy.read_into("http://none.invalid/x", bytearray(9), proxies={"http": proxy}) == 9
    assert set(server.connected) == {"none.invalid:80"}


def test_an_archive_on_a_server(server, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as file:
        file.writestr("padding", pattern(MIB))
        file.writestr("hello", "world")
    server.content = (tmp_path / "archive").read_bytes()
    with zipfile.ZipFile(pcopy.open_range(server.address)) as file:
        assert file.read("hello") == b"world"


def test_ctrl_c_while_a_server_is_silent(server):
    program = (
        "import sys, time, pcopy\n"
        "try:\n"
        "    print(pcopy.open_range(sys.argv[1]).read(9))\n"
        "except KeyboardInterrupt:\n"
        "    print('heard')\n"
    )
    address = server.address.replace("/image", "/hangs")
    running = subprocess.Popen([sys.executable, "-c", program, address], stdout=subprocess.PIPE)
    assert server.hung.wait(60)
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=20)[0] == b"heard\n"


def asked(program, *words, **environment):
    """What `program` prints that runs in a process of its own, with `environment`."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if "proxy" not in name.lower() and not name.startswith(("AWS_", "SSL_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sys, pcopy\n" + program, *map(str, words)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


READS = "buffer = bytearray(9)\nprint(pcopy.read_into(sys.argv[1], buffer, trust_env=True))\n"


def test_the_environment_is_asked_if_it_is_trusted(server, tmp_path):
    """Proxies and names with passwords, as the command finds them."""
    address, proxy = "http://none.invalid/x", server.proxy
    assert asked(READS, address, http_proxy=proxy) == "9\n"
    assert set(server.connected) == {"none.invalid:80"}
    server.connected.clear()
    refused = (
        "try:\n"
        "    pcopy.read_into(sys.argv[1], bytearray(9), max_retries=0, timeout=5)\n"
        "except pcopy.Error:\n"
        "    print('refused')\n"
    )
    assert asked(refused, address, http_proxy=proxy) == "refused\n"
    assert not server.connected
    # What is said by keyword counts.
    said = READS.replace("trust_env", "proxies={'http': sys.argv[2]}, trust_env")
    assert asked(said, address, proxy, http_proxy="http://127.0.0.1:1") == "9\n"
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password pw\n")
    server.wanted = ("Authorization", "Basic bWU6cHc=")
    assert asked(READS, server.address, NETRC=str(netrc)) == "9\n"


def test_objects_of_s3_are_read_and_written(service, source, tmp_path):
    told = service.told
    report = pcopy.copy(source, "s3://bucket/folder/object", digest="md5", **told)
    assert service.objects == {"/bucket/folder/object": pattern(3 * MIB)}
    assert report.destination.kind == "s3" and report.durable
    assert "secret-word" not in repr(report)
    # In parts, and with the name of the file.
    large = tmp_path / "large"
    large.write_bytes(pattern(20 * MIB))
    pcopy.copy(large, "s3://bucket/", aws_session_token="token", **told)
    assert service.objects["/bucket/large"] == pattern(20 * MIB)
    assert service.askers == {("AKID", None), ("AKID", "token")}
    with pytest.raises(FileExistsError):
        pcopy.copy(source, "s3://bucket/large", **told)

    pcopy.copy("s3://bucket/large", tmp_path / "part", range=(5, 9 * MIB), connections=2, **told)
    assert (tmp_path / "part").read_bytes() == pattern(20 * MIB)[5 : 9 * MIB]
    buffer = bytearray(MIB)
    assert pcopy.read_into("s3://bucket/large", buffer, 7, **told) == MIB
    assert buffer == pattern(20 * MIB)[7 : MIB + 7]
    with pcopy.open_range("s3://bucket/large", 100, 200, **told) as file:
        assert file.read() == pattern(200)[100:]
    pcopy.verify("s3://bucket/large", large, **told)


def test_who_asks_s3(service, tmp_path):
    """Nobody, unless somebody said who; and which ways there are."""
    service.objects["/bucket/object"] = pattern(MIB)
    there, buffer = {"endpoint_url": service.address}, bytearray(9)
    with pytest.raises(pcopy.Refused) as caught:
        pcopy.read_into("s3://bucket/object", buffer, **there)
    assert "no credentials" in str(caught.value) and "trust_env=True" in caught.value.remedies
    assert pcopy.read_into("s3://bucket/object", buffer, no_sign_request=True, **there) == 9
    assert service.askers == {("nobody", None)}
    for half in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
        with pytest.raises(ValueError, match="belong together") as caught:
            pcopy.read_into("s3://bucket/object", buffer, **{half: "secret-word"})
        assert "secret-word" not in str(caught.value)
    with pytest.raises(ValueError, match="no_sign_request"):
        pcopy.read_into("s3://bucket/object", buffer, no_sign_request=True, **service.told)
    with pytest.raises(FileNotFoundError):
        pcopy.read_into("s3://bucket/none", buffer, **service.told)


def test_what_the_tools_of_aws_are_told(service, tmp_path):
    service.objects["/bucket/object"] = pattern(MIB)
    keys = tmp_path / "credentials"
    keys.write_text("[work]\naws_access_key_id = WORK\naws_secret_access_key = secret-word\n")
    told = {"AWS_SHARED_CREDENTIALS_FILE": str(keys), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    told["AWS_ENDPOINT_URL_S3"] = service.address
    by_profile = READS.replace("trust_env=True", "profile='work'")
    assert asked(by_profile, "s3://bucket/object", **told) == "9\n"
    told |= {"AWS_ACCESS_KEY_ID": "OTHER", "AWS_SECRET_ACCESS_KEY": "secret-word"}
    assert asked(READS, "s3://bucket/object", **told) == "9\n"
    assert {asker for asker, _token in service.askers} == {"WORK", "OTHER"}
