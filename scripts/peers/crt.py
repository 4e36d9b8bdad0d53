"""Gets an object by the client of AWS, awscrt: HOST PORT KEY FILE.

Run by the Python that has it, see tools.install.
"""

import sys

from awscrt import http, io, s3

# Of each of its requests, as pcopy has it.
PART = 4 << 20


def get(host, port, key, path):
    group = io.EventLoopGroup()
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    client = s3.S3Client(
        bootstrap=bootstrap,
        region="us-east-1",
        tls_mode=s3.S3RequestTlsMode.DISABLED,
        throughput_target_gbps=10.0,
        part_size=PART,
    )
    headers = http.HttpHeaders([("host", f"{host}:{port}")])
    request = http.HttpRequest("GET", key, headers)
    kind = s3.S3RequestType.GET_OBJECT
    client.make_request(request=request, type=kind, recv_filepath=path).finished_future.result()


get(*sys.argv[1:])
