//! Certificates for tests: an authority, a server that it vouches for, and a client. Made by openssl, which nobody here
//! wrote.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use load::{Target, Tls, TlsSettings};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;

/// The name that the server's certificate is for.
pub(crate) const HOST: &str = "localhost";

/// A directory of certificates and keys.
pub(crate) struct Pki {
    dir: TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = [
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=tests",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ];
        pki.openssl(&[&["req"], &curve[..], &authority].concat());
        for (name, alternative) in [
            ("server", "subjectAltName=DNS:localhost,DNS:shop.test,IP:127.0.0.1"),
            ("client", "extendedKeyUsage=clientAuth"),
        ] {
            let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
            let subject = format!("/CN={name}");
            let made = ["-subj", &subject, "-keyout", &key, "-out", &request];
            pki.openssl(&[&["req"], &curve[..], &made].concat());
            let (extensions, certificate) = (format!("{name}.ext"), format!("{name}.pem"));
            std::fs::write(pki.file(&extensions), alternative).unwrap();
            let signed = [
                "-req",
                "-days",
                "2",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
            ];
            let files = ["-in", &request, "-extfile", &extensions, "-out", &certificate];
            pki.openssl(&[&["x509"], &signed[..], &files].concat());
        }
        pki
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .expect("openssl runs: install it with `apt-get install openssl`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What a client needs to believe the server.
    pub(crate) fn settings(&self) -> TlsSettings {
        TlsSettings {
            authorities: Some(self.file("ca.pem")),
            ..TlsSettings::default()
        }
    }

    /// `target` with TLS.
    pub(crate) fn encrypted(&self, target: Target) -> Target {
        Target {
            tls: Some(Tls::new(&self.settings(), HOST).unwrap()),
            ..target
        }
    }

    /// A server of rustls, for behaviours that no real one has.
    pub(crate) fn server(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_file_iter(self.file("server.pem")).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}
