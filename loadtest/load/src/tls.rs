//! TLS towards one server: whom we trust, who we are, and what is offered in the handshake.
//!
//! What belongs here: settings and what rustls makes of them. What does not: when a connection is made (`dial`).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};
use tokio_rustls::TlsConnector;

use crate::target::Protocol;

/// Sessions that a connection keeps to resume: its server is one, whatever its addresses.
const SESSIONS_OF_A_CONNECTION: usize = 1;

/// TLS as the command line wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates (PEM) of the authorities that are trusted; those of the system where there is none.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and those between it and its authority (PEM).
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM); without it the key is looked for in the file of the certificate.
    pub key: Option<PathBuf>,
    /// Whoever answers is believed to be the server: for certificates that nobody vouches for.
    pub is_insecure: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates or keys.
    #[error("{what} {}: {why}", file.display())]
    File {
        /// Which one.
        what: &'static str,
        /// Its name.
        file: PathBuf,
        /// The fault.
        why: String,
    },
    /// The system trusts nobody.
    #[error("no certificate authority is installed on this system ({0}): name one with --cacert FILE")]
    NoRoots(String),
    /// A name that no certificate can have.
    #[error("`{0}` is no name of a server")]
    Name(String),
    /// rustls refuses what it was given.
    #[error("TLS: {0}")]
    Refused(#[from] rustls::Error),
}

/// TLS towards one server.
#[derive(Clone)]
pub struct Tls {
    /// Shared: it is large, and a target is cloned for every launch.
    config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    settings: TlsSettings,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, settings) = (&self.name, &self.settings);
        f.debug_struct("Tls")
            .field("name", name)
            .field("settings", settings)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Towards the server `host`, a name or an address without brackets.
    ///
    /// # Errors
    /// When a file cannot be read or says nothing, or the name is none.
    pub fn new(settings: &TlsSettings, host: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let trusting = if settings.is_insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Credulous { provider }))
        } else {
            builder.with_root_certificates(authorities(settings.authorities.as_deref())?)
        };
        let config = match &settings.certificate {
            Some(file) => {
                let chain = certificates("client certificate", file)?;
                let key = private_key(settings.key.as_deref().unwrap_or(file))?;
                trusting.with_client_auth_cert(chain, key)?
            }
            None => trusting.with_no_client_auth(),
        };
        Ok(Self {
            config: Arc::new(config),
            name,
            settings: settings.clone(),
        })
    }

    /// Whether anybody who answers is believed.
    pub(crate) fn is_insecure(&self) -> bool {
        self.settings.is_insecure
    }

    /// Whether we have a certificate of our own.
    pub(crate) fn has_client_certificate(&self) -> bool {
        self.settings.certificate.is_some()
    }

    /// Makes the handshakes of one connection, one after the other. It resumes only its own sessions: those of another
    /// user would be none of this one's.
    pub(crate) fn connector(&self, offered: &[Protocol]) -> TlsConnector {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_A_CONNECTION);
        config.alpn_protocols = offered.iter().map(|protocol| protocol.alpn().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates("--cacert", file)? {
            let added = roots.add(certificate);
            added.map_err(|error| unusable("--cacert", file, &error))?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(why.join("; ")));
    }
    Ok(roots)
}

fn certificates(what: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>);
    let certificates = read.map_err(|error| unusable(what, file, &error))?;
    if certificates.is_empty() {
        return Err(unusable(what, file, &"it holds no certificate (PEM)"));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(
            "client key",
            file,
            &"it holds no private key (PEM); give it with --key FILE",
        ),
        other => unusable("client key", file, &other),
    })
}

fn unusable(what: &'static str, file: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError::File {
        what,
        file: file.to_owned(),
        why: why.to_string(),
    }
}

/// Believes whoever answers. What it says is still held against its key, so that the handshake costs what it costs.
#[derive(Debug)]
struct Credulous {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
