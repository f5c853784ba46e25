"""A cluster that is spoken to under certificates, and only under those of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from dask_workers import start_worker
from distributed import Client, LocalCluster, Security
from test_cluster import SWEEP
from test_spreading import heatmap, spread

from pages.ui.settings import Settings
from pruning_core.errors import UserError
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.cluster import dask_crew

pytestmark = pytest.mark.usefixtures("one_thread")


def certificates(folder: Path) -> Path:
    """A folder as `PRUNESCOPE_CLUSTER_CERTIFICATES` names it, with an authority of its own."""
    folder.mkdir()
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _signed("authority", authority.public_key(), "authority", authority, True)
    (folder / "ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
    member = _signed("member", own.public_key(), "authority", authority, False)
    (folder / "cert.pem").write_bytes(member.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder


def _signed(
    name: str, key: ec.EllipticCurvePublicKey, by: str, signer: ec.EllipticCurvePrivateKey, authority: bool
) -> x509.Certificate:
    named, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, by))
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(issuer, named, key, x509.random_serial_number(), now, now + timedelta(days=1))
    limits = x509.BasicConstraints(authority, None)
    known_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    more = made.add_extension(limits, True).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    return more.add_extension(known_by, False).sign(signer, SHA256())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def scheduler(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With one worker."""
    ca, cert, key = (str(ours / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    security = Security(
        tls_ca_file=ca, tls_scheduler_cert=cert, tls_scheduler_key=key, tls_client_cert=cert, tls_client_key=key,
        require_encryption=True,
    )  # fmt: skip
    with LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address=None, protocol="tls://", security=security
    ) as cluster:
        options = ("--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key)
        worker = start_worker(cluster.scheduler_address, tmp_path_factory.mktemp("worker"), *options)
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        yield cluster.scheduler_address
        worker.kill()
        worker.wait()


def test_a_sweep_under_certificates_is_that_of_one_machine(scheduler: str, ours: Path, workspace: Workspace) -> None:
    assert scheduler.startswith("tls://")
    together = spread(SWEEP, workspace, dask_crew(scheduler, str(ours)))
    assert heatmap(together) == heatmap(list(SWEEP.run(workspace)))


def test_who_has_none_or_others_is_told_so(
    scheduler: str, ours: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning_core.studies.cluster.PATIENCE", 1.0)
    others = certificates(tmp_path / "others")
    for crew in (
        dask_crew(scheduler),
        dask_crew(scheduler, str(others)),
        dask_crew(scheduler.replace("tls", "tcp"), str(ours)),
    ):
        with pytest.raises(UserError, match="PRUNESCOPE_CLUSTER_CERTIFICATES"):
            spread(SWEEP, workspace, crew)


def test_a_folder_that_lacks_a_file_is_found_out_at_the_start(ours: Path, tmp_path: Path) -> None:
    read = Settings.read({"PRUNESCOPE_CLUSTER_CERTIFICATES": str(ours)})
    assert read.certificates == str(ours)
    with pytest.raises(UserError, match=r"ca\.pem and cert\.pem and key\.pem"):
        Settings.read({"PRUNESCOPE_CLUSTER_CERTIFICATES": str(tmp_path)})
