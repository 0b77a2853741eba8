"""Authorities and certificates of a scenario's own, made by openssl."""

import hashlib
import ssl
import subprocess
import tempfile
from pathlib import Path

from azure.iot.device import X509

folder = Path(tempfile.mkdtemp(prefix="pki-"))


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def made(name, file, above=None, authority=False, names=()):
    """A certificate with this common name, signed by `above` or by itself, of a server with these names; its files' stem."""
    stem = folder / file
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{stem}.key"]
    openssl("req", "-new", *key, "-out", f"{stem}.csr", "-subj", "/CN=" + name.replace("/", "\\/"))
    extensions = folder / f"{file}.ext"
    alternatives = "subjectAltName=" + ",".join(f"DNS:{one}" for one in names) + "\n" if names else ""
    extensions.write_text(f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}\n{alternatives}")
    signer = ["-CA", f"{above}.pem", "-CAkey", f"{above}.key", "-CAcreateserial"] if above else ["-signkey", f"{stem}.key"]
    openssl("x509", "-req", "-in", f"{stem}.csr", *signer, "-out", f"{stem}.pem", "-days", "1", "-extfile", extensions)
    return stem


def shown(stem):
    return X509(cert_file=f"{stem}.pem", key_file=f"{stem}.key")


def thumbprint(stem):
    """SHA-256, as a hub knows a certificate by."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(f"{stem}.pem").read_text())).hexdigest().upper()
