"""A real nginx with a documented configuration, on a port and a certificate of the test's own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .processes import SECONDS, answers


def nginx() -> str:
    """Return nginx's path; without it the test is skipped, except in CI."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no nginx on this machine (Debian, Ubuntu: apt install nginx-light)")
        pytest.skip("no nginx on this machine (Debian, Ubuntu: apt install nginx-light)")
    return program


@asynccontextmanager
async def in_front(folder: Path, site: str, port: int, *, extra: str = "") -> AsyncIterator[None]:
    """Run nginx with the text of a site that listens on 443, here on ``port``; ``extra`` goes into ``location /``."""
    program = nginx()
    certify(folder)
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;", site)
    site = re.sub(r"(ssl_certificate(?:_key)?) \S*/", rf"\1 {folder}/", site)
    site = site.replace("location / {", f"location / {{\n{extra}")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nworker_processes 1;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{site}}}\n",
        encoding="utf-8",
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    test = await asyncio.create_subprocess_exec(*command, "-t", stderr=asyncio.subprocess.PIPE)
    _, said = await test.communicate()
    assert test.returncode == 0, said.decode()
    process = await asyncio.create_subprocess_exec(*command, "-g", "daemon off;")
    try:
        await answers(port, process)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(SECONDS):
                await process.wait()


def trusting(folder: Path) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    """Return a client that trusts the certificate of the folder."""
    context = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    return httpx2.AsyncClient(verify=context, timeout=SECONDS)


def certify(folder: Path) -> None:
    """Write a certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
