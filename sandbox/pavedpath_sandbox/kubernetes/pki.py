"""The cluster's own certificate authority, its serving certificate and the key of service account tokens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pavedpath_sandbox.layout import write_private

if TYPE_CHECKING:
    from cryptography import x509

_VALID = timedelta(days=3650)
# What pods would call the API server, and what everyone on this machine does.
_DNS_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", "10.0.0.1")


@dataclass(frozen=True)
class Pki:
    """Paths of the PEM files in `directory`; keys are readable by their owner only."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.directory / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The serving certificate of API server, controller manager and scheduler."""
        return self.directory / "server.crt"

    @property
    def key(self) -> Path:
        """The serving certificate's key."""
        return self.directory / "server.key"

    @property
    def accounts_key(self) -> Path:
        """The private key that signs service account tokens."""
        return self.directory / "service-accounts.key"

    @property
    def accounts_public(self) -> Path:
        """Its public half, with which the API server verifies them."""
        return self.directory / "service-accounts.pub"

    def ensure(self) -> None:
        """Make all files if one is missing. They go together, so none is made alone."""
        files = (self.ca, self.certificate, self.key, self.accounts_key, self.accounts_public)
        if all(file.is_file() for file in files):
            return
        for file, content in zip(files, _generate(datetime.now(UTC)), strict=True):
            write_private(file, content)


def _generate(now: datetime) -> tuple[str, str, str, str, str]:
    """Return CA certificate, serving certificate, its key, accounts' key and accounts' public key, in PEM."""
    # Imported here: the commands that only read a sandbox do not pay for it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def builder(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("pavedpath sandbox CA"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + _VALID)
        )

    authority, server, accounts = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca = (
        builder("pavedpath sandbox CA", authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signing_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    alternatives = [x509.DNSName(text) for text in _DNS_NAMES]
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in _ADDRESSES]
    serving = (
        builder("kube-apiserver", server.public_key())
        .add_extension(x509.SubjectAlternativeName([*alternatives, *addresses]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = serialization.Encoding.PEM
    return (
        ca.public_bytes(pem).decode(),
        serving.public_bytes(pem).decode(),
        private_pem(server),
        private_pem(accounts),
        public.decode(),
    )


def _signing_usage() -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
