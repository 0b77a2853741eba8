"""s3rver (npm), which keeps buckets in a folder: it ends with the scenario. It knows ids of keys, and believes signatures of version 4."""

import atexit
import subprocess
import urllib.error
import urllib.request

from . import CONFORMANCE, WORK, eventually

PORT = 4568  # in the scenario's own network
KEY = "S3RVER"  # both of them
PROGRAM = CONFORMANCE / "node" / "node_modules" / "s3rver" / "bin" / "s3rver.js"


def start(bucket):
    """Starts it; answers a connection string, and what gives each object of the bucket with its content."""
    folder = WORK / "s3"
    options = ["--directory", folder, "--address", "127.0.0.1", "--port", PORT, "--silent", "--no-vhost-buckets", "--configure-bucket", bucket]
    process = subprocess.Popen(["node", PROGRAM, *map(str, options)], stdout=subprocess.DEVNULL)
    atexit.register(process.kill)

    def answers():
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5)
        except urllib.error.HTTPError:
            return True  # it wants a signature
        return True

    eventually(answers, seconds=30, what="s3rver")

    def objects():
        suffix = "._S3rver_object"
        found = sorted((folder / bucket).rglob(f"*{suffix}"))
        return {str(path.relative_to(folder / bucket)).removesuffix(suffix): path.read_bytes() for path in found}

    return f"S3Endpoint=http://127.0.0.1:{PORT};AccessKeyId={KEY};SecretAccessKey={KEY}", objects
